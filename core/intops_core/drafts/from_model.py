"""A Mapping from a model to a system's object: what `intops new mapping --from-model` prints.

The class's own Mapping between these ends is the best draft; without one, fields are found by name.
"""

import difflib
from collections.abc import Mapping
from typing import Any, Final

from intops_api.common import FieldSchema
from intops_api.connector_class import ConnectorClassSpec
from intops_api.mapping import MappingBody
from intops_core.drafts.draft import Document, Entry, Fields, Listed, fields, manifest, owner
from intops_core.drafts.examples import example_of
from intops_core.drafts.flow import joins
from intops_core.drafts.inference import name_of
from intops_core.drafts.marks import MARK
from intops_core.drafts.matching import names_for
from intops_core.drafts.samples import Samples
from intops_core.drafts.to_model import MappingWanted
from intops_core.drafts.value_tables import meaning_of
from intops_core.typed import Record

# A record of the model, for the example.
_SAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    "incident": {
        "correlationKey": "iop1:abc", "title": "db01 is down", "description": "No answer for five minutes.",
        "state": "new", "impact": "high", "urgency": "high", "openedAt": "2026-11-23T20:23:39Z", "ci": "db01",
        "service": "payments", "assignmentGroup": "Service-Desk", "severity": "critical",
    },
    "event": {
        "episodeKey": "a/1", "identityKey": "a", "state": "firing", "severity": "critical", "title": "db01 is down",
        "source": {"tool": "monitoring"}, "resource": {"node": "db01"}, "startsAt": "2026-11-23T20:23:39Z",
    },
}  # fmt: skip
_NO_WORD: Final = frozenset({"unknown", "other"})
_FUZZY: Final = 0.8


def object_written(class_: ConnectorClassSpec) -> str:
    """The object that the class makes; its first where it makes none."""
    create = class_.operations.get("create")
    return (create.object if create is not None else None) or next(iter(class_.objects))


def mapping_from_model(wanted: MappingWanted, class_: ConnectorClassSpec) -> Document:
    """The manifest, with a mark for what names do not tell."""
    own = next(
        (b for b in class_.mappings.values() if joins(b, wanted.class_, wanted.model.name, False)),
        None,
    )
    return _adapted(wanted, own) if own is not None else _proposed(wanted, class_)


def _adapted(wanted: MappingWanted, own: MappingBody) -> Document:
    """The class's own Mapping, to be changed where this desk differs."""
    raw = own.to_wire()
    rules = tuple(_lines(rule) for rule in raw["fields"])
    spec = fields(
        owner(wanted.team, wanted.contact),
        Entry("from", raw["from"]),
        Entry("to", raw["to"]),
        Entry("variants", raw["variants"]) if raw.get("variants") else None,
        Entry(
            "fields",
            Listed(rules),
            "Change what is called otherwise here: states, groups, fields of your own.",
        ),
        Entry("examples", Listed(tuple(map(_said, raw["examples"]))))
        if raw.get("examples")
        else None,
    )
    head = (
        (
            f"The Mapping that class {wanted.class_} carries, as a start for your own. Where nothing has to change, "
            "leave it out: a binding without a mapping uses the class's."
        ),
    )
    return manifest("Mapping", wanted.name, spec, head=head)


def _said(example: Mapping[str, Any]) -> dict[str, Any]:
    """An example without what is the case anyway."""
    return {
        key: value
        for key, value in example.items()
        if not (key == "headers" and not value) and not (key == "outcome" and value == "mapped")
    }


def _lines(rule: Mapping[str, Any]) -> Fields:
    listed = []
    for key, value in rule.items():
        if key in ("lossy", "variants", "values") and not value:
            continue
        one = key == "from" and isinstance(value, list) and len(value) == 1
        if key == "from" and not value:
            continue
        listed.append(Entry(key, value[0] if one else value))
    return Fields(tuple(listed))


def _proposed(wanted: MappingWanted, class_: ConnectorClassSpec) -> Document:
    target = wanted.source
    model = wanted.model
    by_name = {
        name: path
        for path in reversed(list(model.record.fields))
        for name in reversed(names_for(model.name, path))
    }
    rules, missed = [], []
    for path, schema in target.fields.items():
        key = path.rpartition(".")[2]
        found = by_name.get(name_of(key)) or by_name.get(name_of(path))
        if found is None and schema.searchable and "correlationKey" in model.record.fields:
            found = "correlationKey"
        if found is not None:
            rules.append(_rule(path, schema, found, model.record.fields[found], model.name))
        elif schema.required:
            rules.append(_marked(path, schema, model.record))
        else:
            missed.append(path)
    ends: dict[str, Any] = {
        "from": {"model": model.name, "version": model.version.name},
        "to": {"class": wanted.class_, "object": wanted.object},
    }
    given = _SAMPLES.get(model.name)
    samples = Samples((given,), None, (given,)) if given is not None else None
    example = example_of(ends, (), rules, target, model.name, samples) if samples else None
    closing = (
        f"Fields of {wanted.object} without a rule: {', '.join(missed[:20])}." if missed else ""
    )
    spec = fields(
        owner(wanted.team, wanted.contact),
        Entry("from", ends["from"]),
        Entry("to", ends["to"]),
        Entry("fields", Listed(tuple(rules), closing)),
        Entry("examples", Listed((example,)), "Run by `intops test`.")
        if example is not None
        else None,
    )
    head = (
        (
            f"A first draft, proposed from the names of fields: read every line. {MARK} marks what only you know; "
            "`intops validate` lists these lines, and `intops test` runs the examples."
        ),
    )
    return manifest("Mapping", wanted.name, spec, head=head)


def _rule(path: str, schema: FieldSchema, found: str, source: FieldSchema, model: str) -> Fields:
    meaning = Entry("meaning", meaning_of(found, source))
    if source.enum:
        return _table(path, schema, found, source, meaning)
    limit = schema.max_length
    if limit is not None and limit > 3 and (source.max_length is None or source.max_length > limit):
        way = f"{model}.{found}"
        cut = f'{way}.size() > {limit} ? {way}.substring(0, {limit - 3}) + "..." : {way}'
        if not source.required:
            cut = f"has({way}) ? ({cut}) : null"
        note = f"{found}, cut to the {limit} characters that fit."
        return fields(Entry("to", path, note), Entry("cel", cut), meaning)
    return fields(
        Entry("to", path, f"Named like {found} of the model."), Entry("from", found), meaning
    )


def _table(
    path: str, schema: FieldSchema, found: str, source: FieldSchema, meaning: Entry
) -> Fields:
    values: dict[str, Any] = {}
    for value in source.enum:
        word = _word(value, schema)
        if word is not None:
            values[value] = word
        elif value not in _NO_WORD:
            values[value] = MARK
    unknown = [value for value, word in values.items() if word == MARK]
    there = f" It has {', '.join(schema.enum)}." if schema.enum else ""
    asked = f" What is the system's word for {', '.join(unknown)}?{there}" if unknown else ""
    used = [word for word in values.values() if word != MARK]
    return fields(
        Entry("to", path, f"Named like {found} of the model.{asked}"),
        Entry("from", found),
        Entry("values", values),
        Entry("onUnmapped", "review"),
        Entry("lossy", True, "Several words of the model may be one word there.")
        if unknown or len(set(used)) < len(used)
        else None,
        meaning,
    )


def _word(value: str, schema: FieldSchema) -> Any:
    """The system's word for a value of the model; None where it is not told."""
    if not schema.enum or (schema.discovered and not schema.meanings):
        return (
            value if schema.type == "string" and not schema.discovered and not schema.enum else None
        )
    plain = name_of(value)
    names = {name_of(word): word for word in schema.enum}
    if plain in names:
        return names[plain]
    said = {name_of(text.partition(";")[0]): word for word, text in schema.meanings.items()}
    close = difflib.get_close_matches(plain, [*names, *said], n=1, cutoff=_FUZZY)
    return {**said, **names}[close[0]] if close else None


def _marked(path: str, schema: FieldSchema, model: Record) -> Fields:
    sense = f" ({schema.meaning.rstrip('.')})" if schema.meaning else ""
    note = (
        f"The system needs {path}{sense}, and no field of the model is called like it. Write one of "
        f"{', '.join(list(model.fields)[:12])}; or replace from by cel, such as cel: '\"fixed\"'."
    )
    return fields(
        Entry("to", path, note), Entry("from", MARK), Entry("meaning", meaning_of(path, schema))
    )
