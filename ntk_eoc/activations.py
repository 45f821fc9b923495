"""What an activation is: a function, where it is not smooth, and whether it is positively homogeneous."""

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntk_eoc.errors import check_choice, check_size, number

Function = Callable[[Array], Array]


class Activation(NamedTuple):
    """An activation function phi, applied to every pre-activation.

    ``phi`` is an elementwise, JAX-traceable function of one array. ``kinks`` are the points at which phi or
    any of its derivatives jumps. ``slopes`` is ``(phi(1), -phi(-1))`` for a positively homogeneous phi
    (phi(t x) = t phi(x) for t >= 0) and None otherwise. ``source`` is one line on where it comes from.

    >>> NAMED["relu"].slopes
    (1.0, 0.0)
    """

    name: str
    phi: Function
    kinks: tuple[float, ...] = ()
    slopes: tuple[float, float] | None = None
    source: str = ""


# Klambauer et al. 2017, Eq. 14: the constants for which (mean 0, variance 1) is the attracting fixed point.
SELU_ALPHA = 1.6732632423543772
SELU_LAMBDA = 1.0507009873554805


@jax.custom_jvp
def _exp_branch(x: Array) -> Array:
    """expm1 of the negative part: the inner minimum keeps gradients finite where the branch is not taken."""
    return jnp.expm1(jnp.minimum(x, 0.0))


# Of itself JAX takes expm1 + 1 for its derivative: three times as long.
_exp_branch.defjvps(lambda dx, _, x: jnp.exp(jnp.minimum(x, 0.0)) * dx)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + jnp.tanh(0.5 * x))


def _softplus(x: Array) -> Array:
    return jnp.logaddexp(x, 0.0)


@lru_cache(maxsize=256)  # one slope, one function: what was compiled for it serves again
def _relu_like(name: str, slope: float, source: str) -> Activation:
    def phi(x: Array) -> Array:
        return jnp.where(x > 0, x, slope * x)

    return Activation(name, phi, (0.0,) if slope != 1.0 else (), (1.0, slope), source)


def leaky_relu(slope: float = 0.01) -> Activation:
    """phi(x) = x for x > 0 and slope * x otherwise.

    >>> float(leaky_relu(0.1).phi(jnp.array(-2.0)))
    -0.2
    """
    slope = check_size("slope", slope)
    return _relu_like(f"leaky_relu:{slope:g}", slope, "Maas, Hannun and Ng 2013; default slope 0.01")


@dataclass(frozen=True)
class PReLU:
    """phi(x) = x for x > 0 and a x otherwise, where each layer of a network learns its own a, at first ``slope``.

    >>> float(PReLU(0.25)(jnp.array(-2.0))), float(PReLU(0.25)(jnp.array(-2.0), 0.5))
    (-0.5, -1.0)
    """

    slope: float

    def __call__(self, x: Array, a: Array | float | None = None) -> Array:
        """phi at the slope ``a``, at the first one if none is given."""
        return jnp.where(x > 0, x, (self.slope if a is None else a) * x)


def prelu(slope: float = 0.25) -> Activation:
    """PReLU: the negative side's slope is learned, one per layer. At first, and in every kernel, ``leaky_relu(slope)``.

    The kernels of infinite width hold the gradients by weights and biases. A layer's slope is a single parameter: its
    part of the NTK stays random however wide the network is.

    >>> prelu().slopes
    (1.0, 0.25)
    """
    slope = check_size("slope", slope)
    kinks = (0.0,) if slope != 1.0 else ()
    return Activation(f"prelu:{slope:g}", PReLU(slope), kinks, (1.0, slope), "He et al. 2015; slope at first 0.25")


NAMED: dict[str, Activation] = {
    act.name.split(":")[0]: act
    for act in (
        _relu_like("relu", 0.0, "Nair and Hinton 2010: max(x, 0)"),
        leaky_relu(),
        prelu(),
        Activation(
            "elu",
            lambda x: jnp.where(x > 0, x, _exp_branch(x)),
            (0.0,),
            source="Clevert, Unterthiner and Hochreiter 2016, alpha = 1",
        ),
        Activation(
            "selu",
            lambda x: SELU_LAMBDA * jnp.where(x > 0, x, SELU_ALPHA * _exp_branch(x)),
            (0.0,),
            source="Klambauer et al. 2017",
        ),
        Activation("tanh", jnp.tanh, source="hyperbolic tangent"),
        Activation("erf", jax.scipy.special.erf, source="Williams 1997: the error function"),
        Activation("sigmoid", _sigmoid, source="logistic function 1/(1 + exp(-x))"),
        Activation("softplus", _softplus, source="Dugas et al. 2001: log(1 + exp(x))"),
        Activation("silu", lambda x: x * _sigmoid(x), source="Elfwing et al. 2018, also Swish: x sigmoid(x)"),
        Activation(
            "gelu",
            lambda x: 0.5 * x * jax.scipy.special.erfc(-x / math.sqrt(2.0)),
            source="Hendrycks and Gimpel 2016: x Phi(x), exact form",
        ),
        Activation("sin", jnp.sin, source="sine"),
        Activation(
            "hard_tanh",
            lambda x: jnp.clip(x, -1.0, 1.0),
            (-1.0, 1.0),
            source="Collobert 2004: x cut to [-1, 1]",
        ),
        _relu_like("identity", 1.0, "linear network"),
    )
}
WITH_SLOPE = {"leaky_relu": leaky_relu, "prelu": prelu}


@lru_cache(maxsize=256)
def derivative(act: Activation, order: int = 1) -> Function:
    """The order-th derivative of phi as an elementwise function (away from the kinks; no delta functions).

    >>> float(derivative(NAMED["hard_tanh"])(jnp.array(2.0)))
    0.0
    """
    fn = act.phi
    for _ in range(order):
        fn = _elementwise_derivative(fn)
    return fn


def _elementwise_derivative(fn: Function) -> Function:
    def derived(x: Array) -> Array:
        return jax.jvp(fn, (x,), (jnp.ones_like(x),))[1]

    return derived


def get(spec: str | Activation, kinks: Sequence[float] = ()) -> Activation:
    """The activation that ``spec`` names.

    ``spec`` is a name of ``NAMED``, ``leaky_relu:0.2`` or ``prelu:0.1`` with a slope, ``path/to/file.py:function``
    for the reader's own JAX function with its ``kinks``, or an Activation, which is returned as it is. Loading a
    file runs it: load only files that you trust. Raises ``ValueError`` or ``TypeError`` with one sentence.

    >>> get("leaky_relu:0.2").slopes
    (1.0, 0.2)
    """
    if isinstance(spec, Activation):
        return spec
    if not isinstance(spec, str):
        raise TypeError(f"activation: expected a name or an Activation, got {type(spec).__name__}")
    name, colon, argument = spec.rpartition(":")
    if colon and name.endswith(".py"):
        return _from_file(spec, Path(name), argument, kinks)
    if kinks:
        raise ValueError(f"kinks: given with the named activation {spec!r}, which knows its own")
    if colon and name in WITH_SLOPE:
        try:
            return WITH_SLOPE[name](number("slope", argument))
        except TypeError:
            raise ValueError(f"activation: expected {name}:SLOPE with a number, got {spec!r}") from None
    return NAMED[check_choice("activation", spec, NAMED)]


def from_function(
    phi: Function,
    kinks: Sequence[float] = (),
    name: str | None = None,
    slopes: tuple[float, float] | None = None,
) -> Activation:
    """An Activation of the reader's own function, checked to be elementwise, traceable and finite.

    ``kinks`` are all points where phi or one of its derivatives jumps: quadrature panels are split there.
    A name is made up from the function's own if none is given. Raises ``TypeError`` if phi is not a
    JAX-traceable scalar-to-scalar function, ``ValueError`` if it is not finite on [-4, 4].

    >>> from_function(lambda x: jnp.abs(x), kinks=[0.0], name="abs").kinks
    (0.0,)
    """
    label = name or f"{getattr(phi, '__module__', 'user')}:{getattr(phi, '__name__', 'phi')}"
    x = jnp.linspace(-4.0, 4.0, 33)
    y, alone = _traced(label, phi, x), _traced(label, phi, x[7])
    if getattr(y, "shape", None) != x.shape or getattr(alone, "shape", None) != ():
        raise TypeError(
            f"activation {label}: expected one number out for each number in (shape {x.shape}), "
            f"got shape {getattr(y, 'shape', None)}"
        )
    if not np.allclose(y[7], alone, rtol=1e-6, atol=1e-12, equal_nan=True):
        raise TypeError(f"activation {label}: expected an elementwise function, but its value depends on the batch")
    slope = _traced(label, jax.vmap(jax.grad(phi)), x + 0.01)
    if not (np.isfinite(y).all() and np.isfinite(slope).all()):
        raise ValueError(f"activation {label}: expected finite values and slopes on [-4, 4], got NaN or infinity")
    return Activation(label, phi, tuple(sorted({number("kinks", k) for k in kinks})), slopes, "your own function")


def _traced(label: str, fn: Function, x: Array) -> Array:
    try:
        return jax.jit(fn)(x)
    except Exception as error:  # whatever the reader's function raises becomes one sentence
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TypeError(f"activation {label}: expected a JAX-traceable function of one array; {reason}") from error


def _from_file(spec: str, path: Path, function: str, kinks: Sequence[float]) -> Activation:
    if not path.is_file():
        raise ValueError(f"activation: no file {str(path)!r} (from {spec!r})")
    module_spec = importlib.util.spec_from_file_location(f"ntk_eoc_user_{path.stem}", path)
    if module_spec is None or module_spec.loader is None:
        raise ValueError(f"activation: {str(path)!r} cannot be read as a Python file")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"activation: {str(path)!r} fails when it runs: {type(error).__name__}: {error}") from error
    phi = getattr(module, function, None)
    if not callable(phi):
        raise ValueError(f"activation: {str(path)!r} defines no function {function!r}")
    return from_function(phi, kinks, name=f"{path.name}:{function}")
