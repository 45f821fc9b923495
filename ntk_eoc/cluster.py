"""Work spread over the processes of a Dask cluster (``pip install ntk-eoc[cluster]``): ``--dask ADDRESS`` or ``local``.

``local`` starts one single-threaded process for each core of this machine and stops them at the end. ADDRESS is that of
a running scheduler, ``tcp://HOST:8786``, whose workers have this package in the same version; where they write files
(``ntk-eoc reproduce``) they and the caller see one file system. On SLURM, dask-jobqueue starts both:

    from dask_jobqueue import SLURMCluster

    prologue = ["export NPROC=1"]  # XLA: one thread for one core
    cluster = SLURMCluster(cores=1, processes=1, memory="4GB", walltime="04:00:00", job_script_prologue=prologue)
    cluster.scale(jobs=32)
    print(cluster.scheduler_address)  # ntk-eoc gram relu inputs.npy ... --dask tcp://10.0.0.1:40123

Dask decides who does what and does again what a lost worker was doing. What has come back is not asked for again.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

PATIENCE = 5.0  # seconds that an address has for its answer
AHEAD = 2  # tasks for each worker that are handed out before the first of them is back

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def connect(address: str) -> Iterator[Any]:
    """A ``distributed.Client`` of the scheduler at ``address``, or of one that is started here for "local".

    Raises ``ValueError`` where Dask is not installed or the address is none, ``OSError`` where nobody answers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ValueError("dask: expected dask.distributed to be installed: pip install 'ntk-eoc[cluster]'") from None
    if address == "local":
        single = {name: "1" for name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        with (
            LocalCluster(
                n_workers=cores, threads_per_worker=1, dashboard_address=":0", env=single, silence_logs=logging.ERROR
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(address, timeout=PATIENCE)
    except ValueError:
        raise ValueError(f"dask: expected local or an address like tcp://HOST:8786, got {address!r}") from None
    except OSError:
        raise OSError(
            f"dask: no scheduler answered at {address} within {PATIENCE:g} s; check that one runs there "
            "(dask scheduler), its host and port, and that this machine may reach them"
        ) from None
    with client:
        if not client.nthreads():
            raise OSError(f"dask: the scheduler at {address} has no workers; start some: dask worker {address}")
        yield client


def spread(
    client: Any,
    work: Callable[..., Result],
    items: Sequence[Item],
    *common: Any,
    along: Callable[[Item], tuple[Any, ...]] = lambda _: (),
) -> Iterator[tuple[Item, Result]]:
    """(item, work(item, *along(item), *common)) for each item, in the order in which they are finished.

    Everything is sent with the task that needs it, which Dask can so repeat anywhere: data scattered beforehand is lost
    with the last worker that has it, and what waits for it may wait for ever. Only a few tasks for each worker are
    under way at a time, so that results wait for nobody. Raises what ``work`` raises, ``RuntimeError`` if a task has
    ended several workers or the cluster is gone.
    """
    from dask import config
    from distributed import KilledWorker, as_completed

    waiting, ready = iter(items), as_completed()
    under_way: dict[Any, Item] = {}

    def hand_out(some: Iterable[Item]) -> None:
        for item in some:
            with config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
                future = client.submit(work, item, *along(item), *common, pure=False)
            under_way[future] = item
            ready.add(future)

    hand_out(islice(waiting, AHEAD * max(1, len(client.nthreads()))))
    try:
        for future in ready:
            item = under_way.pop(future)
            found = future.result()
            # a result that is still held would be computed again if its worker is lost now
            future.release()
            yield item, found
            hand_out(islice(waiting, 1))
    except KilledWorker as error:
        raise RuntimeError(
            f"dask: {item} ended {error.allowed_failures + 1} workers, as a process without enough memory does; "
            "give the workers more, or a smaller --memory"
        ) from None
    except (CancelledError, TimeoutError) as error:
        raise RuntimeError(
            f"dask: the cluster is gone ({error}); what is finished is kept, go on with --resume"
        ) from None
