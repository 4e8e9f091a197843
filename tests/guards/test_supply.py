"""Where the product comes from: locked dependencies, and exceptions from scanners that say why."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
LOCKS = sorted((TREE / "constraints").glob("*.txt"))
PLANES = ("crds", "core", "operator", "runtime", "cli")
# Older ones have flaws that bite here: request smuggling, unbounded headers; a log that can lose commits.
FLOORS = {"aiohttp": (3, 14, 1), "apsw": (3, 51, 3)}


def locked(lock: Path) -> dict[str, str]:
    """What is locked for each name: version and hashes as they stand there."""
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and line[0] not in "# "]
    return {line.split("==")[0].strip().lower(): line for line in lines}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.stem))
def test_s66_every_dependency_is_one_version_with_its_hash(lock: Path) -> None:
    """What an index hands out later under the same name is not installed."""
    found = locked(lock)

    assert len(found) > 5
    for name, line in found.items():
        assert re.search(r"==[^ ]+", line), name
        assert "--hash=sha256:" in line, name
        assert "://" not in line, name


def test_s66_no_lock_is_below_a_floor() -> None:
    """The versions whose flaws are known here."""
    for lock in LOCKS:
        for name, line in locked(lock).items():
            if floor := FLOORS.get(name.partition("[")[0]):
                version = re.findall(r"==([0-9.]+)", line)[0]
                assert tuple(map(int, version.split(".")[:3])) >= floor, (lock.name, name)


def exceptions() -> list[tuple[str, bool]]:
    """Lines of the product at which a scanner is told to keep still about security, and whether they say why."""
    found = []
    for file in (f for plane in PLANES for f in sorted((TREE / plane).rglob("*.py"))):
        above = ""
        for line in file.read_text(encoding="utf-8").splitlines():
            if re.search(r"# (?:noqa: S\d|nosec)", line):
                said = re.search(r"# noqa: S\d+ {2}\w+\S* \w+", line) or above.lstrip().startswith(
                    "# "
                )
                found.append((f"{file.relative_to(TREE)}: {line.strip()}", bool(said)))
            above = line
    return found


def test_s69_each_exception_from_a_scanner_has_its_reason_beside_it() -> None:
    """Whoever reads the line, or the one above it, need not find out whether it was a slip."""
    assert [line for line, said in exceptions() if not said] == []
    assert len(exceptions()) > 5


def test_s69_the_scanners_run_in_the_fast_gate() -> None:
    """No open finding reaches a commit."""
    gate = (TREE / ".ci" / "check.sh").read_text(encoding="utf-8")

    for tool in ("/bandit -q", "/ruff check", "/mypy -p"):
        assert tool in gate


def test_s70_there_is_a_way_to_tell_us() -> None:
    """In private, with how soon there is an answer, and from where people look."""
    text = (TREE / "SECURITY.md").read_text(encoding="utf-8")

    for words in ("privately", "three days", "docs/security.md"):
        assert words in text
    assert "SECURITY.md" in (TREE / "docs" / "security.md").read_text(encoding="utf-8")
