"""How smooth an activation is: one-sided derivatives at its kinks, and which derivative is the first to jump."""

import warnings

import jax.numpy as jnp

from ntk_eoc.activations import Activation, derivative
from ntk_eoc.errors import require_x64

NO_JUMP = 1e-6  # a jump smaller than this, relative to the values beside it, is rounding
NAMES = {1: "kink in phi", 2: "kink in phi'", 3: "kink in phi''", None: "smooth"}


def first_kink(act: Activation, orders: int = 3) -> int | None:
    """The order of the first derivative of phi that jumps at a declared kink: 1 for ReLU, 2 for ELU, None if smooth.

    Orders above ``orders`` are not looked at. Jumps are one-sided limits, taken numerically.

    >>> from ntk_eoc.activations import NAMED
    >>> first_kink(NAMED["elu"]), first_kink(NAMED["tanh"])
    (2, None)
    """
    for order in range(1, orders + 1):
        if any(_jumps(act, kink, order) for kink in act.kinks):
            return order
    return None


def jump(act: Activation, kink: float, order: int) -> float:
    """phi^(order)(kink+) - phi^(order)(kink-).

    >>> from ntk_eoc.activations import NAMED
    >>> jump(NAMED["hard_tanh"], 1.0, 1)
    -1.0
    """
    right, left = one_sided(act, kink, order)
    return right - left


def one_sided(act: Activation, kink: float, order: int) -> tuple[float, float]:
    """phi^(order) at the kink from the right and from the left, extrapolated linearly from two close points."""
    require_x64()
    fn, step = derivative(act, order), 1e-7 * max(1.0, abs(kink))
    near = [float(fn(jnp.array(kink + side * step))) for side in (1.0, -1.0)]
    far = [float(fn(jnp.array(kink + 2 * side * step))) for side in (1.0, -1.0)]
    return 2 * near[0] - far[0], 2 * near[1] - far[1]


def _jumps(act: Activation, kink: float, order: int) -> bool:
    right, left = one_sided(act, kink, order)
    return abs(right - left) > NO_JUMP * (1.0 + abs(right) + abs(left))


def check_continuous(act: Activation) -> None:
    """``ValueError`` if phi itself jumps at a declared kink: its derivative then has no second moment, chi no value.

    >>> check_continuous(Activation("abs", jnp.abs, (0.0,)))
    """
    for kink in act.kinks:
        if _jumps(act, kink, 0):
            raise ValueError(f"activation: expected a continuous function, but {act.name} jumps at {kink:g}")


def warn_of_missing_kinks(act: Activation, orders: int = 3) -> None:
    """Warn of every declared kink at which none of phi's first derivatives jumps, and name the place.

    >>> warn_of_missing_kinks(Activation("abs", jnp.abs, (0.0,)))
    """
    for kink in act.kinks:
        if not any(_jumps(act, kink, order) for order in range(1, orders + 1)):
            warnings.warn(f"{act.name}: no kink found at the declared place {kink:g}", stacklevel=2)
