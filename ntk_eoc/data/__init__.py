"""Real inputs, one per row: scikit-learn's digits, which need no network, and MNIST and CIFAR10 from verified files."""

from ntk_eoc.data.arrays import SCALINGS, Dataset, Split, digits, scaled, train_test, unit_norm
from ntk_eoc.data.published import DATASETS, checksums, load

__all__ = [
    "DATASETS",
    "SCALINGS",
    "Dataset",
    "Split",
    "checksums",
    "digits",
    "load",
    "scaled",
    "train_test",
    "unit_norm",
]
