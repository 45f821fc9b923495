"""Work on a real Dask cluster of several processes: the same results, with a worker killed midway, nothing twice."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ntk_eoc.blocks import Kernel, block_function, fill, open_store
from ntk_eoc.blocks.store import describe
from ntk_eoc.blocks.tiles import here, on_cluster
from ntk_eoc.cluster import connect, spread
from ntk_eoc.experiments import trained
from ntk_eoc.experiments.plans import jobs, plan

distributed = pytest.importorskip("distributed")

RELU = Kernel("relu", (0.0, 2**0.5), 20)
INPUTS = np.random.default_rng(0).normal(size=(40, 6))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with connect("local") as found:
        yield found


def test_local_is_one_single_threaded_process_for_each_core(client: Any) -> None:
    pids = client.run(os.getpid)
    assert len(set(pids.values())) == len(os.sched_getaffinity(0))
    assert os.getpid() not in pids.values()
    assert set(client.nthreads().values()) == {1}
    assert set(client.run(lambda: os.environ["NPROC"]).values()) == {"1"}


def test_a_gram_matrix_survives_a_killed_worker(client: Any, tmp_path: Path) -> None:
    config, stores = describe(RELU, INPUTS, "float64"), {}
    asked = []

    def one_dies(tiles):
        asked.extend(tiles)
        for number, filled in enumerate(on_cluster(client, RELU, None, "float64", INPUTS, tiles)):
            if number == 2:
                (victim, *_) = client.run(os.getpid).values()
                os.kill(victim, signal.SIGKILL)
            yield filled

    for name in ("alone", "cluster"):
        stores[name] = open_store(tmp_path / name, config, 4)
    fill(stores["alone"], partial(here, block_function(RELU, None, "float64"), INPUTS))
    assert fill(stores["cluster"], one_dies) == 55
    assert fill(stores["cluster"], one_dies) == 0
    assert len(asked) == len(set(asked)) == 55
    alone, cluster = ((tmp_path / name / "gram.npy").read_bytes() for name in stores)
    assert alone == cluster


def note(number: int, folder: str) -> int:
    path = Path(folder) / str(number)
    path.write_text(path.read_text() + "x" if path.is_file() else "x")
    time.sleep(0.1)
    return number * number


def test_what_has_come_back_is_not_computed_again(client: Any, tmp_path: Path) -> None:
    """All workers are killed at once, and what they had been sent is sent again."""
    back, again = [], set()
    for number, square in spread(client, note, range(16), str(tmp_path)):
        assert square == number * number
        back.append(number)
        if len(back) == 5:
            again = set(range(16)) - set(back)
            for victim in client.run(os.getpid).values():
                os.kill(victim, signal.SIGKILL)
    assert sorted(back) == list(range(16))
    twice = {number for number in range(16) if len((tmp_path / str(number)).read_text()) > 1}
    assert twice <= again


def end(_: int) -> None:
    os._exit(1)


def test_a_task_that_ends_its_workers_is_one_sentence(client: Any) -> None:
    client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0))
    with pytest.raises(RuntimeError, match="dask: 7 ended 1 workers.*; give the workers more") as caught:
        list(spread(client, end, [7]))
    assert "\n" not in str(caught.value)


@pytest.mark.thorough
def test_rows_of_a_plan_are_trained_as_by_one_process(client: Any, tmp_path: Path) -> None:
    small = plan("fig2", False, rows=["relu", "tanh"], width=8, depth=3, epochs=1, seeds=1)
    alone = list(trained.run("fig2", small, tmp_path / "alone"))
    spread_out = list(trained.run("fig2", small, tmp_path / "cluster", client))
    assert {one.job.row for one in spread_out} == {"relu", "tanh"}
    for one in alone:
        (other,) = [other for other in spread_out if other.job == one.job]
        for name in ("test_accuracy", "train_loss"):
            if hasattr(one.curves, name):
                np.testing.assert_array_equal(getattr(one.curves, name), getattr(other.curves, name))
        assert other.about["command"].startswith("ntk-eoc reproduce fig2")
    before = {
        job.row: (trained.folder(tmp_path / "cluster", job) / "row.npz").stat().st_mtime_ns for job in jobs(small)
    }
    assert len(list(trained.run("fig2", small, tmp_path / "cluster", client))) == 2
    assert before == {
        job.row: (trained.folder(tmp_path / "cluster", job) / "row.npz").stat().st_mtime_ns for job in jobs(small)
    }


def test_an_address_without_an_answer_is_said_in_seconds() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens
        address = f"tcp://127.0.0.1:{held.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(OSError, match=f"no scheduler answered at {address} within 5 s; check that one runs there"):
            with connect(address):
                pass
    assert time.monotonic() - begun < 60  # of the scheduler's patience, not of this machine's speed


def test_a_scheduler_without_workers_and_an_address_that_is_none_are_refused() -> None:
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty:
        with pytest.raises(OSError, match="has no workers; start some: dask worker tcp|inproc"):
            with connect(empty.scheduler_address):
                pass
    with pytest.raises((ValueError, OSError), match="^dask: "):
        with connect("no address"):
            pass
