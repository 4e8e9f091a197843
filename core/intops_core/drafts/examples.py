"""An example for a drafted Mapping: one message of the sample, cut to what the rules read, and what becomes of it."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from intops_api.mapping import MappingBody
from intops_core.drafts.draft import Fields, plain
from intops_core.drafts.marks import MARK
from intops_core.drafts.samples import Samples
from intops_core.mapping import Mapped, MappingError, Source, compile_mapping
from intops_core.mapping_examples import EXAMPLE_NOW
from intops_core.records import ABSENT, get_path, path_parts, set_parts
from intops_core.typed import Record

_LONGEST_TEXT: Final = 200
_MOST_ENTRIES: Final = 12


def example_of(
    ends: Mapping[str, Any],
    variants: Sequence[Any],
    rules: Sequence[Fields],
    target: Record,
    source_name: str,
    samples: Samples,
) -> dict[str, Any] | None:
    """One example that holds once the marks are filled; None where the sample gives none.

    What a marked rule makes is not compared, because nobody knows it yet.
    """
    raw = [plain(rule) for rule in rules]
    marked = {rule["to"] for rule in raw if _has_mark(rule)}
    message, payload = samples.objects[0], samples.payloads[0]
    small = _cut(message, [*_read(raw, message, source_name)])
    around = _around(payload, variants) if samples.items != "payload" else None
    stand_ins = [_stand_in(rule, target) if rule["to"] in marked else rule for rule in raw]
    body = {**ends, "variants": list(variants), "fields": stand_ins}
    record = _mapped(body, target, source_name, small, around)
    if record is None:
        return None
    output = {path: value for path, value in _leaves(record) if path not in marked}
    nested: dict[str, Any] = {}
    for path, value in output.items():
        if not isinstance(value, dict | list) and not (isinstance(value, str) and len(value) > 80):
            set_parts(nested, path_parts(path), value)
    example: dict[str, Any] = {"name": "the message of the sample"}
    if around is not None and variants:
        example["payload"] = around
    return {**example, "input": small, "output": nested}


def _mapped(
    body: Mapping[str, Any], target: Record, source_name: str, message: Any, payload: Any
) -> dict[str, Any] | None:
    try:
        parsed = MappingBody.model_validate(body, by_alias=True, by_name=False)
        compiled = compile_mapping(parsed, name="draft", target=target, source_name=source_name)
    except (ValidationError, MappingError):
        return None
    around = message if payload is None else payload
    result = compiled.apply(Source(message, around, {}, EXAMPLE_NOW))
    return result.record if isinstance(result, Mapped) else None


def _has_mark(rule: Mapping[str, Any]) -> bool:
    return any(
        value == MARK or (isinstance(value, dict) and MARK in value.values())
        for value in rule.values()
    )


def _stand_in(rule: Mapping[str, Any], target: Record) -> dict[str, Any]:
    """A marked rule as a fixed value that its field takes."""
    schema = target.schema(rule["to"])
    fixed = '"filled in later"'
    if schema is not None and schema.enum:
        fixed = f'"{schema.enum[0]}"'
    elif schema is not None and schema.type != "string":
        fixed = {"time": "now", "integer": "1", "number": "1", "boolean": "true"}.get(
            schema.type, "{}"
        )
    return {"to": rule["to"], "cel": fixed, "meaning": rule["meaning"]}


def _read(
    rules: Sequence[Mapping[str, Any]], message: Mapping[str, Any], source_name: str
) -> Iterator[str]:
    """Paths of the message that the rules look at."""
    for rule in rules:
        from_ = rule.get("from", [])
        yield from [from_] if isinstance(from_, str) else from_
        cel = str(rule.get("cel", ""))
        for path, _ in _leaves(message):
            # In CEL as in a path, where every name can be written there.
            if f"{source_name}.{path}" in cel:
                yield path


def _cut(message: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """The message with these paths only, and with long texts and lists shortened."""
    small: dict[str, Any] = {}
    for path in sorted(set(paths)):
        if path == MARK:
            continue
        value = get_path(message, path)
        if value is not ABSENT:
            set_parts(small, path_parts(path), copy.deepcopy(_short(value)))
    return small


def _short(value: Any) -> Any:
    match value:
        case str():
            return value[:_LONGEST_TEXT]
        case list():
            return [_short(one) for one in value[:_MOST_ENTRIES]]
        case dict():
            return {key: _short(one) for key, one in list(value.items())[:_MOST_ENTRIES]}
        case _:
            return value


def _around(payload: Any, variants: Sequence[Any]) -> Any:
    """What variants look at in the payload; None where nothing does."""
    if not variants or not isinstance(payload, dict):
        return None
    names = {variant["when"].removeprefix("payload.").partition(" ")[0] for variant in variants}
    return {name: payload[name] for name in payload if name in names}


def _leaves(record: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        parts = (*prefix, name)
        if isinstance(value, dict) and value:
            yield from _leaves(value, parts)
        elif all("." not in part and "`" not in part and part for part in parts):
            yield ".".join(parts), value
