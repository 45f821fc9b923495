"""Which activations the explorer offers, and over which part of the (sigma_b, sigma_w) plane."""

from typing import NamedTuple

from ntk_eoc.activations import NAMED, SELU_LAMBDA, Activation

SIGMA_B_MAX = 2.0


class Entry(NamedTuple):
    """One activation of the explorer.

    ``formula`` is plain text; ``sigma_w_max`` ends its slider. ``far`` holds the slopes of phi at plus and minus
    infinity, (phi(x)/x, phi(-x)/(-x)), and is None for a bounded phi: the variance of those stays below
    sigma_b^2 + sigma_w^2, that of the others may grow until only these slopes matter.
    """

    name: str
    formula: str
    far: tuple[float, float] | None = None
    sigma_w_max: float = 4.0

    @property
    def act(self) -> Activation:
        return NAMED[self.name]

    @property
    def s_max(self) -> float:
        """The largest sqrt(q) for which pairs are tabulated."""
        return (SIGMA_B_MAX**2 + self.sigma_w_max**2) ** 0.5 if self.far is None else 100.0


CATALOGUE = {
    entry.name: entry
    for entry in (
        Entry("relu", "max(x, 0)", (1.0, 0.0)),
        Entry("leaky_relu", "max(x, 0.01 x)", (1.0, 0.01)),
        Entry("elu", "x above 0, exp(x) − 1 below", (1.0, 0.0)),
        Entry("selu", "λ x above 0, λ α (exp(x) − 1) below", (SELU_LAMBDA, 0.0)),
        Entry("gelu", "x Φ(x), Φ the normal distribution function", (1.0, 0.0)),
        Entry("silu", "x / (1 + exp(−x))", (1.0, 0.0)),
        Entry("softplus", "log(1 + exp(x))", (1.0, 0.0)),
        Entry("tanh", "tanh(x)"),
        Entry("erf", "erf(x)"),
        Entry("hard_tanh", "x cut to [−1, 1]"),
        Entry("sigmoid", "1 / (1 + exp(−x))", sigma_w_max=16.0),
        Entry("sin", "sin(x)"),
    )
}
