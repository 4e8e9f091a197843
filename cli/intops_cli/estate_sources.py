"""Where an estate comes from: the Flows of a local run, or the objects of a cluster.

Used by `status` and `top`. A cluster is read by one list of each kind; no worker is asked.
"""

import argparse
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from intops_api.kinds import CONNECTOR, FLOW, FLOW_ACTION, Kind
from intops_api.report import FlowReport
from intops_cli.estate import Estate, OperatorLine, estate
from intops_cli.local_state import LocalState, local_state
from intops_cli.session import session_at
from intops_cli.whereabouts import cluster_of, in_cluster, local_worker
from intops_cli.worker_client import Refused, WorkerUnavailable

if TYPE_CHECKING:
    from intops_cli.cluster_access import ClusterAccess


def estate_reader(given: argparse.Namespace) -> Callable[[datetime], Estate]:
    """Reads the estate that a command means, each time it is called.

    Raises:
        WorkerUnavailable: there is neither a local run nor access to a cluster.
    """
    if in_cluster(given):
        cluster = cluster_of(given)
        return lambda now: _of_cluster(cluster, now)
    return lambda now: _of_run(given, now)


def local_run(given: argparse.Namespace) -> LocalState:
    """What the worker of a local run reports now.

    Raises:
        WorkerUnavailable: none answers.
    """
    answer = local_worker(given).ask("/report")
    session = session_at(given.state)
    running = session.running()
    if running is None:
        raise WorkerUnavailable(
            f"No worker runs from {session.root}. Start one with `intops run DIR`."
        )
    report = FlowReport.model_validate(answer)
    return local_state(running, report, namespace=given.namespace)


def _of_run(given: argparse.Namespace, now: datetime) -> Estate:
    state = local_run(given)
    sentence = f"Local run: worker {state.report.version or version('intops')} runs {state.folder}."
    # A local run is judged anew at each question, so no condition knows since when it holds; its sentence does.
    return estate(
        flows=map(_untimed, state.objects(FLOW)),
        connectors=map(_untimed, state.objects(CONNECTOR)),
        actions=(),
        operator=OperatorLine(True, sentence),
        now=now,
    )


def _untimed(found: dict[str, Any]) -> dict[str, Any]:
    conditions = [
        {key: value for key, value in one.items() if key != "lastTransitionTime"}
        for one in found["status"].get("conditions") or ()
    ]
    return {**found, "status": {**found["status"], "conditions": conditions}}


def _of_cluster(cluster: "ClusterAccess", now: datetime) -> Estate:
    flows = cluster_objects(cluster, FLOW)
    return estate(
        flows=flows,
        connectors=cluster_objects(cluster, CONNECTOR),
        actions=_if_allowed(cluster, FLOW_ACTION),
        operator=_operator(cluster, now),
        now=now,
    )


def cluster_objects(cluster: "ClusterAccess", kind: Kind) -> list[dict[str, Any]]:
    """Objects of a cluster, or a sentence that says what it takes to read them.

    Raises:
        WorkerUnavailable: they cannot be read.
    """
    try:
        return cluster.here(kind)
    except Refused as refused:
        hint = "" if cluster.everywhere else " in this namespace"
        raise WorkerUnavailable(
            f"The {kind.plural} of the cluster cannot be read: {refused} It takes the kinds of intops, and the "
            f"right `list` on {kind.plural}{hint}; `intops doctor` says what is missing."
        ) from refused


def _if_allowed(cluster: "ClusterAccess", kind: Kind) -> list[dict[str, Any]]:
    """Objects that only add to the answer."""
    try:
        return cluster.here(kind)
    except Refused:
        return []


def _operator(cluster: "ClusterAccess", now: datetime) -> OperatorLine:
    from intops_cli.cluster_installation import read_operation  # noqa: PLC0415  takes a second
    from intops_cli.diagnosis_control import leases, operator_line, operators  # noqa: PLC0415

    seen = read_operation(cluster)
    return operator_line([*operators(seen, version("intops")), *leases(seen, now)])
