"""Tables of one layer: how many digits they have between their nodes, and the variances that have none."""

import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc.activations import NAMED, get
from ntk_eoc.gaussian import pair, second_moment, slope_gap
from ntk_eoc.tables import look_up, table

ANGLES = np.concatenate([np.geomspace(1e-10, 1e-2, 40), np.linspace(0.011, 1.5, 150)])


@pytest.mark.parametrize("spec, q", [("relu", 1.0), ("leaky_relu:0.3", 1.0), ("erf", 0.4), ("erf", 1e4), ("sin", 3.0)])
def test_up_to_orthogonal_inputs_no_digit_is_lost(spec: str, q: float) -> None:
    """g and its mean r against the closed forms at angles that no node knows; r where it is no difference."""
    act, s = get(spec), np.sin(ANGLES / 2)
    delta = jnp.asarray(2 * s * s)
    mean, value = look_up(table(act, q), jnp.asarray(s))
    np.testing.assert_allclose(value, slope_gap(act, jnp.array(q), delta), rtol=3e-14)
    same = jnp.full(delta.shape, q)
    kept = second_moment(act, same, 1) - second_moment(act, same) * pair(act, same, same, delta).gap / (q * delta)
    np.testing.assert_allclose(mean, kept, rtol=1e-13, atol=2e-15)


def test_the_largest_variance_that_angles_resolve_is_the_one_named() -> None:
    with pytest.raises(RuntimeError, match="table: erf is not resolved in the angle at variance 1e.30") as caught:
        table(NAMED["erf"], 1e30)
    bound = float(str(caught.value).rsplit(" ", 1)[1])
    assert table(NAMED["erf"], 0.99 * bound).slopes > 0
    with pytest.raises(RuntimeError, match="expected at most"):
        table(NAMED["erf"], 1.01 * bound)
