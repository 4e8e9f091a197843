"""Decisions in a cluster: a FlowAction in one's own name, and the answer of the worker in its status.

Used by `review` where a cluster is meant.
"""

import argparse
import uuid
from typing import Any

from intops_cli.cluster_access import ClusterAccess, ready_of
from intops_cli.exits import OK, REFUSED, UNAVAILABLE
from intops_cli.output import Table, say, show
from intops_cli.worker_client import Refused


def decide_in_cluster(
    given: argparse.Namespace,
    cluster: ClusterAccess,
    *,
    flow: str,
    select: dict[str, Any],
    patch: list[dict[str, Any]],
) -> int:
    """Make a decision and wait for what became of it; returns the exit code."""
    name = given.id or f"{given.verb}-{uuid.uuid4().hex[:10]}"
    spec: dict[str, Any] = {
        "flow": flow,
        "action": given.verb,
        "select": select,
        "reason": given.reason or "no reason given",
        "actor": cluster.user(),
    }
    if patch:
        spec["patch"] = patch
    try:
        cluster.decide(name, spec)
        return _tell(given, cluster.await_answer(name, given.timeout))
    except Refused as refused:
        say(f"Nothing was changed. {refused}")
        return REFUSED


def approve_in_cluster(given: argparse.Namespace, cluster: ClusterAccess, name: str) -> int:
    """Approve what somebody else decided, and wait for what became of it."""
    try:
        cluster.approve(name, cluster.user())
        return _tell(given, cluster.await_answer(name, given.timeout))
    except Refused as refused:
        say(f"Nothing was approved. {refused}")
        return REFUSED


def _tell(given: argparse.Namespace, action: dict[str, Any]) -> int:
    ready = ready_of(action)
    if given.output in ("json", "yaml"):
        show(action, Table([], []), given.output)
    status, reason, message = (ready.get(key, "") for key in ("status", "reason", "message"))
    if status == "True":
        if given.output not in ("json", "yaml"):
            print(message)
        return OK
    name = action["metadata"]["name"]
    if reason in ("", "Pending"):
        say(
            f"The worker has not answered within {given.timeout:.0f} s. The decision stands: see "
            f"`kubectl get flowaction {name} -n {action['metadata']['namespace']}`."
        )
        return UNAVAILABLE
    say(message)
    return OK if reason == "AwaitingApproval" else REFUSED
