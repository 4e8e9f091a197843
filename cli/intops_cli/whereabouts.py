"""Whom a command asks: the worker of a local run, or the workers of a cluster.

Used by every command that asks a worker.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from intops_cli.exits import UNAVAILABLE
from intops_cli.output import say
from intops_cli.session import SESSION_VARIABLE, session_at
from intops_cli.worker_client import WorkerClient

if TYPE_CHECKING:
    from intops_cli.cluster_access import ClusterAccess

KUBECONFIG_VARIABLE = "KUBECONFIG"


class Asked(Protocol):
    """Somebody who answers questions about messages."""

    @property
    def unanswered(self) -> Sequence[str]:
        """Why the last answer is not whole: a sentence for each worker that did not answer."""
        ...

    def ask(self, path: str, *, given: bytes | None = None, **query: Any) -> Any:
        """JSON answer; None where nothing of that name is known. `given` goes along as the body."""
        ...


def where_arguments(parser: argparse.ArgumentParser, *, everywhere: bool = False) -> None:
    """Flags that say whom to ask; `everywhere` for what can be asked of all namespaces at once."""
    parser.add_argument("--session", dest="state", help="folder of the run (default: .intops)")
    cluster_arguments(parser, everywhere=everywhere)


def cluster_arguments(parser: argparse.ArgumentParser, *, everywhere: bool = False) -> None:
    """Flags that name a cluster and a place in it: the same for every command, and those of kubectl."""
    parser.add_argument("--context", help="context of the kubeconfig: ask in that cluster")
    parser.add_argument("--kubeconfig", help="file with access to a cluster: ask there")
    parser.add_argument(  # instead of the one for manifests
        "-n",
        "--namespace",
        help="namespace (default: that of the kubeconfig's context, else `default`)",
    )
    if everywhere:
        parser.add_argument(
            "-A", "--all-namespaces", dest="everywhere", action="store_true",
            help="in every namespace of the cluster",
        )  # fmt: skip


def asked(given: argparse.Namespace) -> Asked:
    """The workers that a command means.

    Raises:
        WorkerUnavailable: there is no access to the cluster that was named.
    """
    if in_cluster(given):
        return cluster_of(given)
    return local_worker(given)


def told(client: Asked, code: int) -> int:
    """The exit code of an answer, after saying who did not answer: it is not whole then."""
    say(client.unanswered)
    return UNAVAILABLE if client.unanswered else code


def local_worker(given: argparse.Namespace) -> WorkerClient:
    """The worker of the local run that a command means."""
    return WorkerClient(session_at(given.state))


def in_cluster(given: argparse.Namespace) -> bool:
    """Whether a cluster is meant: it was named, or no local run is there and a kubeconfig is.

    As a plugin of kubectl the command means the cluster that kubectl means.
    """
    if given.context or given.kubeconfig:
        return True
    if given.as_plugin:
        return not given.state
    if given.state or os.environ.get(SESSION_VARIABLE) or session_at(None).running() is not None:
        return False
    return bool(os.environ.get(KUBECONFIG_VARIABLE)) or (Path.home() / ".kube" / "config").exists()


def namespace_of(given: argparse.Namespace) -> str:
    """The namespace of manifests that name none: that of the context where a cluster is meant."""
    found: str = cluster_of(given).namespace if in_cluster(given) else given.namespace
    return found


def cluster_of(given: argparse.Namespace) -> "ClusterAccess":
    """The cluster that a command means.

    Raises:
        WorkerUnavailable: there is no access to it.
    """
    from intops_cli.cluster_access import ClusterAccess  # noqa: PLC0415  takes a second to load

    everywhere = getattr(given, "everywhere", False)
    return ClusterAccess(
        given.kubeconfig, given.context, given.named_namespace, everywhere=everywhere
    )
