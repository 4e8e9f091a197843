"""Apply the shipped classes, models and patterns: a chart cannot create objects of its own kinds.

The leader runs it at the start of its term. Nothing is ever pruned: a Flow may use what a newer
version no longer ships.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from intops_api import names
from intops_operator import metrics
from intops_operator.edges.cluster import Cluster, ClusterError
from intops_operator.journal import Journal

journal = Journal("catalogue")

_DIGITS = re.compile(r"\d+")
RETRY_S = 3.0  # admission of this very process may need a moment until it is reachable
LONGEST_RETRY_S = 60.0  # what would break live Flows waits for a person to accept it


async def apply_catalogue(cluster: Cluster, manifests: Iterable[Mapping[str, Any]]) -> None:
    """Apply all of it, until all of it is applied. A refusal is logged once, and the older object stays."""
    left = [_marked(manifest) for manifest in manifests]
    told: set[tuple[str, str, str]] = set()
    wait_s = RETRY_S
    while left:
        refused = []
        for manifest in left:
            try:
                await _apply(cluster, manifest)
            except ClusterError as error:
                refused.append(manifest)
                # The sentence has numbers of messages in it, which change at every try.
                words = (
                    manifest["kind"],
                    manifest["metadata"]["name"],
                    _DIGITS.sub("#", error.message),
                )
                if words in told:
                    continue
                told.add(words)
                journal.warning(
                    "shipped object not applied",
                    kind=manifest["kind"],
                    name=manifest["metadata"]["name"],
                    error=error.message,
                )
        metrics.SHIPPED_REFUSED.set(len(refused))
        wait_s = RETRY_S if len(refused) < len(left) else min(2 * wait_s, LONGEST_RETRY_S)
        left = refused
        if left:
            await asyncio.sleep(wait_s)


async def _apply(cluster: Cluster, manifest: dict[str, Any]) -> None:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    present = await cluster.get(kind, None, name)
    if present is not None:
        found = (present["metadata"].get("annotations") or {}).get(names.ANNOTATION_CATALOG_VERSION)
        same_spec = says(present.get("spec"), manifest["spec"])
        if (
            found == manifest["metadata"]["annotations"][names.ANNOTATION_CATALOG_VERSION]
            and same_spec
        ):
            return
    await cluster.apply(manifest, manager=names.FIELD_MANAGER_CATALOG)
    journal.info("shipped object applied", kind=kind, name=name)


def says(stored: object, shipped: object) -> bool:
    """Whether what is stored says what is shipped; the API server has written out what absent fields mean."""
    if isinstance(stored, dict) and isinstance(shipped, dict):
        return all(key in stored and says(stored[key], value) for key, value in shipped.items())
    if isinstance(stored, list) and isinstance(shipped, list):
        pairs = zip(stored, shipped, strict=False)
        return len(stored) == len(shipped) and all(says(one, other) for one, other in pairs)
    return stored == shipped


def version_of(manifest: Mapping[str, Any]) -> str:
    """Hash of what a shipped object says; stands on it in the cluster as an annotation."""
    text = json.dumps(manifest.get("spec"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _marked(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the label and the content hash by which people tell it from their own."""
    meta = dict(manifest["metadata"])
    meta["labels"] = {**(meta.get("labels") or {}), names.LABEL_SHIPPED: "true"}
    meta["annotations"] = {
        **(meta.get("annotations") or {}),
        names.ANNOTATION_CATALOG_VERSION: version_of(manifest),
    }
    return {**manifest, "metadata": meta}
