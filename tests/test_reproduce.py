"""``ntk-eoc reproduce``: the rows against the paper and the theory, folders that are resumed, kept and refused.

Networks are tiny: what is tested is what is trained, kept and told, not whether it learns.
"""

import errno
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ntk_eoc import data, records
from ntk_eoc.activations import get
from ntk_eoc.cli import build_parser, main
from ntk_eoc.experiments import figure1, plans, reproduce, reproduce_figure1, table1, trained
from ntk_eoc.meanfield import phase
from ntk_eoc.training import Config, Inputs, Model, Network, Result, Seeds, Sgd, train

TINY = ["--width", "8", "--depth", "4", "--epochs", "3", "--seeds", "2"]
KEYS = ["activation", "sigma_b", "sigma_w", "width", "depth", "epochs", "seeds"]
KEYS += ["test_accuracy_mean", "test_accuracy_std", "diverged", "seconds", "status"]


def ask(capsys: Any, *line: object) -> dict[str, Any]:
    """The answer to ``ntk-eoc reproduce LINE --json``."""
    code = main(["reproduce", *map(str, line), "--json"])
    out = capsys.readouterr()
    assert code == 0, out.err
    return json.loads(out.out)


def refused(capsys: Any, *line: object) -> str:
    """The one sentence with which ``ntk-eoc reproduce LINE`` is refused."""
    try:
        code = main(["reproduce", *map(str, line)])
    except SystemExit as stop:  # argparse's own way out
        code = stop.code
    out = capsys.readouterr()
    assert code == 2 and not out.out and out.err.count("\n") == 1 and "Traceback" not in out.err, out
    return out.err


def rows(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["activation"]: row for row in answer["rows"]}


def curves(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a record but for the seconds."""
    return {name: array for name, array in records.load(path)[0].items() if name != "seconds"}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ReLU is finished."""
    out = tmp_path_factory.mktemp("done")
    assert main(["reproduce", "fig2", *TINY, "--activations", "relu", "--out", str(out)]) == 0
    return out


class Dead(BaseException):
    """As if the process were gone."""


def dies_after(epochs: int, cause: type[BaseException]) -> Any:
    """A ``train`` that ends like that when some seed has had so many epochs."""

    def train_and_die(*args: Any, **options: Any) -> Result:
        def watch(line: dict[str, Any]) -> None:
            if line["epoch"] == epochs:
                raise cause

        return train(*args, **options, watch=watch)

    return train_and_die


# --- the table -----------------------------------------------------------------------------------------------


def test_the_rows_of_the_paper_start_where_it_says() -> None:
    assert len(table1.PAPER) == 9
    at = {name: table1.start(name, "mnist") for name in table1.names(["paper"])}
    assert at["relu"][1:3] == (0.0, pytest.approx(2**0.5, rel=1e-14))
    for slope in (0.01, 0.02, 0.03):
        assert at[f"leaky_relu:{slope}"][1:3] == (0.0, pytest.approx((2 / (1 + slope**2)) ** 0.5, rel=1e-14))
    assert at["prelu"][:3] == ("prelu", 0.0, pytest.approx((2 / (1 + 0.25**2)) ** 0.5, rel=1e-14))
    assert at["elu"][1:3] == (0.2, 1.227) and at["tanh"][1:3] == (0.2, 1.302)
    for name in ("softplus", "sigmoid"):
        assert at[name][1:] == (0.0, 2**0.5, "ffnn", "in")
        assert table1.start(name, "cifar10")[1:] == (0.0, 1.0, "ffnn", "average")
    assert [table1.rate(depth) for depth in (100, 200, 300)] == [1e-3, 1e-4, 1e-4]
    sizes = {(item, *size) for item, plan in plans.FULL.items() for size in plan.sizes}
    assert sizes == {("fig2", 200, 100), ("fig2", 200, 200), ("table1", 300, 300)}
    assert {job.config.sgd.batch for item in plans.FULL for job in plans.jobs(plans.FULL[item])} == {64}


def test_our_rows_are_in_the_phase_that_they_are_named_after() -> None:
    for name in table1.OURS:
        activation, sigma_b, sigma_w, architecture, _ = table1.start(name, "mnist")
        if architecture == "residual":
            assert (activation, sigma_b) == ("relu", 0.0)
            continue
        here = phase(get(activation), sigma_b=sigma_b, sigma_w=sigma_w)
        expected = name.split("-")[1].replace("edge", "eoc")
        assert here.phase == expected, (name, here)
        if expected != "eoc":  # so far from the edge that ten layers are deep
            assert abs(np.log(here.chi)) > 0.1


def test_printed_accuracies_are_looked_up_by_row() -> None:
    # from the paper's table, four corners and the middle
    assert table1.printed("relu", "mnist", 10) == (46.53, 12.01)
    assert table1.printed("sigmoid", "mnist", 100) == (9.87, 0.10)
    assert table1.printed("elu", "mnist", 100) == (96.07, 0.13)
    assert table1.printed("relu", "cifar10", 10) == (20.38, 1.85)
    assert table1.printed("sigmoid", "cifar10", 100) == (10.33, 0.17)
    assert table1.printed("relu", "digits", 10) is None and table1.printed("relu-ordered", "mnist", 10) is None
    assert all(len(values) == 9 for values in table1.PRINTED.values())


@pytest.mark.parametrize(
    "plan",
    [
        plans.QUICK,
        *plans.FULL.values(),
        plans.plan("fig2", True, "cifar10", ["ours"], depth=200, seeds=1),
        plans.plan("fig2", False, None, ["elu", "leaky_relu:0.02"], width=9, epochs=2),
    ],
)
@pytest.mark.parametrize("item", plans.FULL)
def test_the_command_of_a_plan_means_that_plan(item: str, plan: plans.Plan) -> None:
    if len(plan.sizes) > 1 and plan.sizes != plans.FULL[item].sizes:
        return
    words = shlex.split(plans.command(item, plan, Path("a folder/here")))
    args = build_parser().parse_args(words[1:])
    own = {name: getattr(args, name) for name in ("width", "depth", "epochs", "seeds")}
    assert plans.plan(item, args.full, args.dataset, args.activations, **own) == plan
    assert (words[0], args.item, args.out) == ("ntk-eoc", item, Path("a folder/here"))


# --- training into a folder ----------------------------------------------------------------------------------


def test_answer_and_arrays_are_those_of_the_training(capsys: Any, done: Path) -> None:
    answer = ask(capsys, "fig2", *TINY, "--activations", "relu", "--out", done)
    assert list(answer) == ["item", "dataset", "out", "rows", "provenance"]
    assert (answer["item"], answer["dataset"], answer["out"]) == ("fig2", "digits", str(done))
    assert all(list(row)[: len(KEYS)] == KEYS for row in answer["rows"])
    config = Config(Model("relu", Network(8, 4, 0.0, 2**0.5)), Sgd(1e-2, 3), Inputs("digits"), Seeds(2))
    expected = train(config, data.load("digits")).curves
    row = rows(answer)["relu"]
    final = expected.test_accuracy[:, -1].astype(float)
    assert row["test_accuracy_mean"] == pytest.approx(sum(final) / 2, rel=1e-12)
    assert row["test_accuracy_std"] == pytest.approx(abs(final[0] - final[1]) / 2**0.5, rel=1e-12)
    assert (row["status"], row["diverged"], row["epochs"], row["seeds"]) == ("done", 0, 3, 2)
    found, about = records.load(done / "fig2_digits_8x4.npz")
    assert found["activation"].tolist() == ["relu"] and found["rate"].tolist() == [1e-2]
    for name in ("test_accuracy", "test_loss", "train_accuracy", "train_loss"):
        np.testing.assert_array_equal(found[name][0], getattr(expected, name))
    assert row["seconds"] == pytest.approx(found["seconds"].sum(), abs=0.06)
    assert about == json.loads((done / "fig2_digits_8x4.json").read_text())


def test_provenance_says_where_everything_comes_from(capsys: Any, done: Path) -> None:
    answer = ask(capsys, "fig2", *TINY, "--activations", "relu", "--out", done)
    about = json.loads((done / "provenance.json").read_text())
    assert answer["provenance"] == about
    assert {"commit", "config", "seed", "versions", "device", "seconds", "data", "arrays", "rows"} <= set(about)
    assert about["data"] == data.checksums("digits") and about["commit"] == records.commit()
    assert about["config"]["seeds"] == 2 and about["seed"] == 0
    one = about["rows"]["8x4/relu"]
    assert one["config"]["model"]["net"]["sigma_w"] == pytest.approx(2**0.5) and one["commit"] and one["versions"]
    name = "fig2_digits_8x4.npz"
    assert about["arrays"] == {name: json.loads((done / "fig2_digits_8x4.json").read_text())["sha256"]}


def test_what_is_not_run_says_so_with_its_command_and_hours(capsys: Any, done: Path) -> None:
    found = rows(ask(capsys, "fig2", *TINY, "--activations", "relu", "--out", done))
    assert list(found) == list(table1.PAPER)
    tanh, seconds = found["tanh"], records.load(done / "fig2_digits_8x4.npz")[0]["seconds"]
    assert tanh["status"] == "not run" and tanh["test_accuracy_mean"] is None
    assert tanh["expected_hours"] == pytest.approx(seconds.mean() * 2 * 3 / 3600, rel=1e-12)
    args = build_parser().parse_args(shlex.split(tanh["command"])[1:])
    assert (args.activations, args.width, args.depth, args.epochs, args.seeds) == (["tanh"], 8, 4, 3, 2)
    main(["reproduce", "fig2", *TINY, "--activations", "relu", "--out", str(done)])
    shown = capsys.readouterr().out
    assert tanh["command"] in shown and "not run" in shown and "{" not in shown and "nan" not in shown


def test_finished_rows_are_never_computed_again(capsys: Any, done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def note(config: Config, *args: Any, **options: Any) -> Result:
        asked.append(config.model.activation)
        return train(config, *args, **options)

    monkeypatch.setattr(trained, "train", note)
    before = curves(done / "fig2_digits_8x4.npz")
    found = rows(ask(capsys, "fig2", *TINY, "--activations", "relu", "tanh", "--out", done))
    assert asked == ["tanh"] and found["relu"]["status"] == found["tanh"]["status"] == "done"
    after = curves(done / "fig2_digits_8x4.npz")
    assert after["activation"].tolist() == ["relu", "tanh"]
    np.testing.assert_array_equal(after["test_loss"][0], before["test_loss"][0])
    # fewer epochs and seeds are a part of what is there
    part = [*TINY[:4], "--epochs", "2", "--seeds", "1"]
    row = rows(ask(capsys, "fig2", *part, "--activations", "relu", "--out", done))["relu"]
    assert asked == ["tanh"] and row["test_accuracy_std"] is None
    assert row["test_accuracy_mean"] == pytest.approx(float(before["test_accuracy"][0, 0, 2]))


@pytest.mark.parametrize("cause", [Dead, KeyboardInterrupt])
def test_killed_and_resumed_it_ends_the_same(
    capsys: Any, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: type[BaseException]
) -> None:
    line = ["fig2", *TINY, "--activations", "relu", "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(trained, "train", dies_after(2, cause))
        if cause is Dead:
            with pytest.raises(Dead):
                main(["reproduce", *line])
        else:
            assert main(["reproduce", *line]) == 130
            said = capsys.readouterr().err
            assert said.count("\n") == 1 and " --resume" in said
            assert shlex.split(said.split("go on with: ")[1])[1:] == ["reproduce", *_canonical(line), "--resume"]
    assert not (tmp_path / "8x4" / "relu" / "row.npz").exists()
    assert "go on with: ntk-eoc reproduce fig2" in refused(capsys, *line)
    answer = ask(capsys, *line, "--resume")
    assert rows(answer)["relu"]["status"] == "done"
    found, expected = (curves(folder / "8x4" / "relu" / "row.npz") for folder in (tmp_path, done))
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def _canonical(line: list[str]) -> list[str]:
    """A command line as the package writes it."""
    options = dict(zip(line[1::2], line[2::2], strict=True))
    order = ("--activations", "--width", "--depth", "--epochs", "--seeds", "--out")
    return [line[0], "--dataset", "digits", *(word for name in order for word in (name, options[name]))]


def test_more_epochs_and_more_seeds_go_on_from_what_is_there(capsys: Any, tmp_path: Path) -> None:
    log = tmp_path / "8x4" / "relu" / "log.jsonl"
    ends: list[set[str]] = []
    for epochs, seeds in ((1, 1), (1, 2), (3, 2)):
        line = ["fig2", *TINY[:4], "--epochs", epochs, "--seeds", seeds, "--activations", "relu", "--out", tmp_path]
        if ends:
            assert "--resume" in refused(capsys, *line)
        row = rows(ask(capsys, *line, "--resume"))["relu"]
        assert (row["epochs"], row["seeds"]) == (epochs, seeds)
        ends.append(set(log.read_text().splitlines()))
        assert len(ends[-1]) == seeds * (epochs + 1)
    assert ends[0] < ends[1] < ends[2]
    _, about = records.load(tmp_path / "8x4" / "relu" / "row.npz")
    assert [(one["epochs"], one["seeds"]) for one in about["earlier"]] == [(1, 1), (1, 2)]
    assert about["earlier"][0]["commit"] == records.commit()


def test_table_1_reports_the_epochs_that_the_paper_prints(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "REPORTED", (1, 2, 10))
    plan = plans.plan("table1", False, None, ["relu"], width=8, depth=4, epochs=3, seeds=2)
    found = [row for row in trained.lines("table1", plan, done) if row["activation"] == "relu"]
    accuracy = curves(done / "8x4" / "relu" / "row.npz")["test_accuracy"].astype(float)
    assert [row["epochs"] for row in found] == [1, 2, 3]
    assert [row["test_accuracy_mean"] for row in found] == pytest.approx(accuracy[:, 1:].mean(axis=0).tolist())


@pytest.mark.thorough
def test_diverged_seeds_are_counted_and_left_out(capsys: Any, tmp_path: Path) -> None:
    line = ["--width", 16, "--depth", 300, "--epochs", 1, "--seeds", 2, "--activations", "residual-root2"]
    row = rows(ask(capsys, "fig2", *line, "--out", tmp_path))["residual-root2"]
    assert (row["diverged"], row["test_accuracy_mean"], row["test_accuracy_std"]) == (2, None, None)
    assert row["status"] == "done" and np.isfinite(row["seconds"])
    assert main(["reproduce", "fig2", *map(str, line), "--out", str(tmp_path)]) == 0
    assert "nan" not in capsys.readouterr().out


# --- Figure 1 ------------------------------------------------------------------------------------------------


def test_a_panel_is_that_of_figure_1_and_is_kept(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ask(capsys, "fig1b", "--out", tmp_path)
    expected = figure1.ordered(figure1.Ordered())
    found, about = records.load(tmp_path / "fig1b.npz")
    for name in figure1.Panel._fields:
        np.testing.assert_array_equal(found[name], getattr(expected, name))
    assert [row["activation"] for row in answer["rows"]] == ["relu", "elu"]
    assert answer["rows"][0]["limit"] == pytest.approx(2.0)  # chi = 1/2 at (1, 1)
    assert answer["rows"][0]["supremum"] == pytest.approx(np.abs(expected.deviation[0, :, -1]).max())
    assert about["config"]["sigma_b"] == 1.0 and about["data"] == data.checksums("digits")
    assert json.loads((tmp_path / "provenance.json").read_text()) == answer["provenance"]
    monkeypatch.setattr(reproduce_figure1, "draw", lambda *_: pytest.fail("drawn again"))
    (tmp_path / "provenance.json").unlink()  # a stop right before it was written
    (tmp_path / ".provenance.json.1.part").touch()
    assert ask(capsys, "fig1b", "--out", tmp_path) == answer
    assert not list(tmp_path.glob(".*"))
    assert json.loads((tmp_path / "provenance.json").read_text()) == answer["provenance"]
    said = refused(capsys, "fig1b", "--full", "--out", tmp_path)
    assert "deepest (100 there, 400 here)" in said and "images" in said
    assert "item (fig1b there, fig1a here)" in refused(capsys, "fig1a", "--out", tmp_path)
    path = tmp_path / "fig1b.npz"
    path.write_bytes(path.read_bytes()[:-1])
    assert "fig1b.npz: expected the recorded bytes" in refused(capsys, "fig1b", "--out", tmp_path)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("item", reproduce_figure1.PANELS)
def test_a_panels_configuration_is_plain(item: str, full: bool) -> None:
    config = reproduce_figure1.config(item, full)
    assert json.loads(json.dumps(config)) and ("witness" in config) == (full and item == "fig1a")


# --- bad input -----------------------------------------------------------------------------------------------

BAD = {
    "fig3": "item: expected one of fig1a, fig1b, fig1c, fig2, table1, got 'fig3'; did you mean",
    "fig2 --dataset minst": "dataset: expected one of digits, mnist, cifar10, got 'minst'; did you mean 'mnist'?",
    "fig2 --activations relu tahn": "activations: expected one of paper, ours, relu,",
    "fig2 --seeds 0": "seeds: expected a whole number, at least 1, got 0",
    "fig2 --epochs 0": "epochs: expected a whole number, at least 1, got 0",
    "fig2 --width -3": "width: expected a whole number, at least 1, got -3",
    "fig2 --depth 1": "depth: expected at least 2 dense layers, got 1",
    "fig2 --depth 0": "depth: expected",
    "fig2 --depth 1.5": "--depth: expected a whole number, got '1.5'",
    "fig2 --quick --full": "not allowed with",
    "fig1a --epochs 3": "epochs: expected none for fig1a, which trains nothing, got 3",
    "fig1a --dataset mnist": "dataset: expected digits for fig1a, got 'mnist'",
    "": "ITEM",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_one_sentence_and_exit_2(capsys: Any, tmp_path: Path, line: str) -> None:
    out = tmp_path / "never"
    assert BAD[line] in refused(capsys, *line.split(), "--out", out)
    assert not out.exists()


def test_a_folder_of_another_configuration_is_refused(capsys: Any, done: Path) -> None:
    said = refused(capsys, "table1", *TINY, "--out", done)
    assert "item (fig2 there, table1 here)" in said and str(done) in said
    path = done / "8x4" / "relu" / "config.json"
    before = path.read_text()
    path.write_text(before.replace("0.01", "0.5"))
    try:
        said = refused(capsys, "fig2", *TINY, "--activations", "tanh", "--out", done)
        assert "sgd.rate (0.5 there, 0.01 here)" in said
        path.write_text("half a")
        assert "expected the configuration of a run" in refused(capsys, "fig2", *TINY, "--out", done)
    finally:
        path.write_text(before)


def test_data_that_are_not_there(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NTK_EOC_DATA", str(tmp_path))
    said = refused(capsys, "fig2", *TINY, "--activations", "relu", "--dataset", "mnist", "--out", tmp_path / "out")
    assert "NTK_EOC_DATA: expected train-images-idx3-ubyte.gz" in said


def test_a_folder_that_cannot_be_written(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    said = refused(capsys, "fig2", *TINY, "--out", tmp_path / "file" / "out")
    assert "out: cannot write into" in said and "Not a directory" in said

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(records, "write_atomically", full)
    for item in ("fig2", "fig1b"):
        said = refused(capsys, item, "--out", tmp_path / "full")
        assert "out: cannot write into" in said and "No space left on device" in said


def test_no_room_for_the_arrays(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(reproduce.records, "save", full)
    said = refused(capsys, "fig1b", "--out", tmp_path)
    assert "out: cannot write into" in said and "No space left on device" in said
