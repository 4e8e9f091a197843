"""Whom a command asks: the worker of a local run, or the workers of a cluster.

Used by every command that asks a worker.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from intops_cli.session import SESSION_VARIABLE, session_at
from intops_cli.worker_client import WorkerClient

if TYPE_CHECKING:
    from intops_cli.cluster_access import ClusterAccess

KUBECONFIG_VARIABLE = "KUBECONFIG"


class Asked(Protocol):
    """Somebody who answers questions about messages."""

    def ask(self, path: str, *, given: bytes | None = None, **query: Any) -> Any:
        """JSON answer; None where nothing of that name is known. `given` goes along as the body."""
        ...


def where_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags that say whom to ask."""
    parser.add_argument("--session", dest="state", help="folder of the run (default: .intops)")
    parser.add_argument("--context", help="context of the kubeconfig: ask in that cluster")
    parser.add_argument("--kubeconfig", help="file with access to a cluster: ask there")


def asked(given: argparse.Namespace) -> Asked:
    """The workers that a command means.

    Raises:
        WorkerUnavailable: there is no access to the cluster that was named.
    """
    if in_cluster(given):
        return cluster_of(given)
    return local_worker(given)


def local_worker(given: argparse.Namespace) -> WorkerClient:
    """The worker of the local run that a command means."""
    return WorkerClient(session_at(given.state))


def in_cluster(given: argparse.Namespace) -> bool:
    """Whether a cluster is meant: it was named, or no local run is there and a kubeconfig is."""
    if given.context or given.kubeconfig:
        return True
    if given.state or os.environ.get(SESSION_VARIABLE) or session_at(None).running() is not None:
        return False
    return bool(os.environ.get(KUBECONFIG_VARIABLE)) or (Path.home() / ".kube" / "config").exists()


def cluster_of(given: argparse.Namespace) -> "ClusterAccess":
    """The cluster that a command means.

    Raises:
        WorkerUnavailable: there is no access to it.
    """
    from intops_cli.cluster_access import ClusterAccess  # noqa: PLC0415  takes a second to load

    return ClusterAccess(given.kubeconfig, given.context, given.namespace)
