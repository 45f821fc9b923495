"""pyproject.toml, requirements.lock and environment.yml describe one environment."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# One entry of the lock: the pin with its marker, then its hashes.
LOCK = [entry.split("--hash=") for entry in re.split(r"\n(?=\w)", (ROOT / "requirements.lock").read_text())]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def by_name(requirements: list[str]) -> dict[str, SpecifierSet]:
    parsed = [Requirement(line) for line in requirements]
    return {canonicalize_name(requirement.name): requirement.specifier for requirement in parsed}


def locked(python: str) -> dict[str, str]:
    """Name and version of everything that the lock installs on Linux with this Python."""
    system = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    pins = [Requirement(entry[0].strip().removesuffix("\\")) for entry in LOCK]
    chosen = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(system)]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in chosen}


DIRECT = by_name(PROJECT["dependencies"] + [line for extra in EXTRAS.values() for line in extra])


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_satisfies_every_dependency(python: str) -> None:
    pins = locked(python)
    assert DIRECT.keys() <= pins.keys(), "run make lock"
    broken = [name for name, specifier in DIRECT.items() if not specifier.contains(pins[name])]
    assert not broken, f"run make lock: {broken}"


def test_every_pin_has_a_hash() -> None:
    assert LOCK
    assert [entry[0] for entry in LOCK if len(entry) < 2] == []


def test_the_lock_names_no_index() -> None:
    assert not re.search(r"^\s*--(?!hash)|://", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


def test_conda_environment_equals_pyproject() -> None:
    (pip,) = [entry["pip"] for entry in CONDA if isinstance(entry, dict)]
    listed = [line for line in pip if not line.startswith("-")]
    wanted = by_name(PROJECT["dependencies"] + EXTRAS["book"] + EXTRAS["test"])
    assert by_name(listed) == wanted
    assert [line for line in pip if line.startswith("-")] == ["-e ."]


def test_conda_python_is_supported() -> None:
    (python,) = [line.split("=")[1] for line in CONDA if isinstance(line, str) and line.startswith("python=")]
    assert python in PYTHONS
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
