"""Which derivative is the first to jump: declared places, how far is looked, and what is rounding."""

import jax.numpy as jnp
import pytest

from ntk_eoc.activations import Activation
from ntk_eoc.regularity import check_continuous, first_kink, jump, one_sided, warn_of_missing_kinks

BENT = {
    order: Activation(f"bent {order}", lambda x, n=order: jnp.abs(x - 0.5) * (x - 0.5) ** (n - 1), (0.5,))
    for order in (1, 2, 3)
}


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_first_derivative_that_jumps(order: int) -> None:
    act, factorial = BENT[order], (1.0, 2.0, 6.0)[order - 1]
    assert first_kink(act) == order
    assert first_kink(act, order) == order and first_kink(act, order - 1) is None
    assert jump(act, 0.5, order) == pytest.approx(2.0 * factorial, rel=1e-6)
    assert one_sided(act, 0.5, order) == pytest.approx((factorial, -factorial), rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e12])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_rounding_is_no_jump(scale: float, sign: float) -> None:
    """Of a smooth function, however large, at a place that was declared; a jump of a thousandth of it is one."""
    smooth = Activation("smooth", lambda x: sign * scale * jnp.exp(x), (0.3,))
    assert first_kink(smooth) is None
    with pytest.warns(UserWarning, match="smooth: no kink found at the declared place 0.3"):
        warn_of_missing_kinks(smooth)
    bent = Activation("bent", lambda x: sign * scale * (jnp.exp(x) + 1e-3 * jnp.abs(x - 0.3)), (0.3,))
    assert first_kink(bent) == 1
    check_continuous(bent)
    broken = Activation("broken", lambda x: sign * scale * (jnp.exp(x) + 1e-3 * (x > 0.3)), (0.3,))
    with pytest.raises(ValueError, match="broken jumps at 0.3"):
        check_continuous(broken)


def test_a_jump_beside_large_values_is_told_from_rounding_at_either_side() -> None:
    """What is rounding is relative to the values at both sides, whatever their signs."""
    for left, right in ((-1e12, 1.0), (1.0, 1e12), (1e12, 1e12)):
        act = Activation("lines", lambda x, a=left, b=right: jnp.where(x > 0, b * x, a * x), (0.0,))
        assert (first_kink(act) == 1) == (left != right)
