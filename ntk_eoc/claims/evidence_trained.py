"""Evidence for Figure 2 and Table 1: recorded trainings of their networks on MNIST, and one small and live."""

from collections.abc import Mapping
from pathlib import Path

from ntk_eoc.claims.rows import Row
from ntk_eoc.experiments import plans, table1, trained
from ntk_eoc.experiments.trained_record import Row as Trained
from ntk_eoc.experiments.trained_record import load, summary, wins

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


KIN = ("relu", "leaky_relu:0.01", "leaky_relu:0.02", "leaky_relu:0.03")  # of ReLU; PReLU learns its slopes
GUESS = 10.0  # per cent, of ten classes


def fig2(seed: int = 0) -> list[Row]:
    """Who is ahead of whom after the last recorded epoch, on MNIST at (200, 100) and (200, 200), and who guesses; the
    same on digits, trained now."""
    found, once = load(recorded("fig2_mnist_200x100.npz")), load(recorded("fig2one_mnist_200x100.npz"))
    deeper = load(recorded("fig2_mnist_200x200.npz"))
    rows = [_ahead("MNIST, 100 layers", found.rows, one, other) for one in ("elu", "tanh") for other in KIN[:3]]
    rows += [_ahead("MNIST, 200 layers", deeper.rows, one, "relu") for one in ("elu", "tanh")]
    rows += [_ahead("MNIST, 100 layers", found.rows, one, "prelu") for one in ("elu", "tanh")]
    for name, side in (
        ("softplus", "printed"),
        ("sigmoid", "printed"),
        ("tanh-ordered", "ours"),
        ("tanh-chaotic", "ours"),
        ("relu-ordered", "ours"),
    ):
        accuracy = summary(once.rows[name], -1)[0]
        rows.append(
            Row(f"MNIST, 100 layers: accuracy of {name}, per cent, against guessing", accuracy, GUESS, 2.0, side)
        )
    rows.append(_ahead("MNIST, 100 layers", once.rows, "sigmoid-edge", "sigmoid", "ours"))
    names = ["relu", "elu", "tanh", "sigmoid", "sigmoid-edge", "tanh-ordered"]
    plan = plans.plan("fig2", False, rows=names, depth=30, epochs=12, seeds=2)
    trainings = trained.live(plan, seed * plan.seeds)  # no network in common with another seed
    live = {name: Trained(name, 0.0, 0.0, accuracy) for name, accuracy in trainings.items()}
    pairs = (("elu", "relu", "printed"), ("tanh", "relu", "printed"), ("relu", "sigmoid", "printed"))
    own = (("tanh", "tanh-ordered", "ours"), ("relu", "sigmoid-edge", "ours"))
    return [*rows, *(_ahead("digits, depth 30, live", live, *pair) for pair in (*pairs, *own))]


def tab1() -> list[Row]:
    """Accuracies after ten epochs on MNIST at (300, 300) beside the printed ones, as far as they have been run."""
    found, rows = load(recorded("table1_mnist_300x300.npz")), []
    for name, row in found.rows.items():
        printed = table1.printed(name, found.dataset, 10)
        assert printed is not None
        quantity = f"MNIST, 300 layers, 10 epochs: accuracy of {name}, per cent"
        spread = min(2 * max(printed.spread, 0.5), 0.25 * printed.mean)
        rows.append(Row(quantity, summary(row, 10)[0], printed.mean, spread, "printed"))
    printed_numbers = sum(len(column) for column in table1.PRINTED.values())
    rows.append(Row("numbers of Table 1 that have been run", len(rows), printed_numbers, 0.0, "printed"))
    for name in ("softplus", "sigmoid"):
        accuracy = summary(found.rows[name], 10)[0]
        rows.append(
            Row(f"MNIST, 300 layers: accuracy of {name}, per cent, against guessing", accuracy, GUESS, 2.0, "ours")
        )
    return [*rows, _ahead("MNIST, 300 layers", found.rows, "elu", "relu", "ours")]


def _ahead(where: str, rows: Mapping[str, Trained], one: str, other: str, side: str = "printed") -> Row:
    quantity = f"{where}: share of pairs of seeds in which {one} is ahead of {other}"
    return Row(quantity, wins(rows[one], rows[other]), 1.0, 0.0, side)
