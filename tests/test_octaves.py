"""Tables interpolated between few variances against the variance's own, and the stretches of layers made of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc import octaves
from ntk_eoc import profile as profiles
from ntk_eoc.activations import NAMED, Activation
from ntk_eoc.meanfield import chi, variance_map
from ntk_eoc.octaves import NODES, octave, tables
from ntk_eoc.profile import ntk_gap, ntk_ratio, profile
from ntk_eoc.stretches import FAR, stretches, tails
from ntk_eoc.tables import Table, look_up, table

MANY = 20  # more than NODES


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The variances at which tables are computed from here on."""
    octaves._series.cache_clear()
    table.cache_clear()
    found: list[float] = []
    for name in ("table_on", "table"):
        made = getattr(octaves, name)

        def counted(*args: object, made: object = made) -> Table:
            found.append(args[-1])
            return made(*args)

        monkeypatch.setattr(octaves, name, counted)
    return found


@pytest.mark.parametrize("name, number", [("tanh", -1), ("elu", 0), ("hard_tanh", -2), ("gelu", 3)])
def test_an_octave_holds_each_table_of_its_own(name: str, number: int) -> None:
    """r and g at any angle, and E[phi'^2], to 1e-12 of themselves: at the octave's ends and between."""
    act, s = NAMED[name], jnp.asarray(np.sqrt(0.5 * np.array([2.0, 1.3, 1.0, 0.2, 1e-2, 1e-5, 1e-9, 1e-16])))
    variances = (2.0 ** (number + np.linspace(0.0, 0.999, MANY))).tolist()
    found = list(tables(act, variances))
    for k in (0, 7, MANY - 1):
        own = table(act, variances[k])
        assert found[k].power == own.power and abs(found[k].slopes / own.slopes - 1.0) < 1e-14
        for part, expected in zip(look_up(found[k], s), look_up(own, s), strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-12, atol=1e-15)


def test_few_variances_take_their_own_tables(built: list[float]) -> None:
    """As few as the octave would cost are computed where they are; more of them cost no more."""
    few = [1.0 + 0.02 * k for k in range(NODES)]
    list(tables(NAMED["tanh"], few))
    assert built == few
    built.clear()
    list(tables(NAMED["tanh"], [*few, 1.5, 1.6, 1.7]))
    assert len(built) == NODES and not set(built) & set(few)
    built.clear()
    list(tables(NAMED["tanh"], [*few, 1.8]))  # another network, the same octave
    assert not built


def test_what_an_octave_does_not_resolve_is_computed_one_by_one(built: list[float]) -> None:
    """Kinks far out, which small variances hardly reach: what they add grows by powers of ten within the octave."""
    far = Activation("far", lambda x: jnp.clip(x, -1.0, 1.0), (-1.0, 1.0))
    variances = [0.02 + 0.0005 * k for k in range(NODES + 1)]
    found = list(tables(far, variances))
    assert built[NODES:] == variances
    assert found[3] == table(far, variances[3])


@pytest.mark.parametrize("q, number", [(1.0, 0), (0.999, -1), (2.0, 1), (0.25, -2)])
def test_octaves_begin_at_powers_of_two(q: float, number: int) -> None:
    assert octave(q) == number


def test_deep_layers_need_no_more_tables(built: list[float]) -> None:
    """ELU's variance takes some 180 layers to settle: a few tables serve them, and the depth does not count."""
    options = {"sigma_b": 0.2, "sigma_w": 1.229251124137207, "q0": 0.8}
    found = profile(NAMED["elu"], [60, 300], **options)
    assert NODES <= len(built) <= 2 * NODES
    lengths = [found.length for found in stretches(NAMED["elu"], 1.25, 299, sigma_b=0.2, sigma_w=1.2293, skip=False)]
    assert 100 < len(lengths) < 299 and set(lengths) == {1, np.inf}
    built.clear()
    again = profile(NAMED["elu"], [300], **options)
    assert not built
    np.testing.assert_allclose(ntk_gap(again, np.array([0.5]))[0], ntk_gap(found, np.array([0.5]))[1], rtol=1e-13)


def test_a_skip_connection_keeps_its_part_of_the_variance() -> None:
    """From q to q' = q + V(q), in units of q': the branch has V(q)/q', and chi is that of the branch and 1."""
    act, q = NAMED["tanh"], 0.7
    added = float(variance_map(act, jnp.array(q), sigma_b=0.2, sigma_w=1.3))
    found = next(stretches(act, q, 1, sigma_b=0.2, sigma_w=1.3, skip=True))
    slope = float(chi(act, jnp.array(q), sigma_w=1.3))
    expected = (q * (1 + slope) / (q + added), 1.3**2 * q / (q + added), added / (q + added))
    np.testing.assert_allclose(found.layer, expected, rtol=1e-13)
    assert abs(found.growth - np.log1p(added / q)) < 1e-13


@pytest.mark.parametrize("q, sigma_w, skip", [(1e-280, 0.01, False), (1e99, 1e50, True)])
def test_a_variance_that_leaves_the_range_of_numbers(q: float, sigma_w: float, skip: bool) -> None:
    ahead = stretches(NAMED["erf"], q, 400, sigma_b=0.0, sigma_w=sigma_w, skip=skip)
    with pytest.raises(RuntimeError, match="layers: the variance of erf leaves the range of float64, from"):
        list(ahead)


def test_where_the_variance_runs_away_the_tails_are_left() -> None:
    """GELU acts as ReLU there: K^L/K^L(x, x) nears 1/4 as ReLU's does, at depths that no tables of its own reach."""
    lengths = [at.length for at in stretches(NAMED["gelu"], 1.0, 9_999, sigma_b=0.2, sigma_w=2.0, skip=False)]
    assert lengths[-1] == np.inf and len(lengths) < 150
    deep = profile(NAMED["gelu"], [100, 10_000], sigma_b=0.2, sigma_w=2.0, q0=1.0)
    ratio = ntk_ratio(deep, np.array([1.0]))[:, 0]
    assert 0.25 < ratio[1] < 0.2505 < ratio[0]
    relu = profile(NAMED["relu"], [1, 10_000], sigma_b=0.0, sigma_w=2.0)
    assert abs((ratio[1] - 0.25) / (ntk_ratio(relu, np.array([1.0]))[1, 0] - 0.25) - 1.0) < 0.1


def test_a_table_of_a_large_variance_is_that_of_the_tails() -> None:
    """Just below FAR both can be had, and agree but for what is as close as 1/sqrt(FAR)."""
    gelu, s = NAMED["gelu"], jnp.asarray(np.sqrt(0.5 * np.array([1.9, 1.0, 0.1, 1e-6, 1e-12])))
    straight = table(tails(gelu), 1.0)
    for found, expected in zip(look_up(table(gelu, 0.9 * FAR), s), look_up(straight, s), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


def test_tails_that_bend_are_none() -> None:
    assert tails(Activation("bent", lambda x: x + jnp.log1p(jnp.abs(x)) * jnp.abs(x) / 1e3)) is None
    assert tails(Activation("flat", jax.nn.sigmoid)) is None
    lines = tails(Activation("lines", lambda x: jnp.where(x > 1.0, 2 * x, 0.5 * x), (1.0,)))
    assert lines.slopes == (2.0, 0.5) and lines.kinks == (0.0,)
    assert lines.phi(jnp.array([3.0, -3.0])).tolist() == [6.0, -1.5]


def test_the_way_to_the_tails_shares_its_programs() -> None:
    """Tables have ever more panels as the variance grows; what iterates them is compiled for a few numbers of them."""
    profiles._iterate.clear_cache()
    profile(NAMED["gelu"], [200], sigma_b=0.2, sigma_w=2.0, q0=1.0)
    assert profiles._iterate._cache_size() <= 5
