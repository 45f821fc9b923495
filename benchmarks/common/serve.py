"""The worker's side of a benchmark. It runs in either environment, so it needs no more than the standard library.

A case is a function that prepares what it needs and returns the call to be timed. Requests and replies are lines of
JSON on stdin and stdout; whatever else a library prints goes to stderr.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

Case = Callable[[], Callable[[], Any]]


def serve(cases: Mapping[str, Case], packages: tuple[str, ...]) -> None:
    """Answer until stdin ends: ``versions``, ``prepare`` a case, ``run`` it n times, ``save`` its result."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    calls: dict[str, Callable[[], Any]] = {}

    def answer(do: str, case: str = "", times: int = 1, path: str = "") -> dict[str, Any]:
        if do == "versions":
            return {package: version(package) for package in packages}
        if do == "prepare":
            calls[case] = cases[case]()
            return {"first": timed(calls[case])}
        if do == "run":
            return {"seconds": [timed(calls[case]) for _ in range(times)]}
        import numpy

        numpy.save(path, numpy.asarray(calls[case]()))
        return {}

    for line in sys.stdin:
        replies.write(json.dumps(answer(**json.loads(line))) + "\n")


def timed(call: Callable[[], Any]) -> float:
    """Seconds until the result of ``call`` is there: JAX returns before it has computed."""
    jax, start = sys.modules.get("jax"), time.perf_counter()
    result = call()
    if jax is not None:
        jax.block_until_ready(result)
    return time.perf_counter() - start
