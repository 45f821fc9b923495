"""What one kernel learns: Eq. 9 of the paper on real images, at several training budgets and past them.

Images enter through their angles only, since all are scaled to one norm, and kernels are divided by their diagonal
K(x, x), which only sets the unit of time. Targets are one-hot vectors minus 0.1 and f_0 = 0, the mean over networks;
an image counts as right if the largest of its ten outputs is that of its label. A budget B is a training time in units
of the fastest direction, B = t lambda_max/N: B steps of gradient descent at half the largest stable learning rate.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from ntk_eoc.angles import input_gaps
from ntk_eoc.data import Dataset, digits, load, scaled, train_test
from ntk_eoc.data import Split as Split
from ntk_eoc.dynamics import Spectrum, decompose, flow, predictions
from ntk_eoc.profile import Profile, ntk_gap, ntk_ratio

CLASSES = 10
WELL_CONDITIONED = 1e-8  # lambda_min/lambda_max from which float64's own eigenvalues are good to six digits
SINGULAR = 1e-12  # the same ratio, without the constant direction, up to which a kernel counts as singular


class Task(NamedTuple):
    """Images to learn from, 1 - cosine among them (N, N), and to judge by, 1 - cosine to the former (M, N)."""

    name: str
    gaps: Float64[ndarray, "N N"]
    cross_gaps: Float64[ndarray, "M N"]
    labels: Int64[ndarray, " N"]
    test_labels: Int64[ndarray, " M"]


class Kernel(NamedTuple):
    """K^L(x, x')/K^L(x, x) at one depth, and 1 minus it, among the training images and between test and training."""

    ratio: Float64[ndarray, "N N"]
    cross_ratio: Float64[ndarray, "M N"]
    gap: Float64[ndarray, "N N"]
    cross_gap: Float64[ndarray, "M N"]


class Learned(NamedTuple):
    """Shares of images that are right and squared errors relative to predicting nothing, (T, 2): training, test.

    T counts the budgets, then t = infinity as far as float64 resolves the kernel, then t = infinity exactly.
    ``log_condition`` is log10(lambda_max/lambda_min) of the training kernel, beyond what float64 resolves too.
    """

    accuracy: Float64[ndarray, "T 2"]
    error: Float64[ndarray, "T 2"]
    log_condition: float


def task(split: Split) -> Task:
    """A task from images of any norms; what counts is their directions.

    >>> task(train_test(digits(20), test_fraction=0.5)).cross_gaps.shape
    (10, 10)
    """
    (name, train, labels, _), (_, test, test_labels, _) = split
    return Task(name, input_gaps(train), input_gaps(test, train), labels, test_labels)


def digits_task(train: int, test: int) -> Task:
    """The first ``train`` + ``test`` digits of a permutation fixed by seed 0, centred by the training rows."""
    return task(train_test(digits(train + test), test_fraction=test / (train + test)))


def mnist_task(train: int, test: int) -> Task:
    """Rows of MNIST's training and of its test file, the first of permutations fixed by seed 0, centred likewise."""
    sides = []
    for side, count in zip(load("mnist", scaling="unit"), (train, test), strict=True):
        rows = np.random.RandomState(0).permutation(len(side.y))[:count]
        sides.append(Dataset("mnist", side.x[rows].astype(np.float64), side.y[rows], side.classes))
    return task(scaled(Split(*sides)))


def targets(labels: Int64[ndarray, " N"]) -> Float64[ndarray, "N 10"]:
    """One-hot minus 0.1: without a mean if every class is as frequent."""
    return np.eye(CLASSES)[labels] - 1.0 / CLASSES


def kernels_of(found: Profile, images: Task) -> Iterator[Kernel]:
    """The kernel of every depth of a profile on a task; each ratio from whichever of the two keeps its digits."""
    gaps = [ntk_gap(found, pairs) for pairs in (images.gaps, images.cross_gaps)]
    ratios = [ntk_ratio(found, pairs) for pairs in (images.gaps, images.cross_gaps)]
    ratios = [np.where(gap < 0.5, 1.0 - gap, ratio) for gap, ratio in zip(gaps, ratios, strict=True)]
    for row in zip(*ratios, *gaps, strict=True):
        yield Kernel(*row)


def moments(spectrum: Spectrum, budgets: Sequence[float]) -> ndarray:
    """The times t = B N/lambda_max of budgets B."""
    return np.asarray(budgets) * len(spectrum.values) / float(spectrum.values[-1])


def learn(kernel: Kernel, images: Task, budgets: Sequence[float]) -> Learned:
    """Train the infinitely wide network with this kernel, for every budget and for ever.

    >>> few = task(train_test(digits(40), test_fraction=0.5))
    >>> linear = Kernel(1 - few.gaps, 1 - few.cross_gaps, few.gaps, few.cross_gaps)
    >>> learn(linear, few, [1e3]).error[:, 0].round(2).tolist()
    [0.06, 0.06, 0.06]
    """
    y, every_label = targets(images.labels), np.concatenate([images.labels, images.test_labels])
    spectrum = decompose(kernel.ratio)
    rows = np.concatenate([kernel.ratio, kernel.cross_ratio])
    training = flow(spectrum, moments(spectrum, [*budgets, np.inf]))
    nothing = np.zeros((len(rows), CLASSES))
    outputs = np.asarray(predictions(training, y, 0 * y, cross=rows, f0_test=nothing))
    least, most = (float(spectrum.values[i]) for i in (0, -1))
    last = outputs[-1]
    if least < WELL_CONDITIONED * most:
        flat = flatten(kernel.gap)
        least = float(flat.spectrum.values[0])
        least = least if least > SINGULAR * float(flat.spectrum.values[-1]) else 0.0
        if least:  # else what float64 finds is all there is
            last = interpolate(flat, y, np.concatenate([kernel.gap, kernel.cross_gap]))
    outputs = np.concatenate([outputs, last[None]])
    right, wrong = outputs.argmax(axis=2) == every_label, np.sum((outputs - targets(every_label)) ** 2, axis=2)
    sides = np.split(np.arange(len(rows)), [len(y)])
    accuracy = np.stack([right[:, side].mean(axis=1) for side in sides], axis=1)
    size = [np.sum(targets(every_label[side]) ** 2) for side in sides]
    error = np.stack([wrong[:, side].sum(axis=1) for side in sides], axis=1) / size
    return Learned(accuracy, error, float(np.log10(most / least)) if least > 0 else np.inf)


class Flat(NamedTuple):
    """K = 1 1^T - G seen from the constant vector: H K H = [[``head``, -``side``^T], [-``side``, ...]].

    ``mirror`` is the unit vector u of the reflection H = I - 2 u u^T that takes the constant vector to the first axis;
    ``spectrum`` that of the Schur complement of ``head``: what K is on all other directions. It scales with G, so no
    digit is lost where G is as small as 1e-100.
    """

    mirror: Float64[ndarray, " N"]
    head: float
    side: Float64[ndarray, " N-1"]
    spectrum: Spectrum


def flatten(gap: Float64[ndarray, "N N"]) -> Flat:
    """The kernel 1 1^T - ``gap`` apart from its constant part; at least two images.

    >>> flatten(np.array([[0.0, 1e-30], [1e-30, 0.0]])).spectrum.values.tolist()
    [1e-30]
    """
    n = len(gap)
    mirror = np.full(n, n**-0.5)
    mirror[0] -= 1.0
    mirror /= np.linalg.norm(mirror)
    turned = reflect(mirror, reflect(mirror, gap).T)
    head, side = n - turned[0, 0], turned[1:, 0]
    rest = -turned[1:, 1:] - np.outer(side, side) / head
    return Flat(mirror, float(head), side, decompose(0.5 * (rest + rest.T)))


def reflect(mirror: Float64[ndarray, " N"], rows: Float64[ndarray, "N K"]) -> Float64[ndarray, "N K"]:
    """(I - 2 u u^T) applied from the left."""
    return rows - 2.0 * np.outer(mirror, mirror @ rows)


def interpolate(flat: Flat, y: Float64[ndarray, "N o"], gap: Float64[ndarray, "M N"]) -> Float64[ndarray, "M o"]:
    """Eq. 9 at t = infinity, K(x, X) K^-1 Y, of the kernel 1 1^T - G: ``gap`` is 1 - K(x, X).

    Where G is tiny, K^-1 is huge and K(x, X) nearly constant, and the product of the two is neither. For a singular K
    the targets have to be in its range.

    >>> gap = 1e-30 * np.abs(np.subtract.outer([0.0, 1.0, 3.0], [0.0, 1.0, 3.0]))
    >>> between = 1e-30 * np.abs(np.subtract.outer([2.0], [0.0, 1.0, 3.0]))
    >>> interpolate(flatten(gap), np.array([[0.0], [1.0], [5.0]]), between).round(12).tolist()
    [[3.0]]
    """
    turned, values, vectors = reflect(flat.mirror, y), *(np.asarray(part) for part in flat.spectrum)
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
    rest = vectors @ (inverse[:, None] * (vectors.T @ (turned[1:] + np.outer(flat.side, turned[0]) / flat.head)))
    first = (turned[0] + flat.side @ rest) / flat.head
    against = reflect(flat.mirror, gap.T).T
    return np.outer(len(y) ** 0.5 - against[:, 0], first) - against[:, 1:] @ rest
