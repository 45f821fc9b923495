"""Training in function space against matrix exponentials, an ODE solver, plain loops, limits and sampled ensembles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from ntk_eoc import dynamics
from ntk_eoc.dynamics import Spectrum, decompose, descent, fitted, flow, predictions, residuals, stability_bound

N, M, OUT = 6, 3, 2
RNG = np.random.default_rng(8)
FEATURES = RNG.normal(size=(N + M, 9))
FULL = FEATURES @ FEATURES.T  # a kernel on N training points and M others
K, CROSS = FULL[:N, :N], FULL[N:, :N]
Y, F0, F0_TEST = (RNG.normal(size=shape) for shape in ((N, OUT), (N, OUT), (M, OUT)))
TIMES = np.array([0.0, 0.03, 0.4, 1.0, 7.0])

# Three different inputs, each twice: K has rank 3, and whatever two equal inputs disagree on cannot be learned.
TWICE = np.repeat(np.eye(3), 2, axis=0)
FEW = np.concatenate([TWICE @ FEATURES[:3], FEATURES[N:]])
SINGULAR, SINGULAR_CROSS = FEW[:N] @ FEW[:N].T, FEW[N:] @ FEW[:N].T
HALF_DIFFERENCE = np.kron(np.eye(3), np.array([[0.5, -0.5], [-0.5, 0.5]]))  # the projection on its kernel


def trajectory(k: np.ndarray, cross: np.ndarray, times: object) -> tuple[jax.Array, jax.Array]:
    training = flow(decompose(k), times)
    return fitted(training, Y, F0), predictions(training, Y, F0, cross=cross, f0_test=F0_TEST)


@pytest.mark.parametrize("shift", [0.0, 1e-3])
def test_flow_equals_matrix_exponentials(shift: float) -> None:
    k = K + shift * np.eye(N)
    train, test = trajectory(k, CROSS, TIMES)
    for i, t in enumerate(TIMES):
        decay = expm(-k * t / N)
        np.testing.assert_allclose(train[i], Y + decay @ (F0 - Y), rtol=1e-11, atol=1e-12)
        expected = F0_TEST + CROSS @ np.linalg.solve(k, (np.eye(N) - decay) @ (Y - F0))
        np.testing.assert_allclose(test[i], expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("k, cross", [(K, CROSS), (SINGULAR, SINGULAR_CROSS)], ids=["regular", "singular"])
def test_flow_solves_the_differential_equation(k: np.ndarray, cross: np.ndarray) -> None:
    """Eq. 7 at all points at once: df_t/dt = -(1/N) K(., X)(f_t(X) - Y)."""
    rows = np.concatenate([k, cross])

    def slope(_: float, f: np.ndarray) -> np.ndarray:
        return (-rows @ (f.reshape(-1, OUT)[:N] - Y) / N).ravel()

    start = np.concatenate([F0, F0_TEST]).ravel()
    solved = solve_ivp(slope, (0.0, 7.0), start, method="DOP853", t_eval=TIMES, rtol=1e-11, atol=1e-12)
    expected = solved.y.T.reshape(len(TIMES), N + M, OUT)
    np.testing.assert_allclose(np.concatenate(trajectory(k, cross, TIMES), axis=1), expected, rtol=1e-8, atol=1e-9)


def test_limits_in_time() -> None:
    train, test = trajectory(K, CROSS, [0.0, jnp.inf])
    np.testing.assert_allclose(train, [F0, Y], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(test, [F0_TEST, F0_TEST + CROSS @ np.linalg.solve(K, Y - F0)], rtol=1e-9)
    late = trajectory(K, CROSS, 1e6)
    np.testing.assert_allclose(late[0][0], train[1], rtol=1e-12)
    np.testing.assert_allclose(late[1][0], test[1], rtol=1e-12)


def test_small_times_keep_their_digits() -> None:
    """The first movement is (t/N) K(., X)(Y - f_0), however small t is."""
    moved = predictions(flow(decompose(K), [1e-13]), Y, F0, cross=CROSS, f0_test=np.zeros((M, OUT)))[0]
    np.testing.assert_allclose(moved, 1e-13 / N * CROSS @ (Y - F0), rtol=1e-10)


def test_residuals_keep_their_digits_far_below_the_targets() -> None:
    """One eigenvalue 1 for all: exp(-t/N) of the residual stays, even where f_t(X) - Y would round to 0."""
    training = flow(decompose(np.eye(N)), [600.0])
    np.testing.assert_allclose(residuals(training, Y, F0)[0], np.exp(-600 / N) * (F0 - Y), rtol=1e-13)
    assert (fitted(training, Y, F0)[0] == Y).all()


def test_singular_kernel_keeps_exactly_the_projection_of_the_residual() -> None:
    """Lemma 1, and its missing condition: targets on which equal inputs agree are learned all the same."""
    training = flow(decompose(SINGULAR), [jnp.inf])
    assert (training.spectrum.values > 0).sum() == 3
    np.testing.assert_allclose(residuals(training, Y, F0)[0], HALF_DIFFERENCE @ (F0 - Y), rtol=1e-12, atol=1e-13)
    agreeing = F0 + TWICE @ Y[:3]
    np.testing.assert_allclose(residuals(training, agreeing, F0)[0], np.zeros((N, OUT)), atol=1e-13)
    test = predictions(training, Y, F0, cross=SINGULAR_CROSS, f0_test=F0_TEST)[0]
    expected = F0_TEST + SINGULAR_CROSS @ np.linalg.pinv(SINGULAR, rcond=1e-12) @ (Y - F0)
    np.testing.assert_allclose(test, expected, rtol=1e-10)


def test_no_kernel_no_learning() -> None:
    training = flow(decompose(np.zeros((N, N))), [3.0, jnp.inf])
    np.testing.assert_allclose(fitted(training, Y, F0), [F0, F0], rtol=1e-13, atol=1e-14)
    assert stability_bound(training.spectrum) == jnp.inf


def test_nearly_singular_kernel_learns_slowly() -> None:
    """Eigenvalues over ten orders of magnitude, with known eigenvectors: each share decays by itself."""
    basis = np.linalg.qr(FEATURES[:N, :N])[0]
    values = 10.0 ** -np.arange(0, 2 * N, 2)
    nearly = (basis * values) @ basis.T
    training = flow(decompose((nearly + nearly.T) / 2), 10.0 ** np.arange(0, 12, 2))
    decay = np.exp(-values * 10.0 ** np.arange(0, 12, 2)[:, None] / N)
    expected = np.einsum("ij,tj,jo->tio", basis, decay, basis.T @ (F0 - Y))
    np.testing.assert_allclose(residuals(training, Y, F0), expected, rtol=1e-4, atol=1e-5)


RATES = [0.2, 0.9, 1.7]  # times N/lambda_max: creeping, and jumping to and fro in some directions


@pytest.mark.parametrize("k, cross", [(K, CROSS), (SINGULAR, SINGULAR_CROSS)], ids=["regular", "singular"])
@pytest.mark.parametrize("share", RATES)
def test_descent_equals_a_loop(k: np.ndarray, cross: np.ndarray, share: float) -> None:
    spectrum = decompose(k)
    rate = share * N / np.linalg.eigvalsh(k)[-1]
    f, rows, steps, path = np.concatenate([F0, F0_TEST]), np.concatenate([k, cross]), [0, 1, 2, 7, 50], {}
    for step in range(51):
        path[step] = f
        f = f - rate / N * rows @ (f[:N] - Y)
    training = descent(spectrum, steps, rate=rate)
    ours = fitted(training, Y, F0), predictions(training, Y, F0, cross=cross, f0_test=F0_TEST)
    np.testing.assert_allclose(np.concatenate(ours, axis=1), [path[s] for s in steps], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(training.kept + training.learned, np.ones((5, N)), rtol=1e-14)


def test_descent_approaches_the_flow_at_first_order() -> None:
    spectrum = decompose(K)
    exact = fitted(flow(spectrum, [1.0]), Y, F0)
    steps = 2.0 ** np.arange(8, 15)
    errors = [np.abs(fitted(descent(spectrum, s, rate=1 / s), Y, F0) - exact).max() for s in steps]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert abs(orders[-1] - 1) < 1e-3 and (np.diff(np.abs(orders - 1)) < 0).all()


def test_descent_has_the_limit_of_the_flow_up_to_the_stability_bound() -> None:
    spectrum = decompose(SINGULAR)
    bound = stability_bound(spectrum)
    assert bound == pytest.approx(2 * N / np.linalg.norm(SINGULAR, 2), rel=1e-12)
    limits = [descent(spectrum, jnp.inf, rate=bound * (1 - 1e-9)), flow(spectrum, jnp.inf)]
    np.testing.assert_allclose(*[fitted(limit, Y, F0) for limit in limits], rtol=1e-13)
    message = rf"rate: .* bound 2N/lambda_max = {bound:.6g} of the loss sum \|f - y\|\^2/\(2N\), got {bound:.6g}"
    with pytest.raises(ValueError, match=message):
        descent(spectrum, 1, rate=bound)


@pytest.mark.parametrize("rate", [5e-324, 1e-310, 1e-5])
def test_in_the_end_the_smallest_rate_arrives_too(rate: float) -> None:
    """0 times infinity steps, where the product of rate and curvature is below float64."""
    spectrum = decompose(1e-10 * jnp.eye(3))
    found = descent(spectrum, jnp.array([0.0, 1.0, jnp.inf]), rate=rate)
    np.testing.assert_allclose(found.kept, np.outer([1.0, 1.0, 0.0], np.ones(3)), rtol=1e-14)
    np.testing.assert_allclose(found.learned[::2], np.outer([0.0, 1.0], np.ones(3)), rtol=1e-14)
    slow = flow(decompose(1e-307 * jnp.eye(3)), jnp.array([0.0, 1e-300, jnp.inf]))
    np.testing.assert_array_equal(slow.kept, np.outer([1.0, 1.0, 0.0], np.ones(3)))


def test_descent_arrives_in_one_step_where_rate_and_curvature_match() -> None:
    assert descent(decompose(np.eye(1)), [0, 1, 2, jnp.inf], rate=1).kept[:, 0].tolist() == [1.0, 0.0, 0.0, 0.0]


def test_descent_keeps_its_digits_over_many_small_steps() -> None:
    """A million steps of 1e-9: (1 - x)^k as exp(k log1p(-x)); the power of a rounded 1 - x is 1e-11 off."""
    kept = descent(Spectrum(jnp.ones(1), jnp.eye(1)), 1e9, rate=1e-9).kept[0, 0]
    assert kept == pytest.approx(np.exp(-1 - 5e-10), rel=1e-14)


NNGP_FEATURES = RNG.normal(size=(N + M, 12)) / 4
NNGP = NNGP_FEATURES @ NNGP_FEATURES.T


@pytest.mark.parametrize("k, cross", [(K, CROSS), (SINGULAR, SINGULAR_CROSS)], ids=["regular", "singular"])
def test_ensemble_is_the_law_of_sampled_networks(k: np.ndarray, cross: np.ndarray) -> None:
    """f_t is affine in f_0, so the images of the origin and of a root of the NNGP give mean and covariance exactly."""
    training, zero = flow(decompose(k), [0.0, 0.3, 5.0, jnp.inf]), np.zeros((N + M, 1))
    y, root = Y[:, :1], NNGP_FEATURES

    def outputs(targets: np.ndarray, f: np.ndarray) -> np.ndarray:
        test = predictions(training, targets, f[:N], cross=cross, f0_test=f[N:])
        return np.concatenate([fitted(training, targets, f[:N]), test], axis=1)

    ours = [
        dynamics.fitted_ensemble(training, y, nngp=NNGP[:N, :N]),
        dynamics.predicted_ensemble(
            training, y, cross=cross, nngp=NNGP[:N, :N], nngp_cross=NNGP[N:, :N], nngp_test=jnp.diag(NNGP)[N:]
        ),
    ]
    np.testing.assert_allclose(np.concatenate([e.mean for e in ours], axis=1), outputs(y, zero), rtol=1e-10, atol=1e-12)
    images = outputs(np.zeros((N, root.shape[1])), root)
    variance = np.concatenate([e.variance for e in ours], axis=1)
    np.testing.assert_allclose(variance, (images**2).sum(axis=-1), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(variance[0], np.diag(NNGP), rtol=1e-12)


def test_works_inside_a_trace() -> None:
    def late(k: jax.Array, y: jax.Array) -> jax.Array:
        return fitted(flow(decompose(k), jnp.array([1.0, jnp.inf])), y, jnp.asarray(F0))

    np.testing.assert_allclose(jax.jit(late)(K, Y), late(K, Y), rtol=1e-12)
    slope = jax.jacobian(late, argnums=1)(jnp.asarray(K), jnp.asarray(Y))
    np.testing.assert_allclose(slope[0, :, 0, :, 0], np.eye(N) - expm(-K / N), rtol=1e-10, atol=1e-12)


def test_rounding_follows_the_precision_of_the_kernel() -> None:
    plane = FEATURES[:N, :3] @ FEATURES[:N, :3].T
    assert (decompose(plane.astype(np.float32)).values > 0).sum() == 3
    assert (decompose(plane + 1e-12 * np.eye(N)).values > 0).sum() == N
    rounded = SINGULAR * (1 + 1e-9 * RNG.normal(size=SINGULAR.shape))
    with pytest.raises(ValueError, match="gram: expected symmetry"):
        decompose(rounded)
    assert (decompose(rounded, rounding=1e-7).values > 0).sum() == 3


GOOD = flow(decompose(K), [1.0])
REFUSED = {
    r"gram: expected a square matrix, got shape \(6, 5\)": lambda: decompose(K[:, :5]),
    "gram: expected finite numbers": lambda: decompose(np.full((2, 2), np.nan)),
    r"gram: expected symmetry up to .*, got mirrored entries 0\.25 apart": lambda: decompose(
        np.array([[1, 0.5], [0.25, 1]])
    ),
    r"gram: expected eigenvalues of at least 0 \(.*\), got -0\.5, in size 0\.25 of the largest": lambda: decompose(
        np.diag([2.0, -0.5])
    ),
    "times: .*at least 0, got -2": lambda: flow(GOOD.spectrum, [1.0, -2.0]),
    "times: .*at least 0, got nan": lambda: flow(GOOD.spectrum, np.nan),
    r"times: expected a list .* in shape \(1, 1\)": lambda: flow(GOOD.spectrum, np.ones((1, 1))),
    "steps: expected whole numbers": lambda: descent(GOOD.spectrum, 1.5, rate=1e-3),
    "rate: expected a number above 0": lambda: descent(GOOD.spectrum, 1, rate=0.0),
    r"y: expected shape \(6, any\), got \(5, 2\)": lambda: fitted(GOOD, Y[1:], F0),
    r"y: expected shape \(6, any\), got \(6,\)": lambda: fitted(GOOD, Y[:, 0], F0),
    r"f0: expected shape \(6, 2\), got \(6, 1\)": lambda: fitted(GOOD, Y, F0[:, :1]),
    "y: expected finite numbers": lambda: fitted(GOOD, Y * np.nan, F0),
    r"cross: expected shape \(any, 6\)": lambda: predictions(GOOD, Y, F0, cross=CROSS.T, f0_test=F0_TEST),
    r"f0_test: expected shape \(3, 2\)": lambda: predictions(GOOD, Y, F0, cross=CROSS, f0_test=F0),
    "nngp: expected symmetry": lambda: dynamics.fitted_ensemble(GOOD, Y, nngp=np.triu(NNGP[:N, :N])),
    "nngp: .*variance of -": lambda: dynamics.fitted_ensemble(GOOD, Y, nngp=-np.eye(N)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_refused_in_one_sentence(message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        REFUSED[message]()
    assert "\n" not in str(error.value)


def test_words_are_no_numbers_and_float32_no_theory() -> None:
    with pytest.raises(TypeError, match="y: expected an array of real numbers"):
        fitted(GOOD, np.array([["a"]] * N), F0)
    with jax.enable_x64(False), pytest.raises(RuntimeError, match="float64"):
        decompose(K)


@pytest.mark.parametrize("rounding", [1e308, 1.5, -1e-9])
def test_rounding_is_a_share(rounding: float) -> None:
    with pytest.raises(ValueError, match="rounding: expected finite numbers from 0 to 1, got"):
        decompose(jnp.eye(2), rounding=rounding)
