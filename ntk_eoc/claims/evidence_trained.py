"""Evidence for Figure 2: recorded trainings of its networks on MNIST, and the same experiment small and live."""

from pathlib import Path

from ntk_eoc.claims.rows import Row
from ntk_eoc.experiments import plans, trained
from ntk_eoc.experiments.trained_record import Record, load, wins
from ntk_eoc.experiments.trained_record import Row as Trained

PACKAGE = Path(__file__).parents[1]
SHELVES = (PACKAGE / "results", PACKAGE.parent / "book" / "results")  # installed from a wheel; in the repository


def recorded(name: str) -> Path:
    """Where a recorded result is; ``FileNotFoundError`` in one sentence if it is nowhere.

    >>> recorded("fig2_mnist_200x100.npz").name
    'fig2_mnist_200x100.npz'
    """
    for shelf in SHELVES:
        if (shelf / name).is_file():
            return shelf / name
    raise FileNotFoundError(f"{name}: expected this recorded result in {SHELVES[0]} or {SHELVES[1]}, found it in none")


def fig2() -> list[Row]:
    """Who is ahead of whom after the last recorded epoch, on MNIST at (200, 100); the same on digits, trained now."""
    found: Record = load(recorded("fig2_mnist_200x100.npz"))
    relu = found.rows["relu"]
    epochs = relu.accuracy.shape[1] - 1
    rows = [
        Row(
            f"MNIST, {epochs} epochs: share of pairs of seeds in which {name} is ahead of relu",
            wins(found.rows[name], relu),
            1.0,
            0.0,
            side,
        )
        for name in ("elu", "tanh")
        for side in ("printed", "ours")
    ]
    names = ["relu", "elu", "tanh", "sigmoid", "sigmoid-edge", "tanh-ordered"]
    live = {
        name: Trained(name, 0.0, 0.0, accuracy)
        for name, accuracy in trained.live(plans.plan("fig2", False, rows=names, depth=30, epochs=12, seeds=2)).items()
    }
    pairs = (("elu", "relu", "printed"), ("tanh", "relu", "printed"), ("relu", "sigmoid", "printed"))
    own = (("tanh", "tanh-ordered", "ours"), ("relu", "sigmoid-edge", "ours"))
    for one, other, side in (*pairs, *own):
        quantity = f"digits, depth 30, live: share of pairs of seeds in which {one} is ahead of {other}"
        rows.append(Row(quantity, wins(live[one], live[other]), 1.0, 0.0, side))
    return rows
