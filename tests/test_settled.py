"""Layers of one variance as functions of the correlation: against the scan of one pair, and derivatives of the map."""

import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc import settled
from ntk_eoc.activations import NAMED
from ntk_eoc.gaussian import pair
from ntk_eoc.lookup import look_up
from ntk_eoc.maps import correlation_map
from ntk_eoc.meanfield import limit_variance
from ntk_eoc.tables import table
from ntk_eoc.zonal import Layer, depth_scan

FLAT, EDGE = {"sigma_b": 0.3, "sigma_w": 0.9}, {"sigma_b": 0.0, "sigma_w": 1.1}
DELTAS = np.array([1e-12, 1e-5, 0.02, 0.4, 0.99, 1.3, 1.97])


def folded(delta: np.ndarray) -> np.ndarray:
    return np.where(delta <= 1, delta, delta - 2.0)


@pytest.mark.parametrize("name, sigmas, odd", [("tanh", FLAT, False), ("elu", FLAT, False), ("tanh", EDGE, True)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_pairs_looked_up_are_pairs_scanned(name: str, sigmas: dict[str, float], odd: bool, dtype: str) -> None:
    act, q = NAMED[name], limit_variance(NAMED[name], **sigmas)
    tab, scale = table(act, q), sigmas["sigma_w"] ** 2
    at = settled.begin(dtype, jnp.array([1.0 - DELTAS[0]]), odd)
    for depth in (1, 7, 40):
        at, tails = settled.walk(at, tab, sigmas["sigma_w"], depth - int(at.level))
        found = settled.functions(at, dtype)
        assert found.unresolved.max() <= (1e-12 if dtype == "float64" else 1e-6) * found.scales.max()
        c, added, kept = (np.asarray(part) for part in look_up(found.polynomials, jnp.asarray(folded(DELTAS))))
        for i, delta in enumerate(DELTAS):
            scans = [
                depth_scan(tab, Layer(scale * tab.slopes, scale, 1.0, 0.0), delta, np.array([1 + depth]), kappa=kappa)
                for kappa in (0.0, 1.0)
            ]
            empty, full = (float(scan.kappa[0]) for scan in scans)
            rtol = 2e-11 if dtype == "float64" else 2e-6
            assert found.scales[0] * c[i] == pytest.approx(1.0 - float(scans[0].delta[0]), rel=rtol, abs=rtol)
            assert found.scales[1] * added[i] == pytest.approx(empty, rel=rtol, abs=rtol)
            assert found.scales[2] * kept[i] == pytest.approx(full - empty, rel=rtol, abs=rtol)


@pytest.mark.parametrize("name, sigmas", [("tanh", FLAT), ("elu", FLAT), ("selu", {"sigma_b": 0.3, "sigma_w": 0.8})])
def test_tails_are_slope_and_bend_where_the_closest_pairs_are(name: str, sigmas: dict[str, float]) -> None:
    act, q = NAMED[name], limit_variance(NAMED[name], **sigmas)
    _, tails = settled.walk(
        settled.begin("float64", jnp.array([0.9, 0.7]), False), table(act, q), sigmas["sigma_w"], 600
    )
    assert tails.shape == (600, 2, 7)  # more than one go
    delta, tails = 0.3, tails[:, 1]

    def slope(delta: float) -> float:
        return sigmas["sigma_w"] ** 2 * float(pair(act, jnp.array(q), jnp.array(q), jnp.array(delta)).slope_product)

    for level in range(3):
        assert tails[level, 2] == pytest.approx(slope(delta), rel=1e-9)
        assert tails[level, 3] == pytest.approx((slope(delta - 1e-4) - slope(delta + 1e-4)) / 2e-4, rel=1e-5)
        np.testing.assert_allclose(tails[level, [0, 1, 5, 6]], [0.0, 0.0, 1.0, settled.ROUNDING])
        assert tails[level, 4] == pytest.approx(sigmas["sigma_w"] ** 2 * table(act, q).slopes, rel=1e-14)
        delta = float(correlation_map(act, jnp.array(q), jnp.array(delta), **sigmas))
