"""A Connector for a class, with the Secret that it needs: what `intops new connector` prints."""

from dataclasses import dataclass
from typing import Any, Final

from intops_api.common import FieldSchema
from intops_api.connector_class import ConnectorClassSpec
from intops_core.drafts.draft import Document, Entry, Fields, fields, manifest, owner
from intops_core.drafts.marks import MARK

_SHORTEST: Final = 32


@dataclass(frozen=True, slots=True)
class ConnectorWanted:
    """What a person said about the Connector; the mark where nothing was said."""

    name: str
    class_: str
    endpoint: str | None = None
    team: str = MARK
    contact: str = MARK


def connector(wanted: ConnectorWanted, class_: ConnectorClassSpec) -> tuple[Document, ...]:
    """The Connector, and the Secret with the keys of its class where it has any."""
    secret = f"{wanted.name}-credentials"
    known = class_.limits
    source = f" ({known.source})" if known.source else ""
    spec = fields(
        Entry("class", wanted.class_),
        _endpoint(wanted, class_),
        Entry(
            "credentials",
            {"secretName": secret},
            "A Secret of the same namespace, with the keys below.",
        )
        if class_.credentials
        else None,
        _config(class_.config_schema),
        Entry(
            "limits",
            {
                "requestsPerSecond": _number(known.requests_per_second),
                "concurrency": known.concurrency,
            },
            f"At most what the class allows{source}; lower it to spare the system.",
        )
        if class_.operations
        else None,
        owner(wanted.team, wanted.contact),
        closing=_unset(wanted, class_),
    )
    head = (
        (f"{class_.display_name}: {_sentence(class_.description)}",) if class_.description else ()
    )
    made = manifest("Connector", wanted.name, spec, head=head)
    return (made, _secret(secret, class_)) if class_.credentials else (made,)


def _endpoint(wanted: ConnectorWanted, class_: ConnectorClassSpec) -> Entry | None:
    if wanted.endpoint is None and not class_.endpoint_required:
        return None
    note = "Base address of the system, such as https://desk.example.com."
    return Entry("endpoint", MARK if wanted.endpoint is None else wanted.endpoint, note)


def _config(schemas: dict[str, FieldSchema]) -> Entry | None:
    needed = {name: one for name, one in schemas.items() if one.required and one.default is None}
    if not needed:
        return None
    listed = tuple(Entry(name, MARK, _says(one)) for name, one in needed.items())
    return Entry("config", Fields(listed), "Settings that the class needs.")


def _unset(wanted: ConnectorWanted, class_: ConnectorClassSpec) -> str:
    """What may be written as well, in words."""
    told = []
    if wanted.endpoint is None and not class_.endpoint_required:
        told.append("endpoint: not needed, because the system sends.")
    optional = {
        n: s for n, s in class_.config_schema.items() if not s.required or s.default is not None
    }
    told += [f"config.{name}: {_says(schema)}" for name, schema in optional.items()]
    return " ".join(["May be set as well:", *told]) if told else ""


def _says(schema: FieldSchema) -> str:
    values = f" One of {', '.join(schema.enum)}." if schema.enum else ""
    return f"{(schema.meaning or schema.type).rstrip('.')}.{values}"


def _secret(name: str, class_: ConnectorClassSpec) -> Document:
    """The Secret: keys that must be there with a mark, the others as comments."""
    required = [key for key in class_.credentials if key.required]
    shown = required or class_.credentials[:1]
    rest = [key for key in class_.credentials if key not in shown]
    values = Fields(
        tuple(Entry(key.key, MARK, key.description) for key in shown),
        " ".join(["Other keys that may be there:", *(f"{k.key}: {k.description}" for k in rest)])
        if rest
        else "",
    )
    return Document(
        fields(
            Entry("apiVersion", "v1"),
            Entry("kind", "Secret"),
            Entry("metadata", fields(Entry("name", name))),
            Entry("stringData", values),
        ),
        (
            (
                "Better made by hand than kept in a file: kubectl create secret generic "
                f"{name} {' '.join(f'--from-literal={key.key}=...' for key in shown)}"
            ),
            f"What senders prove themselves with has {_SHORTEST} random characters or more.",
        ),
    )


def _sentence(text: str) -> str:
    """The first sentence."""
    return text.partition(". ")[0].rstrip(".") + "."


def _number(value: float) -> Any:
    return int(value) if value.is_integer() else value
