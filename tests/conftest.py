"""What every test run shares: levels and their order, a printed seed, the list of what did not run.

pytest loads it for every folder below tests/. `.ci/check.sh` and `.ci/test.sh` choose levels by
`--levels`; what did not run is told in one list, and is an error where `CI=true` says that the
machine was made to run everything.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from support.fault_report import FaultReport

LEVELS = ("guards", "unit", "golden", "component", "fault", "cluster")
"""Folders of tests/, quickest first; tests run in this order whatever pytest collects first."""

TESTS = Path(__file__).parent

# A shared machine stalls for longer than hypothesis allows one example by default.
settings.register_profile("intops", deadline=None, print_blob=True)
settings.load_profile("intops")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of this suite."""
    group = parser.getgroup("intops")
    group.addoption("--levels", type=_levels, help=f"run these levels of {','.join(LEVELS)}")
    group.addoption(
        "--fault-runs", choices=("short", "full"), default="short", help="length of fault runs"
    )
    group.addoption("--fault-report", type=Path, help="write what the tests have shown here")
    group.addoption(
        "--write-reactions", type=Path, default=None,
        help="keep the figures of tests/fault/test_reactions.py in this file",
    )  # fmt: skip
    group.addoption(
        "--seed", type=int, default=None, help="repeat a run: the seed that its first lines show"
    )


def _levels(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    unknown = [name for name in chosen if name not in LEVELS]
    if unknown:
        raise ValueError(f"there is no level {unknown[0]!r}; there are {', '.join(LEVELS)}")
    return chosen


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed once, and start the list of what did not run."""
    # Whoever runs the tests in the background has Ctrl-C ignored, by them and by every command that they try it on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.seed is None:
        config.option.seed = secrets.randbelow(2**32)
    config.pluginmanager.register(NotRun(config.option.levels or ()), "intops-not-run")
    if config.option.fault_report is not None:
        report = FaultReport(config.option.fault_report, config.option.seed)
        config.pluginmanager.register(report, "intops-fault-report")


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed: a failure that needs luck must be repeatable."""
    return f"seed: {config.option.seed} (repeat with --seed {config.option.seed})"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what is not in a chosen level; a guard keeps tests from lying in none."""
    chosen = config.option.levels
    if chosen and collection_path.parent == TESTS and collection_path.name not in chosen:
        return True
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick levels first, so that failures show early; inside a level the order stays."""
    items.sort(key=lambda item: _rank(level_of(item.path)))


def level_of(path: Path) -> str:
    """The level a file belongs to, "" if it is in none."""
    return path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """Where a test's randomness comes from: `random.Random(seed)`. Printed in the header."""
    value: int = pytestconfig.option.seed
    return value


@pytest.fixture(scope="session")
def fault_runs(pytestconfig: pytest.Config) -> str:
    """How long fault runs are: "short" in `make test`, "full" in `make fault`."""
    value: str = pytestconfig.option.fault_runs
    return value


class NotRun:
    """Keeps what was collected and did not run, with the reason, and says so at the end.

    Args:
        levels: Levels that were asked for; one without a single test is in the list too.
    """

    def __init__(self, levels: tuple[str, ...]) -> None:
        self._without_tests = set(levels)
        self._reasons: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """See which of the chosen levels have tests."""
        self._without_tests -= {level_of(item.path) for item in session.items}

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """A level whose tests were left out by -k or -m has tests."""
        self._without_tests -= {level_of(item.path) for item in items}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that skipped itself as a whole, or that broke: that level has tests too."""
        self._note(report)
        if report.failed:
            self._without_tests.discard(level_of(TESTS.parent / report.nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that skipped itself; an expected failure did run."""
        if not hasattr(report, "wasxfail"):
            self._note(report)

    def _note(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.skipped:
            place = report.longrepr
            text = str(place[2]) if isinstance(place, tuple) else str(place)
            self._reasons[report.nodeid] = text.removeprefix("Skipped: ")

    def lines(self) -> list[str]:
        """The list, one line a test or level: what, and why it did not run."""
        empty = [f"tests/{level}: this level has no test" for level in self._without_tests]
        return sorted([*empty, *(f"{test}: {why}" for test, why in self._reasons.items())])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail in CI for what did not run; hand the list on to `.ci/test.sh`."""
        if session.config.option.collectonly:
            return
        found = self.lines()
        kept = os.environ.get("INTOPS_NOT_RUN")
        if kept and found:
            with Path(kept).open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in found)
        if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._without_tests:
            session.exitstatus = pytest.ExitCode.OK
        if found and os.environ.get("CI") == "true" and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the list."""
        found = self.lines()
        if found:
            terminalreporter.section("did not run, and why")
            for line in found:
                terminalreporter.write_line(line)
            if os.environ.get("CI") == "true":
                terminalreporter.write_line("CI=true: everything has to run, so this is an error.")
