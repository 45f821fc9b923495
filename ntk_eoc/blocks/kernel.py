"""One block of a Gram matrix, ``block(x1, x2) -> (n, m)``: made once per kernel, then called for every pair of strips.

Inputs of one norm, and inputs of any norms under a positively homogeneous activation without bias, take one fused
program: the product of the directions, and the table of ``lookup``, whatever the depth is. Other inputs take the way
that ``gram`` finds for them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float
from numpy import ndarray

from ntk_eoc.activations import get
from ntk_eoc.errors import check_choice, check_depth, check_sigma, number, require_x64
from ntk_eoc.gram import gram
from ntk_eoc.hermite import LAYERS, TERMS
from ntk_eoc.kernels import ARCHITECTURES, check_inputs
from ntk_eoc.lookup import look_up, lookup
from ntk_eoc.profile import profile
from ntk_eoc.stretches import is_homogeneous

KINDS = ("ntk", "nngp")
DTYPES = ("float32", "float64")
CHUNK = 10_000  # pairs of close inputs that are taken at a time
CLOSE = 1e-2  # below this 1 - cosine, and this close to opposite, a product of directions loses digits
PER_PAIR = 64  # bytes that a pair of inputs takes while its block is computed, by count: eight float64 arrays
LAYERED = {"row": 2 * LAYERS * TERMS * 8, "pair": 96}  # where blocks go through layers: series held, twelve arrays
Rows = Float[ndarray, "_ d"]  # two strips of inputs need not be as many


@dataclass(frozen=True)
class Kernel:
    """Which kernel: NTK or NNGP of a dense network, "ffnn" or "residual"; ``sigmas`` = (sigma_b, sigma_w) are standard
    deviations.

    ``activation`` is a name that ``activations.get`` knows and ``kinks`` what it is given with it, so that a kernel
    can be compared, written into a file, and sent to another process.
    """

    activation: str
    sigmas: tuple[float, float]
    depth: int
    kind: str = "ntk"
    kinks: tuple[float, ...] = ()
    architecture: str = "ffnn"


@dataclass(frozen=True)
class Block:
    """``block(x1, x2)`` is K(x1, x2), (n, m), or for x2 = None that of x1 with itself, symmetric; ``layered`` says
    whether pairs go through layers, which takes more memory than a function of their angle."""

    compute: Callable[[Rows, Rows | None], Float[ndarray, "n m"]]
    layered: bool

    def __call__(self, x1: Rows, x2: Rows | None) -> Float[ndarray, "n m"]:
        return self.compute(x1, x2)


def one_norm(x: Rows) -> float | None:
    """The |x|^2/d that all rows share up to the rounding of their dtype, or None.

    >>> one_norm(np.array([[1.0, 1.0], [0.0, 2**0.5]])), one_norm(np.array([[1.0], [2.0]]))
    (1.0, None)
    """
    squares = np.einsum("nd,nd->n", x, x, dtype=np.float64) / x.shape[1]
    low, high = float(squares.min()), float(squares.max())
    return 0.5 * (low + high) if 0 < high <= low * (1 + _rounding(x)) else None


def by_angle(kernel: Kernel, q0: float | None) -> bool:
    """Whether blocks are functions of the angle: of one norm, or of any with a homogeneous activation and no bias.

    >>> by_angle(Kernel("relu", (0.0, 1.0), 3), None), by_angle(Kernel("tanh", (0.0, 1.0), 3), None)
    (True, False)
    """
    act, (sigma_b, sigma_w) = get(kernel.activation, kernel.kinks), kernel.sigmas
    return q0 is not None or (is_homogeneous(act) and sigma_b == 0 and sigma_w > 0)


@lru_cache(maxsize=8)
def block_function(kernel: Kernel, q0: float | None, dtype: str = "float32", devices: int = 1) -> Block:
    """The function of blocks of ``kernel`` for rows with |x|^2/d = q0, or of any norms if None.

    ``devices`` local devices share the rows of each block. Raises ``ValueError`` for a kernel beyond ``dtype`` and for
    more devices than there are.

    >>> block = block_function(Kernel("relu", (0.0, 2**0.5), 2), 1.0, "float64")
    >>> block(np.eye(2) * 2**0.5, None).round(6).tolist()
    [[4.0, 0.63662], [0.63662, 4.0]]
    """
    require_x64()
    check_choice("kind", kernel.kind, KINDS), check_choice("dtype", dtype, DTYPES)
    act, depth, mesh = get(kernel.activation, kernel.kinks), check_depth(kernel.depth), _mesh(devices)
    sigma_b, sigma_w = check_sigma("sigma_b", kernel.sigmas[0]), check_sigma("sigma_w", kernel.sigmas[1])
    skip = check_choice("architecture", kernel.architecture, ARCHITECTURES)
    options: dict[str, Any] = {"sigma_b": sigma_b, "sigma_w": sigma_w, "architecture": skip}
    if not by_angle(kernel, q0):

        def layers(x1: Rows, x2: Rows | None) -> ndarray:
            found = gram(act, x1, x2, depth=depth, **options)
            logs = {"nngp": found.log_nngp, "ntk": found.log_ntk}
            return _within(dtype, np.asarray(getattr(found, kernel.kind)) * np.exp(float(logs[kernel.kind])))

        return Block(layers, layered=True)
    homogeneous = by_angle(kernel, None)  # then of any norms, also where they are one
    found = profile(act, [depth], q0=1.0 if homogeneous else q0, **options)
    split, whole = (NamedSharding(mesh, PartitionSpec(axis)) for axis in ("rows", None))
    table, which = lookup(found, dtype), 1 if kernel.kind == "ntk" else 0
    scale = float(np.exp(0.5 * (table.log_diagonal if which else table.log_q)))

    def fused(x1: Rows, x2: Rows | None) -> ndarray:
        left, right = (
            _rows(name, x, None if homogeneous else q0, scale)
            for name, x in (("x1", x1), ("x2", x1 if x2 is None else x2))
        )
        equal_shares = np.arange(len(x1) + -len(x1) % devices)
        spread = [np.take(part, equal_shares, axis=0, mode="wrap") for part in left]
        everywhere = jax.device_put((table.polynomials, *right), whole)
        values, close = _fused(everywhere, *jax.device_put(spread, split), which)
        values, near = np.array(values)[: len(x1)], np.nonzero(np.asarray(close)[: len(x1)])
        for i, j in zip(*(np.array_split(part, 1 + part.size // CHUNK) for part in near), strict=True):
            near_values = look_up(table.polynomials, jnp.asarray(_close_folds(left[0][i], right[0][j])))[which]
            values[i, j] = near_values * left[1][i] * right[1][j]
        if x2 is None:  # the two halves are rounded differently
            values = np.tril(values) + np.tril(values, -1).T
        return _within(dtype, values)

    return Block(fused, layered=False)


@partial(jax.jit, static_argnums=3)
def _fused(everywhere: tuple[Array, ...], left: Array, first: Array, which: int) -> tuple[Array, Array]:
    """scale_i scale_j K_ij/K_ii, and where the rows are too close or too opposite for a product of the directions."""
    polynomials, right, second = everywhere
    gaps = jnp.clip(1.0 - left @ right.T, 0.0, 2.0)
    values = look_up(polynomials, jnp.where(gaps <= 1.0, gaps, gaps - 2.0))[which]
    return values * (first[:, None] * second), (gaps < CLOSE) | (gaps > 2.0 - CLOSE)


def _rows(name: str, x: Rows, q0: float | None, scale: float) -> tuple[ndarray, ndarray]:
    """Directions, and what the kernel's diagonal is the square of; ``q0`` = |x|^2/d, None if it only sets a scale."""
    rows = np.asarray(check_inputs(name, x))
    lengths = np.linalg.norm(rows, axis=1)
    if not lengths.all():
        raise ValueError(f"{name}: expected rows with a direction, got zeros in row {int(np.argmin(lengths))}")
    sizes = lengths / rows.shape[1] ** 0.5
    if q0 is None:
        return rows / lengths[:, None], scale * sizes
    if (off := np.abs(sizes**2 / q0 - 1.0)).max() > _rounding(x):
        got = f"{sizes[np.argmax(off)] ** 2:.9g} in row {int(np.argmax(off))}"
        raise ValueError(f"{name}: expected rows with |x|^2/d = {q0:.9g}, got {got}")
    return rows / lengths[:, None], np.full(len(rows), scale)


def _rounding(x: Rows) -> float:
    """How far squared norms that are meant to be equal may lie apart, relatively."""
    return 32 * float(np.finfo(x.dtype).eps)


def _close_folds(left: ndarray, right: ndarray) -> ndarray:
    """The folds of directions row by row, from their difference or their sum, which do not cancel."""
    near, far = (0.5 * np.sum(np.square(rows), axis=1) for rows in (left - right, left + right))
    return np.where(near < far, near, -far)


def _within(dtype: str, values: ndarray) -> ndarray:
    if not np.abs(values).max(initial=0.0) <= np.finfo(dtype).max:
        wider = ", or float64" if dtype == "float32" else ""
        raise ValueError(f"depth: the kernel leaves the range of {dtype}; expected fewer layers{wider}")
    return values.astype(dtype)


def _mesh(devices: int) -> Mesh:
    local = jax.local_devices()
    if not 1 <= number("devices", devices) <= len(local):
        raise ValueError(f"devices: expected 1 to {len(local)}, which is what this process has, got {devices}")
    return Mesh(np.array(local[:devices]), ("rows",))
