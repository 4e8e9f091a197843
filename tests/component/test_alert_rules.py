"""The shipped alert rules, judged by the real promtool: each fires when it should, and otherwise keeps still."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from intops_core.monitoring import ALERT_GROUPS
from support.peers import alertmanager
from support.peers.process import require_binary, run_tool
from support.peers.prometheus import REMEDY

pytestmark = [pytest.mark.component, pytest.mark.peers]

TREE = Path(__file__).resolve().parents[2]
RULES = TREE / "helm" / "intops" / "monitoring" / "rules.yaml"
ALERTS = {alert.name: alert for group in ALERT_GROUPS for alert in group.alerts}

IN = 'namespace="itsm",flow="alerts"'
WORKER = f'{IN},pod="worker-0"'
OPERATOR = 'namespace="intops-system",job="intops",pod="operator-0"'


def condition(kind: str, status: str, reason: str) -> str:
    """A series of the operator about the Flow."""
    labels = f'{IN},type="{kind}",status="{status}",reason="{reason}",pod="operator-0"'
    return f"intops_operator_flow_condition{{{labels}}}"


@dataclass(frozen=True)
class Case:
    """Series, a value a minute from minute 0 on, and whether the alert fires at a minute."""

    alert: str
    says: str
    series: dict[str, str]
    fires: bool
    at: int = 20


def ready(reason: str, values: str = "1x30", status: str = "False") -> dict[str, str]:
    return {condition("Ready", status, reason): values}


def other_leader(reason: str, values: str, status: str = "False") -> dict[str, str]:
    """What the next operator shows of Ready."""
    ((series, text),) = ready(reason, values, status).items()
    return {series.replace("operator-0", "operator-1"): text}


def late(age_minutes: int, **more: str) -> dict[str, str]:
    """A message that came so many minutes before minute 20, to a Flow that promises a minute."""
    return {
        f"intops_oldest_message_timestamp_seconds{{{WORKER}}}": f"{(20 - age_minutes) * 60}x30",
        f"intops_delivery_target_seconds{{{WORKER}}}": "60x30",
        **more,
    }


def leader(values: str) -> dict[str, str]:
    return {f"intops_operator_leader{{{OPERATOR}}}": values}


def counted(name: str, values: str, **labels: str) -> dict[str, str]:
    written = ",".join([OPERATOR, *(f'{key}="{value}"' for key, value in labels.items())])
    return {f"{name}{{{written}}}": values}


def recovered(values: str) -> dict[str, str]:
    return {f'intops_poll_recovered_total{{{WORKER},source="prometheus"}}': values}


def shipped_refused(values: str) -> dict[str, str]:
    return {f"intops_operator_shipped_refused{{{OPERATOR}}}": values}


REVIEWS = "intops_operator_admission_reviews_total"
RECONCILES = "intops_operator_reconciles_total"
EXPIRES = f"intops_operator_certificate_expiry_timestamp_seconds{{{OPERATOR}}}"
HALTED = f"intops_operator_rollout_halted{{{OPERATOR}}}"
DAY = 86_400


def trouble(reason: str) -> str:
    """A series of one problem of the admission certificate."""
    return f'intops_operator_certificate_problem{{{OPERATOR},reason="{reason}"}}'


CASES = (
    Case("IntopsFlowNotReady", "a Flow whose system is away", ready("DestinationDown"), True),
    Case("IntopsFlowNotReady", "an outage that has only begun", ready("DestinationDown"), False, at=4),
    Case("IntopsFlowNotReady", "nobody knows how it is", ready("Pending", status="Unknown"), True),
    Case("IntopsFlowNotReady", "a Flow that is well", ready("Healthy", status="True"), False),
    Case("IntopsFlowNotReady", "a Flow that somebody suspended", ready("Suspended"), False),
    Case("IntopsFlowNotReady", "a Flow that waits for a person only", ready("ReviewOverdue"), False),
    Case("IntopsFlowNotReady", "an outage that is over", ready("AuthDenied", "1x12 _x20"), False),
    Case(
        "IntopsFlowNotReady", "an outage whose reason changes",
        {**ready("DestinationDown", "1x15 _x20"), **ready("AuthDenied", "_x15 1x20")}, True,
    ),
    Case(
        "IntopsFlowNotReady", "an outage during which another operator takes over",
        {**ready("DestinationDown", "1x14 _x20"), **other_leader("DestinationDown", "_x16 1x20")}, True,
    ),
    Case(
        "IntopsFlowNotReady", "an outage that ends while another operator takes over",
        {**ready("DestinationDown", "1x12 _x20"), **other_leader("Healthy", "_x14 1x20", "True")}, False,
    ),
    Case("IntopsMessagesLate", "a message that waits for ten minutes", late(10), True),
    Case("IntopsMessagesLate", "a message that came now", late(0), False),
    Case("IntopsMessagesLate", "a Flow that somebody suspended", late(10, **ready("Suspended")), False),
    Case(
        "IntopsMessagesLate", "a Flow that promises nothing",
        {f"intops_oldest_message_timestamp_seconds{{{WORKER}}}": "0x30"}, False,
    ),
    Case(
        "IntopsStoreNearlyFull", "nine tenths",
        {f"intops_store_fill_ratio{{{WORKER}}}": "0.9x30"}, True,
    ),
    Case(
        "IntopsStoreNearlyFull", "eight tenths",
        {f"intops_store_fill_ratio{{{WORKER}}}": "0.8x30"}, False,
    ),
    Case(
        "IntopsStoreFilling", "seven tenths",
        {f"intops_store_fill_ratio{{{WORKER}}}": "0.7x30"}, True,
    ),
    Case(
        "IntopsStoreFilling", "six tenths",
        {f"intops_store_fill_ratio{{{WORKER}}}": "0.6x30"}, False,
    ),
    Case(
        "IntopsMessagesUnaccounted", "one message too many in the states",
        {f"intops_messages_imbalance{{{WORKER}}}": "-1x30"}, True,
    ),
    Case(
        "IntopsMessagesUnaccounted", "a sum that fits",
        {f"intops_messages_imbalance{{{WORKER}}}": "0x30"}, False,
    ),
    Case(
        "IntopsCredentialRefused", "a credential that the desk refuses",
        {condition("CredentialsValid", "False", "AuthDenied"): "1x30"}, True,
    ),
    Case(
        "IntopsCredentialRefused", "another condition that is False",
        {condition("ReviewClear", "False", "ReviewOverdue"): "1x30"}, False,
    ),
    Case("IntopsWorkerSilent", "a worker that does not report", ready("NoReport"), True),
    Case("IntopsWorkerSilent", "a system that is away", ready("DestinationDown"), False),
    Case(
        "IntopsWorkerNotScraped", "a Flow of which only the operator tells",
        ready("Healthy", status="True"), True,
    ),
    Case(
        "IntopsWorkerNotScraped", "a Flow of which its worker tells too",
        {**ready("Healthy", status="True"), f'intops_messages{{{WORKER},state="waiting"}}': "0x30"}, False,
    ),
    Case("IntopsWorkerNotScraped", "a Flow without a worker", ready("WorkerUnavailable"), False),
    Case(
        "IntopsReviewOverdue", "two messages that wait too long",
        {f"intops_review_overdue_messages{{{WORKER}}}": "2x30"}, True,
    ),
    Case(
        "IntopsReviewOverdue", "none that waits too long",
        {f"intops_review_overdue_messages{{{WORKER}}}": "0x30"}, False,
    ),
    Case("IntopsWebhooksLost", "a message that came only by asking", recovered("0x15 1x15"), True),
    Case("IntopsWebhooksLost", "one that came so long ago", recovered("0 1x180"), False, at=120),
    Case(
        "IntopsPayloadsChanged", "a field that is gone",
        {f'intops_drift_findings{{{WORKER},severity="critical"}}': "1x30"}, True,
    ),
    Case(
        "IntopsPayloadsChanged", "a field that is new",
        {f'intops_drift_findings{{{WORKER},severity="info"}}': "1x30"}, False,
    ),
    Case("IntopsNoLeader", "replicas of which none leads", leader("0x30"), True),
    Case("IntopsNoLeader", "no replica at all", {"up": "1x30"}, True),
    Case("IntopsNoLeader", "a replica that leads", leader("1x30"), False),
    Case(
        "IntopsNoLeader", "a leader and a follower",
        {**leader("1x30"), 'intops_operator_leader{namespace="intops-system",job="intops",pod="b"}': "0x30"},
        False,
    ),
    Case("IntopsNoLeader", "a change of leaders", leader("1x10 0 1x20"), False, at=11),
    Case(
        "IntopsAdmissionFailing", "objects that cannot be judged",
        counted(REVIEWS, "0+1x30", kind="Flow", verdict="failed"), True,
    ),
    Case(
        "IntopsAdmissionFailing", "failures that are eight minutes apart",
        counted(REVIEWS, "0x7 1x7 2x7 3x7 4x7", kind="Flow", verdict="failed"), True, at=35,
    ),
    Case(
        "IntopsAdmissionFailing", "objects that are refused for what they are",
        counted(REVIEWS, "0+9x30", kind="Flow", verdict="refused"), False,
    ),
    Case(
        "IntopsAdmissionFailing", "one failure while it starts",
        counted(REVIEWS, "0 1x30", kind="Flow", verdict="failed"), False, at=11,
    ),
    Case("IntopsCatalogueRefused", "a shipped class that is refused", shipped_refused("2x40"), True, at=30),
    Case("IntopsCatalogueRefused", "all applied after a while", shipped_refused("2x5 0x40"), False, at=30),
    Case(
        "IntopsAdmissionCertificateEnds", "13 days left",
        {EXPIRES: f"{13 * DAY}x90", trouble("EndsSoon"): "1x90"}, True, at=80,
    ),
    Case(
        "IntopsAdmissionCertificateEnds", "it has ended",
        {EXPIRES: "60x90", trouble("Expired"): "1x90"}, True, at=80,
    ),
    Case(
        "IntopsAdmissionCertificateEnds", "issued for a day, half of it left",
        {EXPIRES: f"{DAY // 2}x90", trouble("EndsSoon"): "0x90"}, False, at=80,
    ),
    Case("IntopsAdmissionCertificateEnds", "admission is off", {EXPIRES: "0x90"}, False, at=80),
    Case("IntopsAdmissionCertificateWrong", "another name", {trouble("WrongName"): "1x90"}, True),
    Case("IntopsAdmissionCertificateWrong", "near its end", {trouble("EndsSoon"): "1x90"}, False),
    Case("IntopsAdmissionCertificateWrong", "a sound one", {trouble("WrongName"): "0x90"}, False),
    Case(
        "IntopsOperatorFailing", "half of the reconciles fail",
        {**counted(RECONCILES, "0+5x40", kind="Flow", result="failed"),
         **counted(RECONCILES, "0+5x40", kind="Flow", result="done")}, True, at=30,
    ),
    Case(
        "IntopsOperatorFailing", "one of twenty fails",
        {**counted(RECONCILES, "0+1x40", kind="Flow", result="failed"),
         **counted(RECONCILES, "0+19x40", kind="Flow", result="done")}, False, at=30,
    ),
    Case("IntopsRolloutHalted", "for ten minutes", {HALTED: "0 1x20"}, True, at=10),
    Case("IntopsRolloutHalted", "it goes on", {HALTED: "0 1 1 0x20"}, False, at=10),
)  # fmt: skip


def judge(folder: Path, **expected: Any) -> None:
    """Let promtool play the series and compare; raises with what differs."""
    promtool = require_binary("promtool", remedy=REMEDY)
    file = folder / "test.yaml"
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", **expected}],
    }
    file.write_text(json.dumps(document), encoding="utf-8")
    run_tool([promtool, "test", "rules", str(file)], cwd=folder)


def firing(case: Case, fires: bool) -> dict[str, Any]:
    """What promtool is to find: how many series of the alert fire at that minute."""
    alert = f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}'
    return {
        "input_series": [{"series": name, "values": text} for name, text in case.series.items()],
        "promql_expr_test": [
            {
                "expr": f"count({alert}) or vector(0)",
                "eval_time": f"{case.at}m",
                "exp_samples": [{"labels": "{}", "value": 1 if fires else 0}],
            }
        ],
    }


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    """What the chart ships is what Prometheus reads, as a file or through its operator."""
    promtool = require_binary("promtool", remedy=REMEDY)

    said = run_tool([promtool, "check", "rules", str(RULES)], cwd=tmp_path)

    assert f"{len(ALERTS)} rules found" in said


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.alert}: {c.says}")
def test_an_alert_fires_when_it_should_and_only_then(case: Case, tmp_path: Path) -> None:
    """Each rule is played against series of worker and operator."""
    judge(tmp_path, **firing(case, case.fires))


def test_the_play_can_fail(tmp_path: Path) -> None:
    """The control: expecting the opposite is an error."""
    with pytest.raises(Exception, match="FAILED"):
        judge(tmp_path, **firing(CASES[0], not CASES[0].fires))


def test_every_alert_is_played_firing_and_keeping_still() -> None:
    """A rule that can only fire, or never, is of no use to anybody."""
    assert {case.alert for case in CASES if case.fires} == set(ALERTS)
    assert {case.alert for case in CASES if not case.fires} == set(ALERTS)


def test_an_alert_says_which_flow_and_why(tmp_path: Path) -> None:
    """Whoever is woken up reads the reason of the condition, not only that something is wrong."""
    raw = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    link = raw["groups"][0]["rules"][0]["annotations"]["runbook_url"]

    judge(
        tmp_path,
        input_series=[{"series": condition("Ready", "False", "DestinationDown"), "values": "1x30"}],
        alert_rule_test=[
            {
                "eval_time": "20m",
                "alertname": "IntopsFlowNotReady",
                "exp_alerts": [
                    {
                        "exp_labels": {
                            "severity": "critical",
                            "namespace": "itsm",
                            "flow": "alerts",
                        },
                        "exp_annotations": {
                            "summary": "Flow itsm/alerts is not Ready",
                            "description": "Messages of Flow itsm/alerts have not arrived as promised for five "
                            "minutes (DestinationDown). The Flow's status says what is the case and who owns it.",
                            "runbook_url": link,
                        },
                    }
                ],
            }
        ],
    )


def test_alertmanager_takes_what_the_page_tells_to_write(tmp_path: Path) -> None:
    """Who copies the grouping and the inhibition gets a configuration that is valid."""
    page = (TREE / "docs" / "monitoring.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    config = yaml.safe_load(block)
    config["receivers"] = [{"name": "people"}]
    config["route"]["receiver"] = "people"
    file = tmp_path / "alertmanager.yml"
    file.write_text(json.dumps(config), encoding="utf-8")

    said = run_tool(
        [require_binary("amtool", remedy=alertmanager.REMEDY), "check-config", str(file)],
        cwd=tmp_path,
    )

    assert "1 inhibit rules" in said


def test_two_replicas_with_one_database_make_one_alert(tmp_path: Path) -> None:
    """Replicas that share a store report the same numbers; nobody is woken up twice."""
    series = {f'intops_review_overdue_messages{{{IN},pod="{pod}"}}': "3x30" for pod in ("a", "b")}
    judge(tmp_path, **firing(Case("IntopsReviewOverdue", "", series, True), True))
