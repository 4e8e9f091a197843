"""What of an object is ours: the fields that our last server-side apply set and nobody has changed since.

The API server keeps that in `metadata.managedFields` (structured merge diff, `fieldsV1`). Whoever changes a
value takes the field from us, so an object is as we applied it exactly if what is ours of it equals what we
would apply. A leader that has just begun sees so without applying anything.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from intops_api import names

_ITSELF = "."


def applied_hash(manifest: Mapping[str, Any]) -> str:
    """Hash of a manifest as it is sent; equal to `owned_hash` of an object that is as it was sent."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def owned_hash(body: Mapping[str, Any]) -> str:
    """Hash of what is ours of a live object."""
    return applied_hash(owned(body))


def owned(body: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest that our last apply must have sent, less what others have changed since.

    Args:
        body: A live object with its `metadata.managedFields`.

    Returns:
        A manifest; of an object that we never applied only what names it.
    """
    meta = body["metadata"]
    found: dict[str, Any] = {}
    for entry in meta.get("managedFields") or ():
        is_ours = entry.get("manager") == names.FIELD_MANAGER and entry.get("operation") == "Apply"
        if is_ours and not entry.get("subresource"):
            found = _part(body, entry.get("fieldsV1") or {})
    named = {key: meta[key] for key in ("name", "namespace") if key in meta}
    return {
        **found,
        "apiVersion": body.get("apiVersion"),
        "kind": body.get("kind"),
        "metadata": {**found.get("metadata", {}), **named},
    }


def _part(value: Any, fields: Mapping[str, Any]) -> Any:
    """The part of a value that a set of fields names; the whole of it where the set goes no deeper."""
    inner = {key: below for key, below in fields.items() if key != _ITSELF}
    if not inner:
        return value
    if isinstance(value, Mapping):
        keys = {key[2:]: below for key, below in inner.items() if key.startswith("f:")}
        return {key: _part(value[key], below) for key, below in keys.items() if key in value}
    if isinstance(value, list):
        return [
            _part(item, below) for item in value for key, below in inner.items() if _is(key, item)
        ]
    return value


def _is(key: str, item: Any) -> bool:
    """Whether an element of a list is the one that `k:{"name":"x"}` or `v:"x"` tells."""
    form, _, told = key.partition(":")
    if form == "v":
        return bool(json.loads(told) == item)
    if form != "k" or not isinstance(item, Mapping):
        return False
    wanted: dict[str, Any] = json.loads(told)
    return all(item.get(name) == value for name, value in wanted.items())
