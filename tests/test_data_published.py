"""Data sets by name, on small files in the real formats with checksums of their own; a local server plays the mirrors.

The real files are too large to carry, and no test needs a network: their checksums stand in the package.
"""

import gzip
import hashlib
import io
import struct
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest
from sklearn.datasets import load_digits

from ntk_eoc import data
from ntk_eoc.data import files, formats, load, published
from ntk_eoc.data.files import Known

RANDOM = np.random.RandomState(1)
IMAGES = {"train": RANDOM.randint(0, 256, (30, 4, 3)), "t10k": RANDOM.randint(1, 256, (7, 4, 3))}
LABELS = {side: np.arange(len(images)) % 10 for side, images in IMAGES.items()}
BATCHES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
PICTURES = {name: RANDOM.randint(1, 256, (4, 3072)) for name in BATCHES}
TRAIN, TEST = "train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"
ARCHIVE = "cifar-10-binary.tar.gz"


def idx(values: np.ndarray) -> bytes:
    """The bytes of an IDX file, written from the format's description with the struct module."""
    header = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    return gzip.compress(header + values.astype(np.uint8).tobytes(), mtime=0)


def batch(name: str) -> bytes:
    return b"".join(bytes([i]) + bytes(row.tolist()) for i, row in enumerate(PICTURES[name]))


def archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


MNIST = {f"{side}-images-idx3-ubyte.gz": idx(IMAGES[side]) for side in IMAGES}
MNIST |= {f"{side}-labels-idx1-ubyte.gz": idx(LABELS[side]) for side in IMAGES}
CIFAR = {name: batch(name) for name in BATCHES}
UNWANTED = {"../outside.bin": b"x", "cifar-10-batches-bin/readme.html": b"x", "data_batch_1.bin": b"x"}
TAR = archive(UNWANTED | {f"cifar-10-batches-bin/{name}": content for name, content in CIFAR.items()})


def known(name: str, content: bytes) -> Known:
    return Known(name, len(content), hashlib.sha256(content).hexdigest())


def write(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Small data sets under the real names, and a cache folder of the test's own, which is returned."""
    mnist = tuple(known(name, MNIST[name]) for name in sorted(MNIST))
    cifar = tuple(known(name, content) for name, content in CIFAR.items())
    real, nowhere = published.SOURCES, ("http://127.0.0.1:1/",)
    small = {
        "mnist": real["mnist"]._replace(files=mnist, mirrors=nowhere),
        "cifar10": real["cifar10"]._replace(files=cifar, archive=known(ARCHIVE, TAR), mirrors=nowhere),
    }
    monkeypatch.setattr(published, "SOURCES", small)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.delenv("NTK_EOC_DATA", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "ntk-eoc"


class Server(SimpleHTTPRequestHandler):
    """A quiet mirror: the first part of the path is its name, and only what it was asked for is remembered."""

    asked: list[str] = []

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def mirrors(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which a local server offers what is in it."""
    Server.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=str(tmp_path / "web"))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield tmp_path / "web", f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def use(name: str, *addresses: str) -> None:
    published.SOURCES[name] = published.SOURCES[name]._replace(mirrors=addresses)


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_digits_are_those_of_scikit_learn_and_need_no_file() -> None:
    split = load("digits", scaling="unit", dtype=np.float64)
    x, y = load_digits(return_X_y=True)
    place = {row.tobytes(): i for i, row in enumerate(x)}
    rows = [[place[(16 * row).tobytes()] for row in side.x] for side in split]
    assert sorted(rows[0] + rows[1]) == list(range(1797))
    for side, where in zip(split, rows, strict=True):
        np.testing.assert_array_equal(side.y, y[where])
    np.testing.assert_array_equal(load("digits", dtype=np.float64).test.x, data.train_test(data.digits()).test.x)


@pytest.mark.parametrize("sub", ["", "mnist"])
def test_mnist_from_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sub: str) -> None:
    write(tmp_path / "own" / sub, MNIST)
    monkeypatch.setenv("NTK_EOC_DATA", str(tmp_path / "own"))
    split = load("mnist", scaling="unit", dtype=np.float64)
    for side, prefix in zip(split, ("train", "t10k"), strict=True):
        np.testing.assert_array_equal(side.x * IMAGES["train"].max(), IMAGES[prefix].reshape(-1, 12))
        np.testing.assert_array_equal(side.y, LABELS[prefix])
        assert side.name == "mnist" and side.classes == tuple("0123456789")
    assert load("mnist").train.x.dtype == np.float32


@pytest.mark.parametrize("form", ["", "cifar-10-batches-bin", "archive"])
def test_cifar_from_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str) -> None:
    write(tmp_path / "own", {ARCHIVE: TAR}) if form == "archive" else write(tmp_path / "own" / form, CIFAR)
    monkeypatch.setenv("NTK_EOC_DATA", str(tmp_path / "own"))
    split = load("cifar10", scaling="norm", dtype=np.float64)
    raw = np.concatenate([PICTURES[name] for name in BATCHES]).astype(float)
    raw /= np.sqrt(np.mean(raw**2, axis=1, keepdims=True))
    np.testing.assert_allclose(np.concatenate([split.train.x, split.test.x]), raw, rtol=1e-14)
    assert split.train.y.tolist() == 5 * [0, 1, 2, 3] and split.test.y.tolist() == [0, 1, 2, 3]
    assert split.train.classes[3] == "cat"
    assert leftovers(tmp_path) <= {ARCHIVE, *BATCHES}, "nothing is unpacked"


def test_the_first_mirror_that_delivers_is_used_and_only_once(small: Path, mirrors: tuple[Path, str]) -> None:
    folder, address = mirrors
    write(folder / "corrupt", MNIST | {TRAIN: MNIST[TRAIN][:-1] + b"x"})
    write(folder / "cut", {name: content[:-5] for name, content in MNIST.items()})
    write(folder / "good", MNIST)
    dead = "http://127.0.0.1:1/"
    use("mnist", dead, address + "missing/", address + "cut/", address + "corrupt/", address + "good/")
    split = load("mnist", scaling="unit", dtype=np.float64)
    np.testing.assert_array_equal(split.train.x * IMAGES["train"].max(), IMAGES["train"].reshape(-1, 12))
    assert f"/good/{TRAIN}" in Server.asked and f"/good/{TEST}" not in Server.asked
    assert leftovers(small) == set(MNIST), "no broken download is left"
    Server.asked.clear()
    load("mnist")
    assert not Server.asked


def test_a_file_broken_in_the_cache_is_fetched_again(small: Path, mirrors: tuple[Path, str]) -> None:
    folder, address = mirrors
    write(folder, MNIST)
    use("mnist", address)
    write(small / "mnist", MNIST | {TRAIN: b"half"})
    load("mnist")
    assert Server.asked == [f"/{TRAIN}"] and (small / "mnist" / TRAIN).read_bytes() == MNIST[TRAIN]


def test_cifar_travels_as_its_archive(small: Path, mirrors: tuple[Path, str]) -> None:
    folder, address = mirrors
    write(folder, {ARCHIVE: TAR})
    use("cifar10", address)
    assert load("cifar10").train.x.shape == (20, 3072)
    assert leftovers(small) == {ARCHIVE} and not (small.parent / "outside.bin").exists()


def test_no_mirror_delivers(small: Path, mirrors: tuple[Path, str]) -> None:
    folder, address = mirrors
    write(folder, {name: b"<html>" for name in MNIST})
    use("mnist", "http://127.0.0.1:1/", address + "missing/", address)
    with pytest.raises(RuntimeError) as error:
        load("mnist")
    said = str(error.value)
    assert "127.0.0.1:1: ConnectionError" in said and "status 404" in said and "found 6" in said
    assert "NTK_EOC_DATA" in said and all(name in said for name in MNIST) and "digits" in said and "\n" not in said
    assert not leftovers(small), "a broken download is not left under its final name, nor under another"


def test_a_download_of_the_right_size_but_other_bytes_is_not_used(small: Path, mirrors: tuple[Path, str]) -> None:
    folder, address = mirrors
    write(folder, {ARCHIVE: TAR[:-1] + bytes([TAR[-1] ^ 1])})
    use("cifar10", address)
    with pytest.raises(RuntimeError, match=f"expected sha256 {known('', TAR).sha256}, found [0-9a-f]{{64}}"):
        load("cifar10")
    assert not leftovers(small)


def test_a_cache_that_cannot_be_written(small: Path, mirrors: tuple[Path, str]) -> None:
    folder, address = mirrors
    write(folder, MNIST)
    use("mnist", address)
    small.parent.mkdir()
    small.write_text("a file where the folder should be")
    with pytest.raises(RuntimeError, match="mnist: cannot store .*: (Not a directory|File exists)"):
        load("mnist")


SHORT = {**MNIST, TRAIN: MNIST[TRAIN][:-1]}
OTHER = {**MNIST, TRAIN: idx(255 - IMAGES["train"])[: len(MNIST[TRAIN])].ljust(len(MNIST[TRAIN]), b"x")}
FOLDERS = {
    "truncated": (
        SHORT,
        "mnist",
        rf"{TRAIN}: expected {len(MNIST[TRAIN])} bytes, found {len(SHORT[TRAIN])};.*not used",
    ),
    "altered": (
        OTHER,
        "mnist",
        rf"{TRAIN}: expected sha256 [0-9a-f]{{64}}, found [0-9a-f]{{64}}; the file is not used",
    ),
    "incomplete": ({TRAIN: MNIST[TRAIN]}, "mnist", f"NTK_EOC_DATA: expected .*{TEST}.* or its sub-folder mnist"),
    "empty": ({}, "cifar10", f"NTK_EOC_DATA: expected data_batch_1.bin, .*, or {ARCHIVE} in .*cifar-10-batches-bin"),
    "broken archive": ({ARCHIVE: TAR[:50]}, "cifar10", f"{ARCHIVE}: expected {len(TAR)} bytes, found 50"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_without_the_original_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: str) -> None:
    contents, name, message = FOLDERS[case]
    monkeypatch.setenv("NTK_EOC_DATA", str(write(tmp_path / "own", contents)))
    with pytest.raises(ValueError, match=message) as error:
        load(name)
    assert "\n" not in str(error.value)


def test_a_variable_that_names_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NTK_EOC_DATA", "nowhere/at/all")
    with pytest.raises(ValueError, match="NTK_EOC_DATA: expected a folder .*'nowhere/at/all'"):
        load("mnist")


def test_members_are_regular_files_of_the_one_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../f/one"))
        tar.addfile(tarfile.TarInfo("one"))
        link = tarfile.TarInfo("f/one")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(ValueError, match="a.tar.gz: expected a member f/one, got none"):
        formats.members(path, "f", ["one"])


def test_members_with_other_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = archive({f"cifar-10-batches-bin/{name}": content[::-1] for name, content in CIFAR.items()})
    published.SOURCES["cifar10"] = published.SOURCES["cifar10"]._replace(archive=known(ARCHIVE, other))
    monkeypatch.setenv("NTK_EOC_DATA", str(write(tmp_path / "own", {ARCHIVE: other})))
    with pytest.raises(ValueError, match="member data_batch_1.bin: expected sha256"):
        load("cifar10")


MALFORMED = {
    "f: expected an IDX file of unsigned bytes, got one that begins 00000d01": lambda: formats.idx(
        "f", b"\0\0\x0d\1\0"
    ),
    "f: expected an IDX file of unsigned bytes, got one that begins 0000": lambda: formats.idx("f", b"\0\0"),
    "f: expected an IDX file of unsigned bytes": lambda: formats.idx("f", b"\0\0\x08\3\0\0\0\1"),
    r"f: expected \(3,\) bytes as its header states, got 2": lambda: formats.idx("f", b"\0\0\x08\1\0\0\0\3ab"),
    "f: expected a multiple of 3073 bytes, an image each, got 3072": lambda: formats.cifar("f", bytes(3072)),
    "f: expected a multiple of 3073 bytes, an image each, got 0": lambda: formats.cifar("f", b""),
    "f: expected labels from 0 to 9, got 10": lambda: formats.cifar("f", bytes([10]) + bytes(3072)),
    "dataset: expected one of digits, mnist, cifar10, got 'minst'; did you mean 'mnist'?": lambda: load("minst"),
    "dataset: expected one of": lambda: data.checksums("minst"),
    "scaling: expected one of centred, unit, norm": lambda: load("mnist", scaling="whitened"),
}


@pytest.mark.parametrize("message", MALFORMED)
def test_bad_input_is_refused_in_one_sentence(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MALFORMED[message]()


def test_checksums_are_those_of_the_bytes() -> None:
    assert data.checksums("mnist") == {name: hashlib.sha256(content).hexdigest() for name, content in MNIST.items()}
    assert set(data.checksums("cifar10")) == set(BATCHES)
    x, y = load_digits(return_X_y=True)
    raw = bytes(x.astype(int).ravel().tolist()) + bytes(y.tolist())
    assert data.checksums("digits") == {"digits": hashlib.sha256(raw).hexdigest()}


def test_verify_accepts_the_known_bytes_alone(tmp_path: Path) -> None:
    write(tmp_path, {"f": b"abc"})
    # sha256 of "abc" is the test vector of FIPS 180-2
    right = Known("f", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    assert files.verify(tmp_path / "f", right) == tmp_path / "f"
    with pytest.raises(ValueError, match="expected 4 bytes, found 3"):
        files.verify(tmp_path / "f", right._replace(size=4))
    with pytest.raises(ValueError, match="expected sha256 0000, found ba7816bf"):
        files.verify(tmp_path / "f", right._replace(sha256="0000"))
