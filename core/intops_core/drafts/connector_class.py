"""A ConnectorClass for a tool that posts webhooks, from samples: what `intops new connector-class` prints."""

from collections.abc import Sequence
from typing import Any, Final

from intops_api.common import FieldSchema
from intops_core.drafts.draft import Document, Entry, Fields, Listed, fields, manifest
from intops_core.drafts.inference import Leaf, leaves, schemas
from intops_core.drafts.matching import matches
from intops_core.drafts.samples import Samples

OBJECT: Final = "message"
"""What one message of such a class is called."""
_TEXT: Final = FieldSchema(type="string")
_TIME: Final = FieldSchema(type="time")


def connector_class(name: str, samples: Samples) -> Document:
    """The manifest. Fields are required where every one of several messages has them."""
    typed = schemas(samples.objects)
    found = leaves(samples.objects)
    ids = [match.leaf for match in matches("event", "identityKey", _TEXT, found)]
    spec = fields(
        Entry(
            "displayName",
            name.replace("-", " ").capitalize(),
            "The name that people know the tool by.",
        ),
        Entry("description", _description(name)),
        Entry("endpointRequired", False, "It sends, and is not asked."),
        Entry(
            "credentials",
            Listed(_CREDENTIALS),
            "Keys of the Secret. One proof of the sender is enough.",
        ),
        Entry("objects", fields(Entry(OBJECT, _object(typed)))),
        Entry("capture", _capture(samples, found, ids)),
    )
    return manifest("ConnectorClass", name, spec, head=_head(samples, ids))


_CREDENTIALS: Final = (
    {"key": "token", "required": False, "description": "Bearer token of the tool, 32 random characters or more."},
    {"key": "hmacKey", "required": False, "description": "Shared key, where the tool signs the body instead."},
    {"key": "username", "required": False, "description": "User name, where the tool uses basic authentication."},
    {"key": "password", "required": False, "description": "Password to that user name."},
)  # fmt: skip
_VERIFY: Final = (
    {"scheme": "bearer", "key": "token"},
    {"scheme": "basic", "usernameKey": "username", "passwordKey": "password"},
    {"scheme": "hmac", "key": "hmacKey", "header": "X-Signature", "prefix": "sha256="},
)


def _head(samples: Samples, ids: Sequence[Leaf]) -> tuple[str, ...]:
    count = len(samples.objects)
    told = (
        "one message: with more samples it is seen which fields are always there"
        if count == 1
        else f"{count} messages"
    )
    lines = [
        f"A first draft, from {told}.",
        "Fields that no sample has are taken as well (open); what has no type here is any.",
    ]
    if len(ids) > 1:
        lines.append(
            f"Fields that may tell one condition from another: {', '.join(leaf.path for leaf in ids[:5])}."
        )
    return tuple(lines)


def _description(name: str) -> str:
    return (
        f"Webhooks of {name}. On its side: a webhook with the address that the Flow's status tells, and the proof "
        "that capture.verify takes."
    )


def _object(typed: dict[str, FieldSchema]) -> Fields:
    listed = tuple(Entry(path, _wire(schema)) for path, schema in typed.items())
    return fields(Entry("open", True), Entry("fields", Fields(listed) if listed else {}))


def _wire(schema: FieldSchema) -> dict[str, Any]:
    found: dict[str, Any] = {"type": schema.type}
    if schema.type in ("list", "map"):
        found["of"] = schema.of
    if schema.required:
        found["required"] = True
    return found


def _capture(samples: Samples, found: Sequence[Leaf], ids: Sequence[Leaf]) -> Fields:
    around = {}
    if samples.items is not None and samples.items != "payload":
        inner = samples.items.removeprefix("payload.")
        payloads = [payload for payload in samples.payloads if isinstance(payload, dict)]
        around = {path: schema for path, schema in schemas(payloads).items() if path != inner}
    copies = _delivery_id(found, ids)
    note = (
        "The same for two copies of one message: the second is dropped."
        if copies
        else "No field tells copies of a message apart: write deliveryId, CEL over object, once the tool sends one."
    )
    return fields(
        Entry("object", OBJECT),
        Entry(
            "verify",
            Listed(_VERIFY),
            "Each way in which the tool may prove itself; remove those that it cannot.",
        ),
        Entry("items", samples.items, "One delivery holds several messages.")
        if samples.items
        else None,
        Entry("deliveryId", copies, note) if copies else None,
        Entry("ack", 202, "" if copies else note),
        Entry(
            "payloadFields",
            Fields(tuple(Entry(path, _wire(schema)) for path, schema in around.items())),
        )
        if around
        else None,
    )


def _delivery_id(found: Sequence[Leaf], ids: Sequence[Leaf]) -> str | None:
    """CEL for id, state and time together: a recovery is no copy of its alert."""
    parts = [leaf for leaf in ids if leaf.cel()][:1]
    if not parts:
        return None
    state = FieldSchema(type="string", enum=["firing", "resolved", "acknowledged"])
    parts += [m.leaf for m in matches("event", "state", state, found) if m.leaf.cel()][:1]
    times = (
        matches("event", "endsAt", _TIME, found)[:1]
        + matches("event", "startsAt", _TIME, found)[:1]
    )
    parts += [m.leaf for m in times if m.leaf.cel() and m.leaf.always]
    named = dict.fromkeys(leaf.cel() for leaf in parts if leaf.always or leaf is parts[0])
    return ' + "/" + '.join(f"string({name})" for name in named)
