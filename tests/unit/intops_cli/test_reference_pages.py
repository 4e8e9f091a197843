"""Reference pages of rules, error classes, metrics, flags and commands say what the code says."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from intops_api.conditions import FLOW_CONDITIONS, READY_REASONS_FALSE
from intops_cli import generated, reference
from intops_cli.__main__ import COMMANDS, parser
from intops_cli.exits import MEANINGS
from intops_core.error_classes import ERROR_CLASSES
from intops_core.rules import BY_ID
from intops_operator import settings as operator_settings
from intops_operator.core.delivering import WORDS
from intops_runtime import settings as worker_settings
from intops_runtime.metrics import METRICS

_NOT_JUDGED = {
    reason for type_, doc in FLOW_CONDITIONS.items() if type_ in WORDS for reason in doc.when_false
}
TREE = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Name of each page → its text."""
    return {path.name: text for path, text in reference.outputs(TREE).items()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with freshly generated pages."""
    (tmp_path / "cli" / "intops_cli").mkdir(parents=True)
    assert reference.main(["--root", str(tmp_path)]) == 0
    return tmp_path


def test_the_pages_are_fresh() -> None:
    """Whoever changes a rule, a metric, a flag or a command has run `make generate`."""
    assert generated.stale(reference.outputs, TREE) == []


@pytest.mark.parametrize("damage", ["changed", "deleted"])
def test_a_stale_page_is_told_with_what_to_run(
    tree: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page that was edited by hand or is missing fails the check, and generating mends it."""
    page = tree / "docs" / "reference" / "flags.md"
    if damage == "changed":
        page.write_text(page.read_text("utf-8") + "by hand\n", encoding="utf-8")
    else:
        page.unlink()

    assert reference.main(["--check", "--root", str(tree)]) == 1
    said = capsys.readouterr().err
    assert "docs/reference/flags.md" in said
    assert "make generate" in said
    assert "metrics.md" not in said

    assert reference.main(["--root", str(tree)]) == 0
    assert reference.main(["--check", "--root", str(tree)]) == 0


def test_outside_of_the_source_tree_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong directory is told, not filled."""
    assert reference.main(["--root", str(tmp_path)]) == 1
    assert "--root" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_pages_do_not_depend_on_the_machine(
    pages: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Host name, environment and width of the terminal leave no trace in a page."""
    for name, value in {
        "HOSTNAME": "somebodys-laptop", "KUBECONFIG": "/somewhere/config", "COLUMNS": "40",
        "INTOPS_STATUS_RATE": "99", "NO_COLOR": "1", "FORCE_COLOR": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    assert {path.name: text for path, text in reference.outputs(TREE).items()} == pages


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("rules.md", list(BY_ID)),
        ("error-classes.md", [found.name for found in ERROR_CLASSES]),
        ("metrics.md", [m.name + ("_total" if m.kind == "counter" else "") for m in METRICS]),
        ("metrics.md", ["intops_operator_leader", "intops_operator_reconciles_total"]),
    ],
    ids=["rules", "error classes", "metrics of the worker", "metrics of the operator"],
)
def test_everything_is_listed(pages: dict[str, str], page: str, names: list[str]) -> None:
    """Nothing that people can meet is undocumented."""
    assert [name for name in names if f"| `{name}` |" not in pages[page]] == []


@pytest.mark.parametrize(
    "made", [worker_settings.flags("host"), operator_settings.flags({})], ids=["worker", "operator"]
)
def test_every_flag_is_listed(pages: dict[str, str], made: argparse.ArgumentParser) -> None:
    """Flags are API."""
    flags = set(made.format_help().replace(",", " ").replace("]", " ").split())
    wanted = {flag for flag in flags if flag.startswith("--")} - {"--help", "--some-name"}

    assert len(wanted) > 10
    assert [flag for flag in sorted(wanted) if f"| `{flag}` |" not in pages["flags.md"]] == []


def test_every_command_is_listed_with_its_exit_codes(pages: dict[str, str]) -> None:
    """A script's author needs no source code."""
    page = pages["cli.md"]

    assert [name for name in COMMANDS if f"\n## intops {name}\n" not in page] == []
    assert [c for c, says in MEANINGS.items() if f"| {c} | {says} |" not in page] == []


def test_help_tells_the_exit_codes() -> None:
    """The same sentence in the terminal."""
    assert all(f"{code} {says}" in parser().format_help() for code, says in MEANINGS.items())


def test_every_class_of_errors_has_a_measured_reaction(pages: dict[str, str]) -> None:
    """`make reactions` measures them."""
    page = pages["reactions.md"]
    first, _, words = page.partition("## What a person reads")
    for entry in ERROR_CLASSES:
        assert f"| `{entry.name}` |" in first
        assert f"| `{entry.name}` |" in words


def test_every_fault_has_a_line_with_what_was_measured_of_it(pages: dict[str, str]) -> None:
    """A reader finds the condition and the reason of a fault, and how soon it was told."""
    rows = [line.split(" | ") for line in pages["faults.md"].splitlines() if line.startswith("| ")]
    told = {(row[1].strip("`"), row[2].strip("`")): row for row in rows if len(row) == 8}

    assert {reason for _, reason in told} >= {
        reason for reason in READY_REASONS_FALSE if reason not in _NOT_JUDGED
    }
    down = told["TargetReachable", "DestinationDown"]
    assert "Connector" in down[4]
    assert down[5].startswith("`destinationDown`: ")
    assert all(cell.strip("| ").endswith(" s") for cell in down[6:])
    shown = pages["faults.md"]
    assert all(f"`{entry.name}`" in shown for entry in ERROR_CLASSES)
