"""A Mapping from a system's message to a model, proposed from samples: what `intops new mapping` prints."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from intops_api.common import FieldSchema
from intops_core.coercion import text_of
from intops_core.drafts.draft import Document, Entry, Fields, Listed, fields, manifest, owner
from intops_core.drafts.examples import example_of
from intops_core.drafts.inference import Leaf, leaves
from intops_core.drafts.marks import MARK
from intops_core.drafts.matching import PASSING, Match, matches
from intops_core.drafts.samples import Samples
from intops_core.drafts.synonyms import MEANINGS
from intops_core.drafts.value_tables import DEFAULTS, meaning_of, table_rule
from intops_core.drafts.variants import variants_of
from intops_core.ends import Model
from intops_core.typed import Record

# Fields that intops fills itself, or that a rule of their own makes.
_NOT_PROPOSED: Final = frozenset({"deliveryId", "completes", "correlationKey", "number"})
# Fields of which a second source is worth asking where the first is not always there.
_SECOND_CHOICE: Final = frozenset(
    {"title", "description", "resource.node", "service", "source.rule"}
)
_WITH_PORT: Final = re.compile(r"[\w-]+(\.[\w-]+)*:\d{2,5}")


@dataclass(frozen=True, slots=True)
class MappingWanted:
    """What a person said about the Mapping.

    Attributes:
        name: Name of the Mapping.
        class_: Class of the system.
        object: Object of that class.
        source: Fields of that object.
        model: The model.
        team: Team that answers for it, or the mark.
        contact: Where it is reached, or the mark.
    """

    name: str
    class_: str
    object: str
    source: Record
    model: Model
    team: str = MARK
    contact: str = MARK


def mapping_to_model(wanted: MappingWanted, samples: Samples) -> Document:
    """The manifest, with a mark for what the samples do not tell."""
    found = [
        leaf for leaf in leaves(samples.objects) if wanted.source.schema(leaf.path) is not None
    ]
    rules, missed = _rules(wanted, found)
    variants = variants_of(samples.payloads)
    body: dict[str, Any] = {
        "from": {"class": wanted.class_, "object": wanted.object},
        "to": {"model": wanted.model.name, "version": wanted.model.version.name},
    }
    example = example_of(body, variants, rules, wanted.model.record, "object", samples)
    closing = (
        f"Nothing in the sample is like {', '.join(missed)}: add a rule for each that the tool knows."
        if missed
        else ""
    )
    spec = fields(
        owner(wanted.team, wanted.contact),
        Entry("from", body["from"]),
        Entry("to", body["to"]),
        Entry(
            "variants",
            Listed(variants),
            "Forms of the payload that are known. Another one waits for a person; it is never guessed.",
        )
        if variants
        else None,
        Entry("fields", Listed(tuple(rules), closing)),
        Entry(
            "examples",
            Listed((example,)),
            "Made from the sample, with secrets masked. Run by `intops test`.",
        )
        if example is not None
        else None,
    )
    return manifest("Mapping", wanted.name, spec, head=_head(wanted, len(samples.objects)))


def _head(wanted: MappingWanted, messages: int) -> tuple[str, ...]:
    from_ = f"{messages} messages" if messages > 1 else "one message"
    return (
        (
            f"A first draft, proposed from {from_}: read every line. {MARK} marks what only you know; "
            "`intops validate` lists these lines, and `intops test` runs the examples."
        ),
    )


def _rules(wanted: MappingWanted, found: Sequence[Leaf]) -> tuple[list[Fields], list[str]]:
    """One rule for each field that was found or must be filled, and the optional fields that were not."""
    model = wanted.model
    picked: dict[str, list[Match]] = {
        path: matches(model.name, path, schema, found)
        for path, schema in model.record.fields.items()
        if path not in _NOT_PROPOSED
    }
    # What is only the title again says nothing.
    if picked.get("title") and picked.get("description"):
        title = picked["title"][0].leaf.parts
        picked["description"] = [m for m in picked["description"] if m.leaf.parts != title]
    rules: list[Fields] = []
    missed: list[str] = []
    for path, schema in model.record.fields.items():
        if path in _NOT_PROPOSED:
            continue
        rule = _special(wanted, path, picked)
        if rule is None and picked[path]:
            rule = _rule(model.name, path, schema, picked[path])
        if rule is None and schema.required:
            rule = _marked(path, schema)
        if rule is None:
            missed.append(path)
        else:
            rules.append(rule)
    return rules, missed


def _special(wanted: MappingWanted, path: str, picked: Mapping[str, list[Match]]) -> Fields | None:
    """Rules of the event model that no single field of a message makes."""
    if wanted.model.name != "event":
        return None
    if path == "source.tool":
        return _one(
            path, cel=f'"{wanted.class_}"', note="A text of its own: the name of the class."
        )
    if path == "identityKey" and not picked[path]:
        together = _identity(picked)
        note = "No id was found: the thing and what is wrong with it, together. An id of the tool is better."
        return _one(path, cel=_joined(together), note=note) if together else None
    return _episode(picked) if path == "episodeKey" else None


def _identity(picked: Mapping[str, list[Match]]) -> list[Leaf]:
    """What tells one condition from another: an id of the tool, else the thing and the check together."""
    if picked.get("identityKey"):
        return [picked["identityKey"][0].leaf]
    node = [m.leaf for m in picked.get("resource.node", ())][:1]
    checks = [
        m.leaf
        for path in ("source.rule", "resource.component", "service")
        for m in picked.get(path, ())
    ]
    other = [leaf for leaf in checks if leaf not in node][:1]
    together = [*node, *other]
    return together if len(together) == 2 and all(_is_plain(leaf) for leaf in together) else []


def _is_plain(leaf: Leaf) -> bool:
    """Whether an expression may read it without asking first whether it is there."""
    return leaf.cel() is not None and leaf.always and not leaf.in_map


def _joined(together: Sequence[Leaf]) -> str:
    return ' + "/" + '.join(f"string({leaf.cel()})" for leaf in together)


def _episode(picked: Mapping[str, list[Match]]) -> Fields | None:
    path, identity = "episodeKey", _identity(picked)
    begins = [m.leaf for m in picked.get("startsAt", ()) if m.name not in PASSING][:1]
    if identity and begins and all(_is_plain(leaf) for leaf in (*identity, *begins)):
        note = "What it is, and when it began. Check that the recovery of an alert has both values again."
        return _one(path, cel=_joined([*identity, *begins]), note=note)
    note = (
        "No time stays the same from the alert to its recovery, so every outbreak has the same key. Where the "
        "tool has an id for each outbreak, write it here."
    )
    if len(identity) == 1:
        return _one(path, from_=[identity[0].path], note=note)
    return _one(path, cel=_joined(identity), note=note) if identity else None


def _rule(model: str, path: str, schema: FieldSchema, found: Sequence[Match]) -> Fields:
    best = found[0]
    seen = _seen(best.leaf)
    why = "Named like it" if best.name else "Its values are such words"
    note = f"{why}; the sample has {', '.join(seen)}." if seen else f"{why}."
    if schema.type == "time" and best.name in PASSING:
        note = (
            "Perhaps only the time of this message: check whether it is when the trouble began. "
            + note
        )
    if schema.enum:
        return table_rule(model, path, schema, best.leaf, note)
    if path == "resource.node" and not best.leaf.in_map and best.leaf.always:
        way = best.leaf.cel()
        if way and all(isinstance(v, str) and _WITH_PORT.fullmatch(v) for v in best.leaf.values):
            return _one(
                path,
                cel=f'{way}.split(":")[0]',
                note=f"Without the port. {note}",
                default="unknown",
            )
    paths = [best.leaf.path]
    if path in _SECOND_CHOICE and not best.leaf.always:
        paths += [m.leaf.path for m in found[1:3]]
    default = DEFAULTS.get(path) if schema.required else None
    if len(paths) > 1:
        note = f"The first that is there. {note}"
    return _one(path, from_=paths, note=note, default=default)


def _marked(path: str, schema: FieldSchema) -> Fields:
    """A field that must be filled and that nothing in the sample is like."""
    if path == "severity":
        note = "The sample tells none. Write '\"unknown\"' if the tool never does; or replace cel by from and values."
        return fields(
            Entry("to", path, note), Entry("cel", MARK), Entry("meaning", meaning_of(path, schema))
        )
    sense = f" ({schema.meaning.rstrip('.')})" if schema.meaning else ""
    values = f" One of {', '.join(schema.enum)}." if schema.enum else ""
    ways = "the path of a field; or replace from by cel, such as cel: '\"fixed\"'"
    if schema.type == "time":
        ways = (
            "the path of a time; or replace from by cel: now, the moment at which the message comes"
        )
    note = f"Nothing in the sample is like {path}{sense}.{values} Write {ways}."
    return fields(
        Entry("to", path, note), Entry("from", MARK), Entry("meaning", meaning_of(path, schema))
    )


def _one(
    path: str,
    *,
    note: str,
    from_: Sequence[str] = (),
    cel: str | None = None,
    default: str | None = None,
) -> Fields:
    source = from_[0] if len(from_) == 1 else list(from_)
    return fields(
        Entry("to", path, note),
        Entry("cel", cel) if cel is not None else Entry("from", source),
        Entry("default", default) if default is not None else None,
        Entry(
            "meaning", MEANINGS.get(path, f"Proposed for {path}; say here what it means to you.")
        ),
    )


def _seen(leaf: Leaf) -> list[str]:
    """At most three values for a comment, short ones only."""
    texts = [text_of(value) for value in leaf.values if not isinstance(value, dict | list)]
    return [text for text in dict.fromkeys(texts) if len(text) <= 40][:3]
