"""The worker's ServiceAccount: a name of its own, no rights, no token.

Called by `children.desired`.
"""

from intops_operator.core.children.worker import Crew, Manifest, metadata


def service_account(crew: Crew) -> Manifest:
    """The manifest. Workers never talk to the API server, so no token is mounted."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(crew),
        "automountServiceAccountToken": False,
    }
