"""Write the reference pages of the kinds and of the conditions from the same models as the CRDs.

Used by generate.py. One page a kind in docs/reference/, an index, and the closed list of conditions.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from intops_api import names
from intops_api.common import DURATION, PERCENT
from intops_api.conditions import (
    FLOW_CONDITIONS,
    READY_REASONS_FALSE,
    STANDING_CONDITIONS,
    ConditionDoc,
    ConditionType,
    Reason,
)
from intops_api.kinds import KINDS, Kind
from intops_api.reasons import SAYS
from intops_api.schema.crd import root_schema

GENERATED = "<!-- Generated from crds/intops_api by `make generate`; edit the models instead. -->"

Schema = Mapping[str, Any]

_FORMS = {DURATION: "duration, such as `1h30m`", PERCENT: "percentage, such as `99.9%`"}


def index_page() -> str:
    """The page that lists the kinds."""
    rows = [
        (
            f"[{kind.name}]({kind.singular}.md)",
            "namespace" if kind.namespaced else "cluster",
            ", ".join(f"`{name}`" for name in (kind.plural, *kind.short_names)),
            kind.description,
        )
        for kind in KINDS
    ]
    return _page(
        "The kinds",
        f"Group `{names.GROUP}`, version `{names.VERSION}`; `kubectl get {names.CATEGORY} -A` lists all "
        "of them that live in namespaces. References between them are names, never namespaces: "
        "a Flow and everything it names share one namespace, or are cluster-wide.",
        _table(("Kind", "Scope", "Names for kubectl", "What it is"), rows),
        "What a status says: [conditions and reasons](conditions.md).",
    )


def kind_page(kind: Kind) -> str:
    """The page of one kind: fields, rules, columns."""
    schema = root_schema(kind)
    spec, status = schema["properties"]["spec"], schema["properties"]["status"]
    rules = [*_rules(schema, ""), *_rules(spec, "spec")]
    fields = ("Field", "Type", "Meaning")
    columns = [
        (column.name.upper(), f"`{_cell(column.path)}`", "with `-o wide`" if column.wide else "")
        for column in kind.columns
    ]
    parts = [
        kind.description,
        "## spec",
        _table(fields, _fields(spec, "")),
        "## status",
        _table(fields, _fields(status, "")),
        f"## kubectl get {kind.plural}",
        _table(("Column", "Taken from", ""), columns),
    ]
    if kind.selectable:
        chosen = ", ".join(f"`{path.lstrip('.')}`" for path in kind.selectable)
        parts.append(f"`--field-selector` knows {chosen}.")
    if rules:
        parts += [
            "## What the API server refuses",
            "Beside types and bounds, without any server of intops:",
            _table(("Where", "Refusal"), rules),
        ]
    return _page(kind.name, *parts)


def conditions_page() -> str:
    """The page of the condition types and reasons of every kind."""
    ready = ", ".join(f"`{reason}`" for reason in dict.fromkeys(READY_REASONS_FALSE))
    others = [
        part
        for kind, types in STANDING_CONDITIONS.items()
        for part in (f"### {kind}", _conditions(types))
    ]
    return _page(
        "Conditions",
        "Conditions are positive statements: True is good. Each carries one reason from a closed list, "
        "and a message that says what is the case, since when, what was done by itself, what a person "
        "must do, and who owns it. `Reconciling` and `Stalled` are there only while they are true.",
        "Which fault shows in which of them, and how soon: [faults](faults.md).",
        "## Flow",
        _conditions(FLOW_CONDITIONS),
        "`Ready` sums up: it takes the reason of the first condition above that is False and counts, "
        f"and is otherwise `{Reason.HEALTHY}`. When it is False its reason is one of {ready}.",
        "A Flow's `Ready: False` with `BacklogLate` or `TargetReachable: False` is about messages, not "
        "about pods: the worker may run well while the system it writes to does not answer.",
        "## The other kinds",
        "They are judged from specs and from the reports of the workers whose Flows use them, never from the "
        f"status of another object. `Ready` takes the reason of the first condition that is False and counts, "
        f"and is otherwise `{Reason.IN_USE}`, or `{Reason.UNUSED}` (True too: GitOps waits for a Connector before "
        "it applies the first Flow of it). What an older version stored and this one would refuse has "
        f"`Accepted` False with `{Reason.INVALID_SPEC}`; Flows that run keep their last good plan.",
        *others,
        "## Events",
        "Where `Ready` becomes False, becomes False for another reason, or becomes True again, the object gets an "
        "Event with the reason and the sentence; `kubectl describe` shows it. What is on its way (`Applying`) gets "
        "none, nor do counters. Statuses are written first, and at most 500 Events wait.",
        "## All reasons",
        _table(("Reason", "Says"), [(f"`{reason}`", SAYS[reason]) for reason in Reason]),
    )


def _conditions(types: Mapping[ConditionType, ConditionDoc]) -> str:
    rows = [(f"`{type_}`", doc.says, _counts(doc), *_reasons(doc)) for type_, doc in types.items()]
    return _table(("Type", "Says", "Makes Ready False", "True", "False", "Unknown"), rows)


def _counts(doc: ConditionDoc) -> str:
    if doc.counts_for_ready and Reason.SILENT in doc.when_false:
        return f"`{Reason.SILENT}` only"
    return "yes" if doc.counts_for_ready else "no"


def _reasons(doc: ConditionDoc) -> tuple[str, str, str]:
    true, false, unknown = (
        ", ".join(f"`{reason}`" for reason in reasons)
        for reasons in (doc.when_true, doc.when_false, doc.when_unknown)
    )
    return true, false, unknown


def _fields(schema: Schema, path: str) -> Iterator[tuple[str, str, str]]:
    required = schema.get("required", ())
    for name, below in schema.get("properties", {}).items():
        where = f"{path}.{name}" if path else name
        mark = " (required)" if name in required else ""
        yield f"`{where}`{mark}", _type(below), _meaning(below)
        inner, suffix = _inner(below)
        yield from _fields(inner, where + suffix)


def _inner(schema: Schema) -> tuple[Schema, str]:
    if isinstance(schema.get("items"), Mapping):
        inner, suffix = _inner(schema["items"])
        return inner, "[]" + suffix
    if isinstance(schema.get("additionalProperties"), Mapping):
        inner, suffix = _inner(schema["additionalProperties"])
        return inner, ".NAME" + suffix
    return schema, ""


def _type(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if isinstance(schema.get("items"), Mapping):
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"map of {_type(schema['additionalProperties'])}"
    if schema.get("pattern") in _FORMS:
        return _FORMS[schema["pattern"]]
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    kind = str(schema.get("format") or schema.get("type") or "anything")
    return "integer" if kind == "int64" else kind


def _meaning(schema: Schema) -> str:
    lowest = "above {}" if schema.get("exclusiveMinimum") else "at least {}"
    limits = [
        words.format(schema[keyword])
        for keyword, words in (
            ("minimum", lowest),
            ("maximum", "at most {}"),
            ("maxLength", "at most {} characters"),
            ("maxItems", "at most {}"),
            ("maxProperties", "at most {}"),
        )
        if keyword in schema and _is_telling(schema, keyword)
    ]
    text = _cell(str(schema.get("description", "")))
    if "default" in schema and not isinstance(schema["default"], Mapping):
        limits.append(f"default `{_cell(_scalar(schema['default']))}`")
    return text + (f" ({'; '.join(limits)})" if limits else "")


def _is_telling(schema: Schema, keyword: str) -> bool:
    """Whether a limit tells more than the type does; nobody writes a date of eleven characters."""
    return keyword != "maxLength" or _type(schema) == "string"


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rules(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        where = f"{path}{rule.get('fieldPath', '')}".lstrip(".") or "the object"
        yield f"`{where}`", _cell(rule["message"])
    if not path:
        return
    for name, below in schema.get("properties", {}).items():
        inner, suffix = _inner(below)
        yield from _rules(inner, f"{path}.{name}{suffix}")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[Any]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _page(title: str, *parts: str) -> str:
    return "\n\n".join((GENERATED, f"# {title}", *parts)) + "\n"
