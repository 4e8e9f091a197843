"""What people install: one wheel with all planes, the shipped catalogue and the licence.

`make check` runs it.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
CATALOG = TREE / "core/intops_core/catalog"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel that was built from the tree just now."""
    into = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", build, str(into)],
        cwd=TREE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (built,) = into.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_the_wheel_contains_the_shipped_catalogue(wheel: list[str]) -> None:
    """The leader applies the shipped classes, models and patterns from its own image."""
    shipped = [path.relative_to(TREE / "core").as_posix() for path in CATALOG.rglob("*.yaml")]
    assert shipped, "there is no catalogue to ship"
    assert [name for name in shipped if name not in wheel] == []


def test_the_wheel_contains_every_plane_and_nothing_else(wheel: list[str]) -> None:
    """Tests, examples and benchmarks stay at home."""
    planes = {"intops_api", "intops_core", "intops_operator", "intops_runtime", "intops_cli"}
    tops = {name.partition("/")[0] for name in wheel}
    assert {name for name in tops if not name.endswith(".dist-info")} == planes
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)


@pytest.mark.parametrize(
    ("lock", "absent"),
    [
        ("runtime", {"kopf", "kubernetes", "httpx", "rich", "pytest"}),
        ("operator", {"apsw", "kubernetes", "httpx", "rich", "pytest"}),
        ("cli", {"pytest", "mypy", "ruff"}),
    ],
)
def test_a_lock_holds_what_its_plane_needs_and_no_more(lock: str, absent: set[str]) -> None:
    """S-72: Each image installs from its own lock: what is not in it cannot be imported by accident."""
    locked = names_in(TREE / f"constraints/{lock}.txt")
    assert "pydantic" in locked
    assert locked & absent == set()


def test_every_lock_holds_what_pyproject_asks_for() -> None:
    """A dependency that was added without `make lock` would be missing on every fresh machine."""
    extras = tomllib.loads((TREE / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for lock in ("operator", "runtime", "cli", "dev"):
        asked = {name_of(line) for line in extras[lock]} - {"intops"}
        missing = asked - names_in(TREE / f"constraints/{lock}.txt")
        assert missing == set(), f"constraints/{lock}.txt lacks {sorted(missing)}: run `make lock`"


def names_in(lock: Path) -> set[str]:
    """The distributions that a lock file names."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return {name_of(line) for line in lines if line and line[0].isalnum()}


def name_of(requirement: str) -> str:
    """`PyYAML>=6` → `pyyaml`; of `intops[core]` → `intops`."""
    name = requirement
    for end in "[<>=!~; ":
        name = name.partition(end)[0]
    return name.strip().lower().replace("_", "-")
