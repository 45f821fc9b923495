"""What both contenders are given: the same numbers, from NumPy's generator and one seed."""

import numpy as np


def sphere(rows: int, d: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Gaussian inputs scaled to the norm sqrt(d)."""
    x = np.random.default_rng(seed).normal(size=(rows, d))
    return (x * (d**0.5 / np.linalg.norm(x, axis=1, keepdims=True))).astype(dtype)


def spread(rows: int, d: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Inputs as in ``sphere``, with norms from half to three halves of sqrt(d)."""
    norms = np.random.default_rng(seed + 1).uniform(0.5, 1.5, size=(rows, 1))
    return (sphere(rows, d, "float64", seed) * norms).astype(dtype)


def weights(sizes: list[int], dtype: str, seed: int = 1) -> list[np.ndarray]:
    """Standard normal weights (fan_in, fan_out) of a network with these sizes."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=pair).astype(dtype) for pair in zip(sizes[:-1], sizes[1:], strict=True)]


def network(width: int, depth: int, rows: int) -> dict[str, list[np.ndarray]]:
    """A deep ReLU network on its edge of chaos, ten classes, and a batch: weights (fan_in, fan_out), x, labels."""
    ws = [w * np.float32(2 / len(w)) ** 0.5 for w in weights([784, *[width] * (depth - 1), 10], "float32")]
    return {"weights": ws, "x": sphere(rows, 784, "float32"), "labels": np.arange(rows, dtype="int32") % 10}


def regression(train: int, test: int, dtype: str, times: int = 50) -> dict[str, np.ndarray]:
    """A problem for Eq. 8 and 9: a kernel, targets, initial functions and times, from before to after learning.

    The kernel is the NTK of one hidden ReLU layer (sigma_w = sqrt(2), no biases) on the sphere, in closed form.
    """
    x, rng = sphere(train + test, 784, "float64"), np.random.default_rng(2)
    cosine = np.clip(x @ x.T / 784, -1.0, 1.0)
    angle = np.arccos(cosine)
    kernel = 2 * (np.sin(angle) + 2 * (np.pi - angle) * cosine) / np.pi
    found = {
        "train": kernel[:train, :train],
        "test": kernel[train:, :train],
        "y": rng.normal(size=(train, 1)),
        "f0": 0.5 * rng.normal(size=(train, 1)),
        "f0_test": 0.5 * rng.normal(size=(test, 1)),
        "times": np.geomspace(1.0, 1e5, times),
    }
    return {name: value.astype(dtype) for name, value in found.items()}
