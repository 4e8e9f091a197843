"""Reports in, statuses out, word by word: what `kubectl get -o yaml` shows of each kind but Flow.

After a wanted change, run `PYTHONPATH=tests python tests/golden/operator/test_status_golden.py` and read
the difference.
"""

from pathlib import Path
from typing import Any

import yaml

from intops_api.connector_class import ClassLimits
from intops_core.findings import Finding
from intops_operator.core.about import about_connector, about_mappings, fold_drift, fold_systems
from intops_operator.core.standing import Standing, standing_status
from support.conformance import catalogue_and_example
from support.operator_facts import NOW, healthy_facts

HERE = Path(__file__).resolve().parent
FILE = HERE / "statuses.yaml"
SYSTEM = {"name": "helpdesk", "connector": "helpdesk", "role": "target"}
DOWN = {
    **SYSTEM, "state": "open", "errorClass": "destinationDown", "detail": "HTTP 503",
    "since": "2026-11-25T10:02:11Z", "doing": "keeps messages and asks the system again every 10 s",
}  # fmt: skip
DRIFT = {
    "kind": "drift", "reason": "UnknownVariant", "severity": "critical",
    "mapping": "alertmanager-to-event",
    "message": 'Payloads of source "prometheus" have none of the forms that Mapping '
    '"alertmanager-to-event" knows (v4); they wait in review.',
}  # fmt: skip


def standing(kind: str, name: str, **more: Any) -> dict[str, Any]:
    """The status of one resource of the catalogue or the example."""
    found = catalogue_and_example().get(kind, "itsm", name)
    assert found is not None
    return standing_status(Standing(kind, name, 1, NOW, found.spec, **more))


def connector(users: int, *systems: dict[str, Any]) -> dict[str, Any]:
    """The desk's Connector, as Flows with these reports see it."""
    seen = [about_connector(healthy_facts(connectors=[one]), "helpdesk") for one in systems]
    folded = fold_systems([one for one in seen if one is not None], users)
    limits = ClassLimits(requests_per_second=10, concurrency=4)
    return standing("Connector", "helpdesk", users=users, system=folded, class_limits=limits)


def mapping(*findings: dict[str, Any]) -> dict[str, Any]:
    """The source's Mapping, as one Flow with these findings sees it."""
    name = "alertmanager-to-event"
    seen = about_mappings(healthy_facts(findings=list(findings)))
    assert seen is not None
    return standing("Mapping", name, users=1, drift=fold_drift(name, [seen], 1))


def refused() -> dict[str, Any]:
    """A class that an older version let in."""
    found = catalogue_and_example().get("ConnectorClass", "", "alertmanager")
    assert found is not None
    words = "The class has no limits, so nobody knows how hard its systems may be worked."
    finding = Finding("COM-14", "deny", "spec.limits", words, found.ref)
    return standing("ConnectorClass", "alertmanager", users=1, findings=(finding,))


def statuses() -> str:
    """All cases as YAML."""
    cases = {
        "a Connector that nobody uses yet": connector(0),
        "a Connector whose Flow has not reported yet": connector(1),
        "a Connector whose system answers": connector(1, SYSTEM),
        "a Connector whose system is away for one of two Flows": connector(2, SYSTEM, DOWN),
        "a Mapping that fits": mapping(),
        "a Mapping that lacks a form": mapping(DRIFT),
        "a class that newer rules refuse": refused(),
        "a model that is used by a class and a Pattern": standing(
            "CanonicalModel", "event", users=0, others={"ConnectorClass": 2, "Pattern": 1}
        ),
        "a Pattern that one of three Flows breaks": standing(
            "Pattern", "event-to-incident", users=3, violations=1, exceptions=2
        ),
    }
    return yaml.safe_dump(cases, sort_keys=False, width=100, allow_unicode=True)


def test_an_object_has_this_status() -> None:
    """Tools and people read these words."""
    assert statuses() == FILE.read_text(encoding="utf-8")


if __name__ == "__main__":
    FILE.write_text(statuses(), encoding="utf-8")
