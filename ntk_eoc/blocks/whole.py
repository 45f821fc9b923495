"""A Gram matrix from inputs to disk, computed by this process, its devices, or a Dask cluster."""

import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from ntk_eoc.blocks.kernel import Kernel, Rows, block_function, one_norm
from ntk_eoc.blocks.store import GRAM, describe, fill, open_store
from ntk_eoc.blocks.tiles import MEMORY, here, on_cluster, tile_size
from ntk_eoc.cluster import connect
from ntk_eoc.errors import Scalar


def gram_store(
    kernel: Kernel,
    x: Rows,
    out: Path,
    *,
    dtype: str = "float32",
    memory: Scalar = MEMORY,
    resume: bool = False,
    devices: int = 1,
    dask: str | None = None,
) -> dict[str, Any]:
    """The Gram matrix of the rows of x into the folder ``out`` (see ``store``), with at most ``memory`` bytes at work
    beside the inputs; what is there already is not computed again.

    ``devices`` local devices share each tile, or the workers of the cluster at ``dask`` take tiles. Returns what
    ``ntk-eoc gram --json`` prints: ``file``, ``inputs``, ``dtype``, ``tile`` (its rows), ``blocks`` in all, how many of
    them were ``computed`` now, and ``seconds``.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gram_store(Kernel("relu", (0.0, 2**0.5), 300), np.eye(3), Path(folder) / "g", dtype="float64")["blocks"]
    1
    """
    begun, q0 = time.perf_counter(), one_norm(x)
    block = block_function(kernel, q0, dtype, devices)  # refuses what is wrong before anything is written
    size = tile_size(x.shape[1], memory, layered=block.layered)
    block(x[:1], None)
    with connect(dask) if dask else nullcontext() as client:
        store = open_store(out, describe(kernel, x, dtype), size, resume=resume)
        compute = partial(on_cluster, client, kernel, q0, dtype, x) if dask else partial(here, block, x)
        computed = fill(store, compute)
    return {
        "file": str(out / GRAM),
        "inputs": store.n,
        "dtype": dtype,
        "tile": store.size,
        "blocks": len(store.tiles),
        "computed": computed,
        "seconds": round(time.perf_counter() - begun, 1),
    }
