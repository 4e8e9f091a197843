"""Alerts, dashboards and runbooks name only what exists, and are the files of the chart."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from intops_api.conditions import READY_REASONS_FALSE, ConditionType, Reason
from intops_cli import generated, measures, monitoring
from intops_cli.__main__ import main
from intops_core.monitoring import ALERT_GROUPS, DASHBOARDS, Dashboard
from intops_core.monitoring.dashboard import WIDTH
from intops_core.monitoring.flow_alerts import NOT_AN_OUTAGE
from intops_core.monitoring.promql import named

TREE = Path(__file__).resolve().parents[3]
ALERTS = [alert for group in ALERT_GROUPS for alert in group.alerts]
EXPRESSIONS = [alert.expression for alert in ALERTS] + [
    query.expression for board in DASHBOARDS for _, query in board.queries()
]


def test_the_files_are_fresh() -> None:
    """Whoever changes an alert, a dashboard or a metric that they name has run `make generate`."""
    assert generated.stale(monitoring.outputs, TREE) == []


def test_every_metric_and_label_that_is_named_exists() -> None:
    """A rule about a metric that was renamed never fires, and nobody would notice."""
    assert list(monitoring.problems(measures.series())) == []


@pytest.mark.parametrize(
    "gone",
    ["intops_store_fill_ratio", "intops_operator_flow_condition", "intops_messages"],
)
def test_a_metric_that_goes_is_missed(gone: str) -> None:
    """The control: without the definition, what names it is told with its place."""
    known = {name: labels for name, labels in measures.series().items() if name != gone}

    assert [x for x in monitoring.problems(known) if x.endswith(f"there is no series {gone}")]


def test_a_label_that_goes_is_missed() -> None:
    """The same for labels."""
    known = {**measures.series(), "intops_messages": frozenset({"namespace", "state"})}

    assert 'intops-flow, panel "In flight": intops_messages has no label flow' in set(
        monitoring.problems(known)
    )


def test_every_condition_and_reason_that_is_named_exists() -> None:
    """Values of labels are a closed list too."""
    found: dict[str, set[str]] = {"type": set(), "reason": set()}
    for expression in EXPRESSIONS:
        if "intops_operator_flow_condition" in expression:
            for label, values in re.findall(r'\b(type|reason)[!=~]+"([^"]+)"', expression):
                found[label] |= set(values.split("|"))

    assert found["type"] <= set(ConditionType)
    assert found["reason"] <= set(Reason)
    assert found["reason"]


def test_no_reason_of_an_outage_keeps_still() -> None:
    """What makes a Flow not Ready either wakes somebody up, or is listed with why it does not."""
    alert = next(a for a in ALERTS if a.name == "IntopsFlowNotReady")
    left_out = re.search(r'reason!~"([^"]+)"', alert.expression)

    assert left_out is not None
    assert set(left_out[1].split("|")) == set(NOT_AN_OUTAGE) <= set(READY_REASONS_FALSE)


def test_every_reason_that_wakes_somebody_up_is_in_the_runbook() -> None:
    """Whoever was woken up by a reason finds what to do about it."""
    alert = next(a for a in ALERTS if a.name == "IntopsFlowNotReady")
    # Of VolumeNormal only Silent makes a Flow not Ready.
    waking = set(READY_REASONS_FALSE) - set(NOT_AN_OUTAGE) - {Reason.VOLUME_LOW, Reason.VOLUME_HIGH}

    assert [reason for reason in sorted(waking) if f"`{reason}`" not in " ".join(alert.act)] == []


def test_every_flow_metric_of_a_worker_is_on_a_dashboard() -> None:
    """What is worth counting is worth seeing."""
    seen = {name for e in EXPRESSIONS for name, _ in named(e).selectors}

    assert {measure.name for measure in measures.of_worker()} - seen == set()


def test_every_alert_has_a_runbook_where_its_link_leads() -> None:
    """A link of an alert that leads nowhere is found at night."""
    page = (TREE / "docs/runbooks.md").read_text(encoding="utf-8")
    sections = {title.lower() for title in re.findall(r"^### (\w+)$", page, re.MULTILINE)}
    rules = yaml.safe_load((TREE / "helm/intops/monitoring/rules.yaml").read_text("utf-8"))
    links = [r["annotations"]["runbook_url"] for g in rules["groups"] for r in g["rules"]]

    assert {link.removeprefix("docs/runbooks.md#") for link in links} == sections
    inner = set(re.findall(r"\]\(#(\w+)\)", page))
    assert inner <= sections


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_a_runbook_says_what_to_look_at_and_what_to_do(alert: Any) -> None:
    """In that order, and after what users notice."""
    assert alert.means
    assert alert.noticed
    assert alert.look
    assert alert.act


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_panels_have_places_of_their_own(board: Dashboard) -> None:
    """Grafana moves panels that lie on each other, and nobody finds them again."""
    written = (TREE / f"helm/intops/monitoring/dashboards/{board.uid}.json").read_text("utf-8")
    model = json.loads(written)
    panels = model["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < WIDTH
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    assert all(a["gridPos"]["y"] <= b["gridPos"]["y"] for a, b in pairwise(panels))
    assert model["uid"] == board.uid


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_every_variable_of_a_query_can_be_chosen(board: Dashboard) -> None:
    """A query with an unknown variable shows nothing, without an error."""
    chosen = {variable.name for variable in board.variables} | {"__rate_interval"}

    used = {n for _, q in board.queries() for n in re.findall(r"\$(\w+)", q.expression)}
    assert used <= chosen


def test_a_rule_that_was_edited_by_hand_is_told_with_what_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next `make generate` would take the edit away, so it is said before."""
    (tmp_path / "cli" / "intops_cli").mkdir(parents=True)
    assert monitoring.main(["--root", str(tmp_path)]) == 0
    rules = tmp_path / "helm/intops/monitoring/rules.yaml"
    rules.write_text(rules.read_text("utf-8").replace("5m", "50m"), encoding="utf-8")

    assert monitoring.main(["--check", "--root", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "helm/intops/monitoring/rules.yaml" in said
    assert "make generate" in said


def test_a_runbook_can_be_read_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """At night, beside kubectl, without a browser."""
    with pytest.raises(SystemExit) as ended:
        main(["explain", "alert", "IntopsStoreFilling"])

    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert said.startswith("IntopsStoreFilling: warning\n")
    assert "  kubectl -n NAMESPACE get flow FLOW\n" in said
    assert "What to do:\n1. " in said


def test_an_alert_that_does_not_exist_is_told_with_those_that_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A name that was mistyped is answered with the right one in sight."""
    with pytest.raises(SystemExit) as ended:
        main(["explain", "alert", "IntopsStoreFiling"])

    assert ended.value.code == 1
    assert "IntopsStoreFilling" in capsys.readouterr().err
