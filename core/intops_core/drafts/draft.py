"""A manifest with comments, as values: what drafts are made of, before anybody writes YAML.

Made by the modules of this package; written as text by the command line.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

API: Final = "intops.io/v1alpha1"


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a manifest.

    Attributes:
        key: Its name.
        value: JSON, which is written in the shortest form; or `Fields`, or `Listed`.
        note: Comment above the field; empty for none.
    """

    key: str
    value: Any
    note: str = ""


@dataclass(frozen=True, slots=True)
class Fields:
    """A map whose fields stand on lines of their own. `closing` is a comment below them."""

    entries: tuple[Entry, ...]
    closing: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A list whose elements stand on lines of their own. `closing` is a comment below them."""

    items: tuple[Any, ...]
    closing: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """One manifest. `head` is the comment above it, one line each."""

    fields: Fields
    head: tuple[str, ...] = ()


def fields(*entries: Entry | None, closing: str = "") -> Fields:
    """A map of the entries that are there."""
    return Fields(tuple(entry for entry in entries if entry is not None), closing)


def manifest(kind: str, name: str, spec: Fields, *, head: Iterable[str] = ()) -> Document:
    """A whole manifest of a kind of this group."""
    return Document(
        fields(
            Entry("apiVersion", API),
            Entry("kind", kind),
            Entry("metadata", fields(Entry("name", name))),
            Entry("spec", spec),
        ),
        tuple(head),
    )


def plain(value: Any) -> Any:
    """The same as JSON, without comments."""
    match value:
        case Document():
            return plain(value.fields)
        case Fields():
            return {entry.key: plain(entry.value) for entry in value.entries}
        case Listed():
            return [plain(item) for item in value.items]
        case _:
            return value


def owner(team: str, contact: str, escalation: str | None = None) -> Entry:
    """Who is accountable; with `escalation` also who is told when that team does not answer."""
    said = {"team": team, "contact": contact}
    if escalation is None:
        return Entry("owner", said, "The team that answers for it, and where it is reached.")
    note = "The team that answers for it, where it is reached, and whom to tell when it does not answer."
    return Entry("owner", {**said, "escalation": escalation}, note)
