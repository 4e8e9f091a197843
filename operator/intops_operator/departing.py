"""What becomes of the volume of a Flow that is gone: it goes only when it is surely empty.

Called by the reconciler. Messages cannot be made again, so whatever is not known keeps the volume.
"""

from intops_core.resources import Ref
from intops_operator.cache import Cache
from intops_operator.core.children.worker import child_name
from intops_operator.edges.cluster import Cluster
from intops_operator.journal import Journal

journal = Journal("depart")


async def volume_is_settled(flow: Ref, cache: Cache, cluster: Cluster) -> bool:
    """Delete the volume of a Flow or keep it; False while its worker may still be at work.

    Raises:
        ClusterError: The API server cannot be reached, or something is otherwise than it was judged from.
    """
    claim = cache.child("PersistentVolumeClaim", flow.namespace, child_name(flow.name))
    if claim is None or claim.leaving:
        cache.forget_pods(flow)
        return True
    if any(pod.phase in {"Pending", "Running"} for pod in cache.pods(flow)):
        return False
    last = cache.last_pod(flow)
    # A claim without a volume holds nothing; else the worker that ended last has to say so, if it knew it.
    empty = claim.unbound if last is None else last.embedded and last.left == 0
    if not empty:
        # What was said is kept with the volume: the next look must not take it for empty.
        journal.info(
            "volume kept, it may hold messages",
            namespace=flow.namespace,
            flow=flow.name,
            left=last.left if last else None,
        )
        return True
    if await cluster.get("Flow", flow.namespace, flow.name) is not None:
        return True
    # Not if anything is otherwise than it was judged from.
    await cluster.delete(
        claim.kind, claim.namespace, claim.name, uid=claim.uid, version=claim.version
    )
    journal.info("empty volume removed", namespace=flow.namespace, flow=flow.name)
    cache.forget_pods(flow)
    return True
