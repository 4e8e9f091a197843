"""The volume in which a worker keeps its messages.

Called by `children.desired` where the store is embedded. It outlives its Flow on purpose: it may
hold messages that were acknowledged and not delivered.
"""

from intops_api import names
from intops_operator.core.children.worker import EMBEDDED, Crew, Manifest, metadata


def store_claim(crew: Crew) -> Manifest:
    """The manifest. No owner reference: deleting a Flow must not delete messages."""
    store = crew.volume
    meta = metadata(crew, owned=False)
    meta["labels"][names.LABEL_STORE] = EMBEDDED
    # Whoever takes the volume over changes it, so that nobody deletes what was another's or nobody's when he looked.
    meta["annotations"] = {names.ANNOTATION_TAKEN: "true"}
    if crew.owner is not None:
        meta["annotations"][names.ANNOTATION_FLOW_UID] = crew.owner["uid"]
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": store.size}},
    }
    if store.storage_class is not None:
        spec["storageClassName"] = store.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta,
        "spec": spec,
    }
