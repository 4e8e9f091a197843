"""What is live in a cluster, as resources: what `diff` compares a folder with."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intops_api.kinds import FLOW_ACTION, KINDS, Kind
from intops_cli.worker_client import Refused, WorkerUnavailable
from intops_core.findings import Ref
from intops_core.resources import Resource, Resources, parse_resource

FORBIDDEN = 403

if TYPE_CHECKING:
    from intops_cli.cluster_access import ClusterAccess


@dataclass(frozen=True, slots=True)
class Live:
    """What a cluster holds.

    Attributes:
        resources: Its objects; FlowActions are left out, they are decisions and no configuration.
        unread: Sentences about what could not be read, and what that means for the answer.
    """

    resources: Resources
    unread: tuple[str, ...]


def read_live(cluster: "ClusterAccess", refs: Collection[Ref]) -> Live:
    """The objects that these may concern: class-like ones of the whole cluster, and others of their namespaces.

    Where one of `refs` is class-like itself, others are read everywhere, because it concerns Flows anywhere; with
    rights in some namespaces only, in those, and `unread` says so.

    Raises:
        WorkerUnavailable: the cluster does not let its objects be read.
    """
    namespaces = sorted({ref.namespace for ref in refs if ref.namespace})
    everywhere = any(not ref.namespace for ref in refs)
    resources, unread = Resources(), []
    for kind in KINDS:
        if kind is FLOW_ACTION:
            continue
        raws = None
        if everywhere or not kind.namespaced:
            try:
                raws = cluster.objects(kind)
            except Refused as refused:
                if refused.status != FORBIDDEN or not kind.namespaced or not namespaces:
                    raise _unreadable(kind, None, refused) from refused
                unread.append(
                    f"The {kind.plural} of all namespaces cannot be read with these rights, so only those of "
                    f"the folder's namespaces are judged."
                )
        if raws is None:
            raws = [raw for name in namespaces for raw in _listed(cluster, kind, name)]
        unread += _put(raws, resources)
    return Live(resources, tuple(unread))


def _listed(cluster: "ClusterAccess", kind: Kind, namespace: str) -> list[dict[str, Any]]:
    try:
        return cluster.objects(kind, namespace)
    except Refused as refused:
        raise _unreadable(kind, namespace, refused) from refused


def _unreadable(kind: Kind, namespace: str | None, refused: Refused) -> WorkerUnavailable:
    where = f' in namespace "{namespace}"' if namespace else ""
    return WorkerUnavailable(
        f"The {kind.plural} of the cluster cannot be read: {refused} It takes the kinds of intops, and the "
        f"right `list` on {kind.plural}{where}."
    )


def _put(raws: list[dict[str, Any]], resources: Resources) -> list[str]:
    unread = []
    for raw in raws:
        parsed = parse_resource(raw)
        if isinstance(parsed, Resource):
            resources.add(parsed)
        else:
            first = parsed[0]
            unread.append(
                f"{first.ref.kind}/{first.ref.name} in the cluster cannot be understood, so it is left out: "
                f"{first.path}: {first.message}"
            )
    return unread
