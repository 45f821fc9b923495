"""The tangent kernel of any function of any parameters: Jacobians, a block of rows at a time."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, PyTree

from ntk_eoc.empirical.blocks import MEMORY, Inputs, by_blocks, check_both, inner, rows_within
from ntk_eoc.errors import Scalar


def empirical_ntk(
    apply: Callable[[Any, Array], Array],
    params: PyTree,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    memory: Scalar = MEMORY,
    by_leaf: bool = False,
) -> PyTree[Float[Array, "N M o o"]]:
    """Eq. 4 between the rows of x1 and x2 (x1 if None) for outputs ``apply(params, x)`` of shape (N, o).

    With ``by_leaf``, one kernel for each leaf of ``params``, in the same tree; their sum is the whole. A kernel per
    layer is a tree with one leaf per layer. Jacobians take at most ``memory`` bytes at a time, the result apart.
    Reuse one ``apply``: a new function is compiled anew. Raises ``ValueError`` if the memory is too small for two rows.

    >>> empirical_ntk(lambda w, x: x @ w, jnp.ones((2, 1)), jnp.array([[3.0, 4.0], [1.0, 0.0]]))[:, :, 0, 0].tolist()
    [[25.0, 3.0], [3.0, 1.0]]
    """
    x1, x2 = check_both(x1, x2)
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(params)]
    if not leaves or not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        raise TypeError(f"params: expected floating-point arrays, got {[str(leaf.dtype) for leaf in leaves]}")
    out = jax.eval_shape(apply, params, x1)
    if out.ndim != 2 or len(out) != len(x1):
        raise ValueError(f"apply: expected outputs of shape ({len(x1)}, o), got {out.shape}")
    o, size = out.shape[1], max(leaf.dtype.itemsize for leaf in leaves)
    # two Jacobians, and each leaf's once more while it is turned for its contraction
    per_row = 2 * o * size * (sum(leaf.size for leaf in leaves) + max(leaf.size for leaf in leaves))
    rows = rows_within(memory, per_row, (len(leaves) + 2) * o * o * size)
    return by_blocks(partial(_jacobian_block, apply, params, by_leaf), x1, x2, rows)


@partial(jax.jit, static_argnums=(0, 2))
def _jacobian_block(
    apply: Callable[[Any, Array], Array], params: PyTree, by_leaf: bool, x1: Array, x2: Array | None
) -> PyTree:
    """Each example's Jacobian, then one matrix product for each leaf."""

    def jacobian(row: Array) -> PyTree:
        return jax.jacrev(lambda p: apply(p, row[None])[0])(params)

    first = jax.vmap(jacobian)(x1)
    second = first if x2 is None else jax.vmap(jacobian)(x2)
    flat = partial(jax.tree.map, lambda leaf: leaf.reshape(*leaf.shape[:2], -1))
    parts = jax.tree.map(inner, flat(first), flat(second))
    return parts if by_leaf else sum(jax.tree.leaves(parts))
