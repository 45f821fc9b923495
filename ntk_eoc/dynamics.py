"""Training in function space while the kernel stands still: Eq. 7 to 9 of the paper, and gradient descent.

With the loss sum_i |f(x_i) - y_i|^2 / (2N) over N inputs X, the outputs of a network whose tangent kernel is the
constant K obey df_t(X)/dt = -(1/N) K (f_t(X) - Y) (Eq. 7). Each eigenvector of K then lives alone: of its share of
the residual f_0(X) - Y, an eigenvalue lambda keeps

    exp(-lambda t/N)          at time t of the gradient flow,
    (1 - eta lambda/N)^k      after k steps of gradient descent with learning rate eta.

One eigendecomposition answers for all times, targets, outputs and test points; no matrix is inverted. An eigenvalue
at rounding level counts as 0: its share of the residual stays for ever (Lemma 1), and predictions get nothing from
it, because a positive semi-definite kernel has K(x, X) v = 0 wherever K v = 0. Each of o outputs has the kernel K.
For a kernel that mixes outputs, flattened to (N o, N o), multiply times and learning rates by o: N becomes N o.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from ntk_eoc.errors import Scalar, check_positive, known, number, plain, require_x64
from ntk_eoc.given import Moments, matrix, moments, traced

Gram = Float[Array, "N N"] | ArrayLike
Cross = Float[Array, "M N"] | ArrayLike  # between M other points and the N training inputs
Outputs = Float[Array, "N o"] | ArrayLike


class Spectrum(NamedTuple):
    """Eigenvalues of a Gram matrix in increasing order, 0 at rounding level, and its eigenvectors as columns."""

    values: Float[Array, " N"]
    vectors: Float[Array, "N N"]


class Training(NamedTuple):
    """What each eigenvector has ``kept`` of the residual at T moments, and ``learned`` = 1 - kept."""

    spectrum: Spectrum
    kept: Float[Array, "T N"]
    learned: Float[Array, "T N"]


class Ensemble(NamedTuple):
    """Mean over initialisations (T, N, o), and the variance (T, N), which is the same for each output."""

    mean: Float[Array, "T N o"]
    variance: Float[Array, "T N"]


def decompose(gram: Gram, *, rounding: Scalar | None = None) -> Spectrum:
    """The eigendecomposition of a symmetric positive semi-definite Gram matrix K(X, X).

    Eigenvalues up to ``rounding`` times the largest become 0, the others stay. The default is N (at least 64, for
    errors of the recursion that made the kernel) times the machine epsilon, float32's for a ``gram`` in float32. Raises
    ``ValueError`` if K is not square, not finite, or further than that from symmetric or from positive semi-definite.

    >>> decompose(jnp.ones((2, 2))).values.round(12).tolist()
    [0.0, 2.0]
    """
    require_x64()
    gram = gram if isinstance(gram, jax.Array) else plain("gram", gram)
    shape = gram.shape
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        raise ValueError(f"gram: expected a square matrix, got shape {shape}")
    epsilon = 2.0**-23 if getattr(gram, "dtype", None) == np.float32 else 2.0**-52
    level = number("rounding", max(shape[0], 64) * epsilon if rounding is None else rounding)
    known("rounding", level, 0.0, 1.0)
    values, vectors = jnp.linalg.eigh(matrix("gram", gram, shape[0], shape[0], level))
    low, largest = values[0], jnp.maximum(values[-1], -values[0])
    if not (traced(low) or low >= -level * largest):
        got = f"got {low:.3g}, in size {-low / largest:.3g} of the largest"
        raise ValueError(f"gram: expected eigenvalues of at least 0 (rounding: {-level * largest:.3g}), {got}")
    return Spectrum(jnp.where(values > level * largest, values, 0.0), vectors)


def flow(spectrum: Spectrum, times: Moments) -> Training:
    """Gradient flow at any times t >= 0 at once, 0 and infinity among them: exp(-lambda t/N) is kept (Eq. 8).

    >>> flow(decompose(2.0 * jnp.eye(2)), jnp.array([0.0, jnp.log(2.0), jnp.inf])).kept[:, 0].round(12).tolist()
    [1.0, 0.5, 0.0]
    """
    return Training(spectrum, *_flow(spectrum.values, moments("times", times)))


def stability_bound(spectrum: Spectrum) -> float:
    """The learning rate from which on descent does not converge: 2N/lambda_max, or 2/lambda_max for a loss without 1/N.

    >>> stability_bound(decompose(jnp.eye(3)))
    6.0
    """
    return 2 * len(spectrum.values) / largest if (largest := float(spectrum.values[-1])) else jnp.inf


def descent(spectrum: Spectrum, steps: Moments, *, rate: Scalar) -> Training:
    """Gradient descent f_{k+1} = f_k - (rate/N) K (f_k - Y) after any numbers of steps k, 0 and infinity among them.

    At k = t/rate it differs from ``flow`` at time t by O(rate). Raises ``ValueError`` if ``steps`` are not whole or
    ``rate`` is not below ``stability_bound``.

    >>> descent(decompose(jnp.eye(1)), jnp.arange(3), rate=1.5).kept[:, 0].round(12).tolist()
    [1.0, -0.5, 0.25]
    """
    counts = moments("steps", steps)
    if not traced(counts) and np.any(counts != np.round(counts)):
        raise ValueError("steps: expected whole numbers, or infinity, got a fraction")
    if not traced(spectrum.values, rate):
        rate, bound = check_positive("rate", rate), stability_bound(spectrum)
        if not rate < bound:
            stable = f"the stability bound 2N/lambda_max = {bound:.6g} of the loss sum |f - y|^2/(2N)"
            raise ValueError(f"rate: expected a learning rate below {stable}, got {rate:.6g}")
    return Training(spectrum, *_descent(spectrum.values, counts, rate))


def residuals(training: Training, y: Outputs, f0: Outputs) -> Float[Array, "T N o"]:
    """f_t(X) - Y of Eq. 8, exp(-K t/N)(f_0 - Y) for the flow, with digits also where it is far below Y.

    >>> training = flow(decompose(jnp.ones((2, 2))), jnp.inf)  # K v = 0 for v = (1, -1)
    >>> residuals(training, jnp.zeros((2, 1)), jnp.array([[1.0], [0.0]]))[0].round(12).tolist()
    [[0.5], [-0.5]]
    """
    (y, f0), vectors = _targets(training, y, f0), training.spectrum.vectors
    return _filtered(vectors, training.kept, vectors, f0 - y)


def fitted(training: Training, y: Outputs, f0: Outputs) -> Float[Array, "T N o"]:
    """f_t(X) from the targets y and the initial outputs f0 = f_0(X): Eq. 8."""
    return residuals(training, y, f0) + jnp.asarray(y, dtype=float)


def predictions(training: Training, y: Outputs, f0: Outputs, *, cross: Cross, f0_test: Outputs) -> Array:
    """f_t(x) = f_0(x) + K(x, X) K^-1 (I - exp(-K t/N))(Y - f_0(X)) at M other points, (T, M, o): Eq. 9.

    ``cross`` is K(x, X) and ``f0_test`` is f_0(x), (M, o).

    >>> training, y = flow(decompose(jnp.ones((2, 2))), jnp.inf), jnp.array([[1.0], [3.0]])
    >>> predictions(training, y, 0 * y, cross=jnp.array([[0.5, 0.5]]), f0_test=jnp.zeros((1, 1))).round(12).tolist()
    [[[1.0]]]
    """
    y, f0 = _targets(training, y, f0)
    cross = matrix("cross", cross, None, len(y)) @ training.spectrum.vectors
    f0_test = matrix("f0_test", f0_test, len(cross), y.shape[1])
    return f0_test + _filtered(cross, _gain(training), training.spectrum.vectors, y - f0)


def fitted_ensemble(training: Training, y: Outputs, *, nngp: Gram) -> Ensemble:
    """Mean and variance of f_t(X) over initialisations, each output of f_0 a Gaussian process of mean 0.

    Its covariance is the NNGP kernel, ``nngp`` on the training inputs. Costs 2 N^3 operations per time.

    >>> fitted_ensemble(flow(decompose(jnp.eye(1)), jnp.inf), jnp.eye(1), nngp=2.0 * jnp.eye(1)).variance.tolist()
    [[0.0]]
    """
    (y, _), vectors = _targets(training, y, y), training.spectrum.vectors
    nngp = matrix("nngp", nngp, len(y), len(y), 1e-10)
    variance = _quadratic_forms(vectors, training.kept, vectors.T @ nngp @ vectors)
    return Ensemble(_filtered(vectors, training.learned, vectors, y), _no_negative(variance, jnp.diag(nngp)))


def predicted_ensemble(
    training: Training, y: Outputs, *, cross: Cross, nngp: Gram, nngp_cross: Cross, nngp_test: Float[Array, " M"]
) -> Ensemble:
    """Mean and variance of f_t(x) at M other points, as ``fitted_ensemble``.

    ``nngp_cross`` is the NNGP kernel between them and the training inputs, ``nngp_test`` its values q(x, x).
    """
    (y, _), vectors, gain = _targets(training, y, y), training.spectrum.vectors, _gain(training)
    cross = matrix("cross", cross, None, len(y)) @ vectors
    nngp = matrix("nngp", nngp, len(y), len(y), 1e-10)
    nngp_cross = matrix("nngp_cross", nngp_cross, len(cross), len(y)) @ vectors
    values = nngp_test if isinstance(nngp_test, jax.Array) else plain("nngp_test", nngp_test)
    start = matrix("nngp_test", jnp.atleast_2d(values), 1, len(cross))
    # f_t(x) = f_0(x) - A f_0(X) + A Y with A = K(x, X) K^-1 (I - exp(-K t/N)): f_0(x) and f_0(X) vary together
    shared, own = gain @ (cross * nngp_cross).T, _quadratic_forms(cross, gain, vectors.T @ nngp @ vectors)
    return Ensemble(_filtered(cross, gain, vectors, y), _no_negative(start - 2 * shared + own, start))


def _after(moments: Array, rates: Array) -> Array:
    """moments times rates below 0, (T, N): 0 at once, and in the end without end, also of rates that underflow."""
    t = moments[:, None]
    return jnp.where(t == 0, 0.0, jnp.where(jnp.isinf(t), -jnp.inf, t * rates))


@jax.jit
def _flow(values: Array, times: Array) -> tuple[Array, Array]:
    alive = values > 0
    exponent = _after(times, -jnp.where(alive, values, 1.0) / len(values))
    return jnp.where(alive, jnp.exp(exponent), 1.0), jnp.where(alive, -jnp.expm1(exponent), 0.0)


@jax.jit
def _descent(values: Array, steps: Array, rate: Scalar) -> tuple[Array, Array]:
    alive = values > 0
    step = rate * jnp.where(alive, values, 1.0) / len(values)
    past = step > 1  # this direction jumps over its target, to and fro
    exponent = _after(steps, jnp.log1p(-jnp.where(past, 2.0 - step, step)))  # k log |1 - step|
    size, negative = jnp.exp(exponent), past & (steps[:, None] % 2 == 1)
    kept, learned = jnp.where(negative, -size, size), jnp.where(negative, 1.0 + size, -jnp.expm1(exponent))
    return jnp.where(alive, kept, 1.0), jnp.where(alive, learned, 0.0)


def _gain(training: Training) -> Float[Array, "T N"]:
    """(1 - kept)/lambda, and 0 for the kernel of K."""
    values = training.spectrum.values
    return training.learned / jnp.where(values > 0, values, jnp.inf)


def _filtered(left: Array, factors: Array, vectors: Array, right: Array) -> Float[Array, "T M o"]:
    """left diag(factors) vectors^T right, for all moments in one matrix product."""
    found = _contracted(left, factors, vectors, right)
    if not (traced(found) or np.isfinite(np.asarray(found)).all()):
        raise ValueError(
            "y: expected targets and outputs that predictions can be made of in float64, got too large ones"
        )
    return found


@jax.jit
def _contracted(left: Array, factors: Array, vectors: Array, right: Array) -> Array:
    return jnp.einsum("mn,tno->tmo", left, factors[:, :, None] * (vectors.T @ right))


@jax.jit
def _quadratic_forms(rows: Array, factors: Array, matrix: Array) -> Float[Array, "T M"]:
    """r^T matrix r for each row r of rows diag(factors), one moment after the other to save memory."""
    return jax.lax.map(lambda factor: jnp.sum(((rows * factor) @ matrix) * (rows * factor), axis=1), factors)


def _targets(training: Training, y: ArrayLike, f0: ArrayLike) -> tuple[Array, Array]:
    y = matrix("y", y, len(training.spectrum.values), None)
    return y, matrix("f0", f0, *y.shape)


def _no_negative(variance: Array, start: Array) -> Array:  # rounding may take a variance below 0, not far
    if not (traced(variance) or (least := float(variance.min())) >= -1e-6 * float(start.max())):  # nor be NaN
        raise ValueError(f"nngp: expected covariances that belong together, got a variance of {least:.3g}")
    return jnp.maximum(variance, 0.0)
