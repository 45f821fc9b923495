"""A Gram matrix on disk, filled tile by tile and gone on with after any stop.

A store is a folder: ``config.json``, what it is the Gram matrix of; ``gram.npy``, the whole symmetric matrix, which
``numpy.load(..., mmap_mode="r")`` opens; ``done.npy``, a byte for each tile of the lower half. A tile is marked there
only after its values, and their mirror image, are on the disk; so after a kill at any instant the marked tiles are
right, the others are computed again, and the bytes are those of a run that was never stopped.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_eoc import records
from ntk_eoc.blocks.kernel import Kernel, Rows
from ntk_eoc.blocks.tiles import Compute, Filled, Tile, bar, lower_half
from ntk_eoc.folders import NAME, claim, differing

GRAM, DONE = "gram.npy", "done.npy"


class Store(NamedTuple):
    """The folder of a Gram matrix of n inputs in ``dtype``, in tiles of ``size`` rows."""

    folder: Path
    n: int
    size: int
    dtype: str

    @property
    def tiles(self) -> list[Tile]:
        return lower_half(self.n, self.size)


def describe(kernel: Kernel, x: Rows, dtype: str) -> dict[str, Any]:
    """What a store is the Gram matrix of: the kernel, the inputs by sha256, the number type."""
    rows = np.ascontiguousarray(x)
    inputs = {"shape": list(rows.shape), "dtype": rows.dtype.name, "sha256": hashlib.sha256(rows.data).hexdigest()}
    return {"kernel": json.loads(json.dumps(asdict(kernel))), "inputs": inputs, "dtype": dtype}


def open_store(folder: Path, config: dict[str, Any], size: int, *, resume: bool = False) -> Store:
    """The store of ``config`` in ``folder``: a new one, a finished one, or with ``resume`` an unfinished one.

    The tiles of a store keep the size it was begun with. Raises ``ValueError`` for a store of another configuration,
    with larger tiles than ``size``, unfinished without ``resume`` or damaged; ``OSError`` where it cannot be written or
    the disk is too small.
    """
    differing(folder, {**config, "tile": (begun := _tile(folder, size))})
    if begun > size:
        raise ValueError(f"memory: expected enough for tiles of {begun} rows, as in {folder}, got room for {size}")
    store = Store(folder, config["inputs"]["shape"][0], begun, config["dtype"])
    marks = done(store)
    if marks.any() and not marks.all() and not resume:
        counts = f"{marks.sum()} of {marks.size} blocks"
        raise ValueError(f"out: expected no unfinished Gram matrix, got {counts} in {folder}; go on with --resume")
    claim(folder, {**config, "tile": begun})
    _check_or_reserve(store)
    return store


def done(store: Store) -> Bool[ndarray, " T"]:
    """Which tiles are finished; ``ValueError`` if that file is not one of ours."""
    path, count = store.folder / DONE, len(store.tiles)
    if not path.is_file():
        return np.zeros(count, dtype=bool)
    try:
        marks = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        marks = np.empty(0)
    if marks.shape != (count,) or marks.dtype != np.uint8:
        raise ValueError(f"{path}: expected the marks of {count} blocks, got another file; remove the folder")
    return marks.astype(bool)


def fill(store: Store, compute: Compute) -> int:
    """Compute and keep what is missing; returns how many tiles that were.

    ``compute`` gives tiles: ``partial(tiles.here, block, x)``, or ``partial(tiles.on_cluster, client, ...)``.
    """
    missing = np.flatnonzero(~done(store))
    places = {store.tiles[i]: int(i) for i in missing}
    found = compute(list(places))
    for tile, values in bar(found, "Gram", len(store.tiles), len(store.tiles) - len(places)):
        keep(store, tile, values, places[tile])
    return len(places)


def keep(store: Store, tile: Tile, values: Float[ndarray, "n m"], place: int) -> None:
    """Write a tile and its mirror image, then mark it as number ``place``."""
    matrix = np.load(store.folder / GRAM, mmap_mode="r+")
    matrix[tile.rows, tile.columns] = values
    matrix[tile.columns, tile.rows] = values.T
    matrix.flush()
    marks = np.load(store.folder / DONE, mmap_mode="r+")
    marks[place] = 1
    marks.flush()


def stored(store: Store) -> Iterator[Filled]:
    """The tiles of a finished store, read from disk.

    Each is mapped by itself, so that the memory it takes is given back with it.
    """
    for tile in store.tiles:
        yield tile, np.load(store.folder / GRAM, mmap_mode="r")[tile.rows, tile.columns]


def _tile(folder: Path, size: int) -> int:
    try:
        return int(json.loads((folder / NAME).read_text())["tile"])
    except (OSError, ValueError, KeyError, TypeError):  # no store, or none of ours, which ``differing`` will say
        return size


def _check_or_reserve(store: Store) -> None:
    path, marks = store.folder / GRAM, store.folder / DONE
    if path.is_file():
        try:
            shape, dtype = (found := np.load(path, mmap_mode="r")).shape, found.dtype
        except (ValueError, EOFError):
            shape, dtype = (), np.dtype("V")
        if shape != (store.n, store.n) or dtype != store.dtype:
            raise ValueError(f"{path}: expected a whole Gram matrix of {store.n} inputs, got another file")
    elif marks.is_file():
        raise ValueError(f"{path}: expected the Gram matrix that {DONE} speaks of, got no such file")
    else:
        _reserve(store, path)
    if not marks.is_file():
        buffer = io.BytesIO()
        np.save(buffer, np.zeros(len(store.tiles), np.uint8))
        records.write_atomically(marks, buffer.getvalue())


def _reserve(store: Store, path: Path) -> None:
    """An empty matrix with all its room on the disk: a map of a file that cannot grow ends the process."""
    part = path.with_name(f".{path.name}.part")
    try:
        np.lib.format.open_memmap(part, mode="w+", dtype=np.dtype(store.dtype), shape=(store.n, store.n)).flush()
        with part.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        size = store.n**2 * np.dtype(store.dtype).itemsize / 1e9
        raise OSError(f"out: cannot reserve {size:.3g} GB in {store.folder} ({error.strerror or error})") from error


def remove(folder: Path) -> None:
    """Remove a store, if there is one: the marks first, so that what is left halfway is never taken for whole."""
    for name in (DONE, GRAM, NAME):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir():
        folder.rmdir()
