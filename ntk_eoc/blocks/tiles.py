"""Gram matrices tile by tile: the lower half of a symmetric one, each tile small enough for a limit on memory."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray
from tqdm import tqdm

from ntk_eoc.blocks.kernel import LAYERED, PER_PAIR, Block, Kernel, Rows, block_function
from ntk_eoc.cluster import spread
from ntk_eoc.empirical.blocks import rows_within
from ntk_eoc.errors import Scalar

MEMORY = 2**29  # bytes
MOST = 2048  # rows of a tile: larger ones are no faster, and more is lost when a run is stopped
Outputs = Float[ndarray, "N o"]


class Tile(NamedTuple):
    """The rows from ``top`` and the columns from ``left`` of an N x N matrix, at most ``size`` of each."""

    top: int
    left: int
    size: int

    @property
    def rows(self) -> slice:
        return slice(self.top, self.top + self.size)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.size)


Filled = tuple[Tile, Float[ndarray, "_ _"]]
Compute = Callable[[Sequence[Tile]], Iterable[Filled]]  # the tiles asked for, in any order


def tile_size(d: int, memory: Scalar = MEMORY, *, layered: bool = False) -> int:
    """Rows of a tile of inputs with d entries whose computation takes at most ``memory`` bytes beside the inputs and
    the programs; more where it is ``layered`` (see ``Block``).

    >>> tile_size(784, 10)
    Traceback (most recent call last):
    ValueError: memory: expected at least 25152 bytes, for one row on each side, got 10
    """
    row, pair = (LAYERED["row"], LAYERED["pair"]) if layered else (0, PER_PAIR)
    return min(rows_within(memory, 4 * 8 * d + row, pair), MOST)


def lower_half(n: int, size: int) -> list[Tile]:
    """The tiles on and below the diagonal, in order.

    >>> [tile[:2] for tile in lower_half(3, 2)]
    [(0, 0), (2, 0), (2, 2)]
    """
    return [Tile(top, left, size) for top in range(0, n, size) for left in range(0, top + 1, size)]


def sides(x: Rows, tile: Tile) -> tuple[Rows, Rows | None]:
    """The inputs of one tile of the Gram matrix of the rows of x, for ``block_function``."""
    return x[tile.rows], None if tile.top == tile.left else x[tile.columns]


def here(block: Block, x: Rows, tiles: Sequence[Tile]) -> Iterator[Filled]:
    """Tiles computed by this process, one after the other."""
    for tile in tiles:
        yield tile, block(*sides(x, tile))


def on_cluster(
    client: Any, kernel: Kernel, q0: float | None, dtype: str, x: Rows, tiles: Sequence[Tile]
) -> Iterator[Filled]:
    """Tiles computed by the workers of a Dask ``client`` (``cluster.connect``), which send them here."""
    return spread(client, _by_worker, tiles, kernel, q0, dtype, along=partial(sides, x))


def _by_worker(
    tile: Tile, x1: Rows, x2: Rows | None, kernel: Kernel, q0: float | None, dtype: str
) -> Float[ndarray, "n m"]:
    jax.config.update("jax_enable_x64", True)
    return block_function(kernel, q0, dtype)(x1, x2)


def product(tiles: Iterable[Filled], v: Outputs) -> Float64[ndarray, "N o"]:
    """K v from the tiles on and below the diagonal of K, each used for its mirror image too.

    Products are in the dtype of the tiles, their sum is in float64.

    >>> gram = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 3.0], [0.0, 3.0, 2.0]])
    >>> some = [(tile, gram[tile.rows, tile.columns]) for tile in lower_half(3, 2)]
    >>> product(some, np.array([[1.0], [1.0], [1.0]])).ravel().tolist()
    [3.0, 6.0, 5.0]
    """
    total = np.zeros(v.shape)
    for tile, values in tiles:
        across, along = (v[part].astype(values.dtype, copy=False) for part in (tile.columns, tile.rows))
        total[tile.rows] += values @ across
        if tile.top != tile.left:
            total[tile.columns] += values.T @ along
    return total


def cross_product(block: Block, x1: Rows, x2: Rows, v: Outputs, memory: Scalar = MEMORY) -> Float64[ndarray, "M o"]:
    """K(x1, x2) v without ever holding more than one tile of K."""
    size, total = tile_size(x1.shape[1], memory, layered=block.layered), np.zeros((len(x1), v.shape[1]))
    corners = [(i, j) for i in range(0, len(x1), size) for j in range(0, len(x2), size)]
    for i, j in bar(corners, "cross Gram"):
        total[i : i + size] += block(x1[i : i + size], x2[j : j + size]) @ v[j : j + size]
    return total


def bar(items: Iterable[Any] | None, what: str, total: int | None = None, done: int = 0) -> Any:
    """``items`` with a progress bar, if there is a terminal to draw it on."""
    quiet = not sys.stderr.isatty()
    return tqdm(items, desc=what, total=total, initial=done, unit="block", disable=quiet)
