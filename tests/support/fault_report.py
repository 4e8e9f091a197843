"""What a fault run has shown, as a file that a person can read: rows, seconds, seeds and figures.

`--fault-report FILE` of pytest; `make fault`, `make crash-points` and the soak write it.
"""

from __future__ import annotations

import platform
import time
from pathlib import Path

import pytest

LONGEST_OUTPUT = 600


class FaultReport:
    """Collects the ends of tests and writes them when the session is over.

    Args:
        file: Where to write.
        seed: Of the session.
    """

    def __init__(self, file: Path, seed: int) -> None:
        self._file = file
        self._seed = seed
        self._began = time.time()
        self._lines: list[str] = []
        self._failed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that ran, or that could not begin."""
        if report.when != "call" and report.passed:
            return
        self._failed += report.failed
        outcome = {"passed": "held", "failed": "**BROKEN**"}.get(report.outcome, report.outcome)
        self._lines.append(f"- {outcome}, {report.duration:.1f} s: `{report.nodeid}`")
        said = report.capstdout.strip()[-LONGEST_OUTPUT:]
        self._lines += [f"  - {line.strip()}" for line in said.splitlines() if line.strip()]

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(self.text(), encoding="utf-8")

    def text(self) -> str:
        """The whole report."""
        began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self._began))
        minutes = (time.time() - self._began) / 60
        return "\n".join(
            [
                "# Fault report",
                "",
                f"Began {began}, {minutes:.0f} minutes, Python {platform.python_version()}.",
                f"Seed {self._seed} (repeat with `--seed {self._seed}`). {self._failed} broken.",
                "",
                *self._lines,
                "",
            ]
        )
