"""An activation seen from very near and from very far: a slope to the right of 0 and one to the left of it.

Where the variance dies or runs away, a layer acts on correlations as the positively homogeneous phi of those two
slopes does. Its correlation map f depends neither on the variance nor on sigma_w: with slopes (r, l), c = cos theta and
f_1(theta) = sin theta - theta cos theta,

    f(c) = c + (r - l)^2 f_1(theta)/(pi (r^2 + l^2)),    f(1) = f'(1) = 1.

So there is no exponential scale. For r != l every correlation tends to 1, and 1 - c falls as depth^-2; for r = l
correlations stand still, at values that depend on the inputs.
"""

import jax.numpy as jnp
import numpy as np

from ntk_eoc.activations import Activation
from ntk_eoc.regularity import NO_JUMP, one_sided

Slopes = tuple[float, float]
FAR = np.array([1e7, 1e9])  # arguments at which phi is asked for its slopes far out


def near(act: Activation) -> Slopes:
    """phi'(0+) and phi'(0-).

    >>> from ntk_eoc.activations import NAMED
    >>> [tuple(round(slope, 6) for slope in near(NAMED[name])) for name in ("tanh", "relu")]
    [(1.0, 1.0), (1.0, 0.0)]
    """
    return one_sided(act, 0.0, 1) if act.slopes is None else act.slopes


def far(act: Activation) -> Slopes | None:
    """The limits of phi(x)/x for x to +infinity and to -infinity; None if phi grows faster, or not at all.

    They are reached where phi(x)/x moves by no more than a thousandth from |x| = 1e7 to 1e9.

    >>> from ntk_eoc.activations import NAMED
    >>> [far(NAMED[name]) for name in ("softplus", "tanh")]
    [(1.0, 0.0), None]
    """
    if act.slopes is not None:
        return act.slopes
    ends = np.stack([FAR, -FAR])
    found = np.asarray(act.phi(jnp.asarray(ends))) / ends
    settled = np.isfinite(found).all() and (np.abs(found[:, 1] - found[:, 0]) <= 1e-3 * np.abs(found).max()).all()
    if not settled or np.abs(found).max() < NO_JUMP:
        return None
    return float(found[0, 1]), float(found[1, 1])


def correlation_limit(slopes: Slopes | None) -> float | None:
    """The correlation that any two inputs tend to, 1; None where it depends on the inputs, or is not known.

    >>> correlation_limit((1.0, 0.0)), correlation_limit((1.0, 1.0))
    (1.0, None)
    """
    if slopes is None or abs(slopes[0] - slopes[1]) <= NO_JUMP * max(abs(slopes[0]), abs(slopes[1])):
        return None
    return 1.0
