"""The tree keeps the shape that lets a folder be called operator/ and a newcomer guess a file.

`make check` runs it; the reasons are in CONTRIBUTING.md.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]

PLANES = {
    "crds": "intops_api",
    "core": "intops_core",
    "operator": "intops_operator",
    "runtime": "intops_runtime",
    "cli": "intops_cli",
}
"""Plane folder → the one package in it."""


def python_files(folder: Path) -> list[Path]:
    """The Python files below a folder, caches left out."""
    return [path for path in folder.rglob("*.py") if "__pycache__" not in path.parts]


@pytest.mark.parametrize(("plane", "package"), PLANES.items())
def test_a_plane_folder_holds_one_package_and_no_python_file(plane: str, package: str) -> None:
    """operator/__init__.py would replace the standard library's operator for the whole of Python."""
    assert [path.name for path in (TREE / plane).glob("*.py")] == []
    packages = [path.parent.name for path in (TREE / plane).glob("*/__init__.py")]
    assert packages == [package]


@pytest.mark.parametrize("package", [f"{plane}/{name}" for plane, name in PLANES.items()])
def test_a_package_says_that_it_is_typed(package: str) -> None:
    """Without py.typed the types are lost to whoever installs the wheel."""
    assert (TREE / package / "py.typed").is_file()


@pytest.mark.parametrize("folder", ["", "tests", "operator", "runtime"])
def test_python_finds_its_own_operator_module_from_every_folder_of_the_tree(folder: str) -> None:
    """With -S nothing was imported early by luck, so what the search path holds is what is found."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import operator; print(operator.concat('fou', 'nd'))"],
        cwd=TREE / folder,
        env={"PYTHONPATH": str(TREE / folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("found", "")


def test_no_folder_of_tests_is_a_package_named_like_the_standard_library() -> None:
    """tests/ is on the search path, so tests/operator/__init__.py would be Python's operator."""
    packages = [path.parent.name for path in (TREE / "tests").glob("*/__init__.py")]
    assert set(packages) & sys.stdlib_module_names == set()


def test_every_test_file_has_a_name_of_its_own() -> None:
    """Folders of tests are no packages: two files of one name would be one module to pytest."""
    counted = Counter(path.name for path in (TREE / "tests").rglob("test_*.py"))
    assert [name for name, times in counted.items() if times > 1] == []


def test_every_test_is_in_a_level(pytestconfig: pytest.Config) -> None:
    """`make test` runs levels: a test in another folder of tests/ would never run."""
    shared = pytestconfig.pluginmanager.get_plugin(str(TREE / "tests/conftest.py"))
    assert shared is not None
    levels = shared.LEVELS
    files = [path.relative_to(TREE / "tests") for path in (TREE / "tests").rglob("test_*.py")]
    assert [str(path) for path in files if path.parts[0] not in levels] == []


def test_tests_live_in_tests_only() -> None:
    """A conftest.py or test file in a plane folder breaks the import of every test in the session."""
    found = [
        str(path.relative_to(TREE))
        for plane in PLANES
        for path in python_files(TREE / plane)
        if path.name == "conftest.py" or path.name.startswith("test_") or "tests" in path.parts[:-1]
    ]
    assert found == []
