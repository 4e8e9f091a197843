"""`intops explain rule` says what the catalogue of rules says: title, severity, exception, who lists it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intops_cli.__main__ import main
from intops_core.rules import BY_ID

OWN_RULES = Path(__file__).resolve().parents[2] / "golden" / "conformance" / "own-rules"


def ran(*words: str | Path) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(str(ended.value.code))


@pytest.mark.parametrize("rule_id", list(BY_ID))
def test_explain_and_the_reference_say_the_same_of_a_rule(
    rule_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever reads a refusal finds its rule in both places, with the same words."""
    assert ran("explain", "rule", rule_id, "-o", "json") == 0

    told = json.loads(capsys.readouterr().out)
    page = Path("docs/reference/rules.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith(f"| `{rule_id}` |")]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[1:5] == [
        f"`{told['severity']}`",
        told["title"],
        ", ".join(told["judges"]),
        "possible" if told["exception"] else "not possible",
    ]
    listed = [
        f"`{one['pattern']}`"
        + ("" if one["severity"] == told["severity"] else f" as `{one['severity']}`")
        for one in told["listedBy"]
    ]
    assert cells[5:] in ([", ".join(listed)], [])


def test_a_rule_of_ones_own_is_explained_with_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """ACME-1 in a refusal is not a riddle for those who did not write the Pattern."""
    assert ran("explain", "rule", "ACME-1", "--dir", OWN_RULES, "-o", "json") == 0

    told = json.loads(capsys.readouterr().out)
    assert told["title"].startswith("A target is outside our own domain")
    assert told["brokenWhen"].startswith("facts.roles.target.exists")
    assert told["listedBy"] == [{"pattern": "acme-event-to-incident", "severity": "deny"}]


def test_a_pattern_that_extends_another_lists_its_rules_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is inherited holds, so it is told."""
    assert ran("explain", "rule", "COM-12", "--dir", OWN_RULES, "-o", "json") == 0

    told = json.loads(capsys.readouterr().out)
    assert [one["pattern"] for one in told["listedBy"]] == [
        "acme-event-to-incident",
        "event-to-incident",
    ]


def test_a_misspelt_rule_is_answered_with_what_may_be_meant(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look at the answer is enough, also where no manifests are."""
    monkeypatch.chdir(tmp_path)
    assert ran("explain", "rule", "COM-7") == 1

    assert 'Did you mean "COM-07"' in capsys.readouterr().err
