"""What every test shares: float64, no display, reproducible examples.

The package itself must not be imported here: jaxtyping's import hook is set later, and it checks only
modules that are imported after it.
"""

import os
import sys
from collections.abc import Iterator

import hypothesis
import jax
import pytest

os.environ["MPLBACKEND"] = "Agg"
jax.config.update("jax_enable_x64", True)

# Compilation makes a first example slow, and a gate must give the same answer twice.
hypothesis.settings.register_profile("ntk-eoc", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ntk-eoc")


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Close what a test drew, so that matplotlib does not warn of too many open figures."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
