"""The Gram matrices that both contenders compute: activation, inputs in R^784, depth and precision."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """One case; norms are "one" (sqrt(784)) or "any" (half of it to three halves)."""

    activation: str
    depth: int
    dtype: str
    sigma_b: float = 0.0
    sigma_w: float = 2**0.5
    norms: str = "one"
    architecture: str = "ffnn"
    rows: int = 1000
    every: bool = False

    @property
    def peer(self) -> str:
        """The peer's method."""
        return "quadrature" if self.activation == "tanh" else "scan" if self.every else "repeat"


SQUASHED = {"sigma_b": 0.2, "sigma_w": 1.3}  # by the Edge of Chaos of tanh
ORDERED = {"sigma_b": 0.2, "sigma_w": 1.0}  # of erf: chaos would magnify the rounding of the peer's diagonal
GRAMS = {
    "ReLU, depth 300, float64": Wanted("relu", 300, "float64"),
    "ReLU, depth 300, float32": Wanted("relu", 300, "float32"),
    "ReLU, depth 10, float64": Wanted("relu", 10, "float64"),
    "erf, depth 300, float64": Wanted("erf", 300, "float64", **ORDERED),
    "erf, any norms, depth 300, float64": Wanted("erf", 300, "float64", **ORDERED, norms="any"),
    "residual ReLU, depth 100, float64": Wanted("relu", 100, "float64", architecture="residual"),
    "ReLU, every depth to 300, N = 100, float64": Wanted("relu", 300, "float64", rows=100, every=True),
    "tanh, depth 10, float32": Wanted("tanh", 10, "float32", **SQUASHED),
    "tanh, any norms, depth 10, float32": Wanted("tanh", 10, "float32", **SQUASHED, norms="any"),
}
