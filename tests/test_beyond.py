"""The experiments beyond the paper, small: shapes, limits, and agreement of one way to compute with another."""

import numpy as np
import pytest

from ntk_eoc.activations import get
from ntk_eoc.experiments import beyond
from ntk_eoc.scaled import scaled_depths


def test_terms_follow_their_powers() -> None:
    found = beyond.terms(beyond.TermsConfig(400))
    for name, power in beyond.POWERS.items():
        place = np.arange(1, 401) / 400
        assert found[name][-1] == 1.0
        np.testing.assert_allclose(found[name][200:], place[200:] ** power, atol=0.06)


def test_a_scaled_branch_forgets_more_slowly_than_both_others() -> None:
    config = beyond.ApproachConfig(depths=(10, 100, 800, 5000), beyond=(50_000,), engine=5000)
    found = beyond.approach(config)
    assert found.scaled.shape == (5,) and np.isnan(found.residual[-1])
    assert found.scaled[3] - 0.25 > 10 * (found.dense[3] - 0.25) > 0
    assert found.residual[2] > found.dense[2]
    exact = scaled_depths(get("relu"), 0.0, [50_000], sigma_w=2**0.5)
    assert found.scaled[-1] == pytest.approx(exact.kappa[0] / exact.kappa_diagonal[0], rel=1e-3)


def test_the_shares_of_the_layers_tell_the_phases() -> None:
    found = beyond.phases(beyond.PhasesConfig(depth=20))
    for shares in found.values():
        np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    alone, first = {kind: shares[0] for kind, shares in found.items()}, 4
    assert alone["ordered"][-1] > 10 * alone["ordered"][first]
    assert alone["chaotic"][first] > 10 * alone["chaotic"][-1]
    for kind in ("edge", "residual"):
        assert alone[kind][-1] == pytest.approx(alone[kind][first], rel=0.05)
        assert found[kind][1, -1] > 3 * found[kind][1, first]  # two inputs: the last layers


def test_eigenvalues_of_digits_follow_the_constants_on_the_sphere() -> None:
    config = beyond.SphereConfig(depths=(3, 150), images=60)
    found = beyond.digit_spectra(config)
    for values in found.values():
        np.testing.assert_allclose(values.sum(axis=1), 1.0)
    n = config.images
    assert found["ordered"][1, 0] > 0.999
    assert found["edge"][1, 0] == pytest.approx(1 / 3 + 2 / 3 / n, abs=0.02)
    assert found["chaotic"][1, 0] == pytest.approx(1 / n, rel=1e-3)


def test_spheres_tell_the_phases() -> None:
    found = beyond.spheres(beyond.SphereConfig(highest=3, depths=(2, 150)))
    assert found["ordered"].shares[1, 0] > 0.999
    assert 0.3 < found["edge"].shares[1, 0] < 0.4
    assert found["chaotic"].shares[1].sum() < 1e-3
