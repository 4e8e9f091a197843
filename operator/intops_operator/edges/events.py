"""Tell people in a Kubernetes Event what was done to a Flow by itself.

Called by `sizing` and `rollout`. An Event is a courtesy: where it cannot be written, the log has it.
"""

from datetime import UTC, datetime
from typing import Final

from intops_api import names
from intops_core.resources import Ref
from intops_operator.core.happenings import CONTROLLER, LONGEST_NOTE
from intops_operator.edges.cluster import Cluster, ClusterError
from intops_operator.journal import Journal

journal = Journal("events")

REPORTER: Final = "intops-operator"


async def tell_event(
    cluster: Cluster, flow: Ref, uid: str, reason: str, text: str, *, warning: bool, now: datetime
) -> None:
    """Make one Event about a Flow.

    Raises:
        NotLeading: Another replica leads now.
    """
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{flow.name}.{int(now.timestamp() * 1e6):x}",
            "namespace": flow.namespace,
        },
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": REPORTER,
        "action": "Scale",
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "note": text[:LONGEST_NOTE],
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": flow.kind,
            "namespace": flow.namespace,
            "name": flow.name,
            "uid": uid,
        },
    }
    try:
        await cluster.create(event)
    except ClusterError as error:
        journal.warning(
            "event not written", namespace=flow.namespace, flow=flow.name, error=error.message
        )
