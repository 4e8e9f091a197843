"""The worker's ServiceAccount: a name of its own, no rights, no token.

Called by `children.desired`.
"""

from intops_operator.core.children.worker import Manifest, Worker, metadata


def service_account(worker: Worker) -> Manifest:
    """The manifest. Workers never talk to the API server, so no token is mounted."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(worker),
        "automountServiceAccountToken": False,
    }
