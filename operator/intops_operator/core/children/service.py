"""The Service by which senders inside the cluster reach capture.

Called by `children.desired`.
"""

from intops_api import names
from intops_operator.core.children.worker import Manifest, Worker, child_name, metadata


def worker_service(worker: Worker) -> Manifest:
    """The manifest: capture for senders, operations for monitoring.

    Its name is the Flow's also in a pool, so that senders need not be told when a Flow moves.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(worker),
        "spec": {
            "type": "ClusterIP",
            "selector": worker.selector,
            "ports": [
                _port("capture", names.PORT_CAPTURE),
                _port("operations", names.PORT_OPERATIONS),
            ],
        },
    }


def _port(name: str, number: int) -> Manifest:
    return {"name": name, "port": number, "targetPort": name, "protocol": "TCP"}


def capture_url(namespace: str, flow: str, binding: str) -> str:
    """Address inside the cluster where senders deliver for one binding."""
    path = names.CAPTURE_PATH.format(namespace=namespace, flow=flow, binding=binding)
    return f"http://{child_name(flow)}.{namespace}.svc:{names.PORT_CAPTURE}{path}"
