"""Which rows each step sees, decided on the host by a generator whose stream never changes."""

import numpy as np
from jaxtyping import Int32
from numpy import ndarray

from ntk_eoc.training.config import Sgd


def steps(sgd: Sgd, n: int) -> int:
    """Batches in one epoch over n rows.

    >>> steps(Sgd(0.1, 1), 60000), steps(Sgd(0.1, 1, batches="full"), 60000)
    (938, 937)
    """
    return n // sgd.batch if sgd.batches == "full" else -(-n // sgd.batch)


def rows_seen(sgd: Sgd, n: int, done: int) -> int:
    """Rows, counted with repetition, in the first ``done`` batches of an epoch.

    >>> rows_seen(Sgd(0.1, 1), 100, 2), rows_seen(Sgd(0.1, 1, batches="replacement"), 100, 2)
    (100, 128)
    """
    return done * sgd.batch if sgd.batches == "replacement" else min(done * sgd.batch, n)


def order(sgd: Sgd, n: int, seed: int, epoch: int) -> Int32[ndarray, "steps B"]:
    """The rows of every batch of one epoch (1, 2, ...), -1 where the last batch is incomplete.

    A function of seed and epoch alone, so that a resumed run goes on as an undisturbed one.

    >>> order(Sgd(0.1, 1, batch=2), 3, seed=0, epoch=1).tolist()
    [[1, 2], [0, -1]]
    """
    # NumPy promises that the legacy generator's stream never changes; that of default_rng may.
    random = np.random.RandomState([seed, epoch])
    size = steps(sgd, n) * sgd.batch
    if sgd.batches == "replacement":
        rows = random.randint(n, size=size, dtype=np.int32)
    else:
        rows = np.full(size, -1, np.int32)
        rows[:n] = random.permutation(n)[:size]
    return rows.reshape(-1, sgd.batch)
