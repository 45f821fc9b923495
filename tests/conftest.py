"""What every test shares: float64, no display, reproducible examples.

The package itself must not be imported here: jaxtyping's import hook is set later, and it checks only
modules that are imported after it.
"""

import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import jax
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ["MPLBACKEND"] = "Agg"
jax.config.update("jax_enable_x64", True)

# Compilation makes a first example slow, and a gate must give the same answer twice.
hypothesis.settings.register_profile("ntk-eoc", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ntk-eoc")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="every case of every test, as once a week")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked thorough, but for its first cases if the mark says how many: ``thorough(first=2)``.

    And the examples in docstrings of experiments, all of which the chapters run.
    """
    if config.getoption("thorough"):
        return
    seen: Counter[str] = Counter()
    kept, left_out = [], []
    for item in items:
        mark, test = item.get_closest_marker("thorough"), item.nodeid.split("[")[0]
        seen[test] += 1
        wanted = seen[test] <= mark.kwargs.get("first", 0) if mark else item.path.parent.name != "experiments"
        (kept if wanted else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as in a terminal, here and in processes started from here: the workers of pytest-xdist ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Close what a test drew, so that matplotlib does not warn of too many open figures."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(autouse=True, scope="module")
def release_programs() -> Iterator[None]:
    """Drop the compiled programs of the tests before, once there are many.

    Each holds mappings of memory, of which Linux allows a process 65,530. Past that XLA does not fail, it crashes.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.is_file() and maps.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium, or the one that CHROMIUM names; without one, tests that ask for it are skipped."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=flags)
        yield running
        running.close()
