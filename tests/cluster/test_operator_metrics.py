"""What a scrape of a real operator brings, against what alerts and dashboards expect of it."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from intops_cli import measures
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import (
    FLOW,
    OperatorProcess,
    ReportServer,
    await_condition,
    healthy,
)

pytestmark = pytest.mark.cluster

CREATED = "_created"
"""Suffix of the client library's own series beside each counter and histogram."""


def samples(replica: OperatorProcess) -> list[tuple[str, dict[str, str], float]]:
    """Every sample of one scrape."""
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(replica.fetch("/metrics")[1])
        for sample in family.samples
        if not sample.name.endswith(CREATED)
    ]


def conditions(replica: OperatorProcess, space: str) -> set[tuple[str, str, str]]:
    """Type, status and reason of what is shown of the Flow of a namespace."""
    return {
        (labels["type"], labels["status"], labels["reason"])
        for name, labels, value in samples(replica)
        if name == "intops_operator_flow_condition"
        and (labels["namespace"], labels["flow"], value) == (space, FLOW, 1.0)
    }


def test_a_scrape_says_which_flow_is_not_ready_and_why(
    plane: ControlPlane, replica: OperatorProcess, workers: ReportServer, itsm: str
) -> None:
    """From well to wrong to well to gone, as an alert needs it."""
    flow = healthy(plane, workers, itsm)
    await_condition(plane, itsm, "Ready", "True", "Healthy")
    well = {("Ready", "True", "Healthy")}
    until(lambda: conditions(replica, itsm) == well, "the Flow is shown as well")

    refused = {
        "name": "helpdesk", "connector": "helpdesk", "role": "target", "state": "held",
        "errorClass": "authDenied", "detail": "HTTP 401",
    }  # fmt: skip
    active = flow["status"]["configHash"]
    workers.say(itsm, FLOW, active=active, connectors=[refused])
    await_condition(plane, itsm, "Ready", "False", "AuthDenied")
    assert conditions(replica, itsm) == {
        ("Ready", "False", "AuthDenied"),
        ("CredentialsValid", "False", "AuthDenied"),
    }

    workers.say(itsm, FLOW, active=active)
    await_condition(plane, itsm, "Ready", "True", "Healthy")
    assert conditions(replica, itsm) == well

    plane.kubectl.run("delete", "flow", FLOW, "-n", itsm)
    until(lambda: conditions(replica, itsm) == set(), "the Flow is shown no more")


def test_every_series_of_the_operator_is_defined_with_its_labels(
    plane: ControlPlane, replica: OperatorProcess, workers: ReportServer, itsm: str
) -> None:
    """The definitions, by which alerts and dashboards are checked, are what a scrape brings."""
    healthy(plane, workers, itsm)
    await_condition(plane, itsm, "Ready", "True", "Healthy")
    known = measures.series()
    brought = {name: frozenset(labels) for name, labels, _ in samples(replica)}

    assert brought == {name: known[name] for name in brought}
    wanted = {name for name in known if name.startswith("intops_operator_")}
    # Nothing was deleted behind the operator's back, nobody asked admission, no Flow may have several workers.
    rare = ("ghosts", "admission", "flow_replicas", "resizes")
    unseen = wanted - set(brought)
    assert {n for n in unseen if not any(word in n for word in rare)} == set()
