"""Personal data is masked wherever people see messages: by the models, by the class, and by what feeds them.

Pure. Called by the console before it answers.
"""

from collections.abc import Iterable, Iterator, Set
from typing import Any, Final

from intops_api.common import FieldSchema
from intops_api.mapping import MappingBody
from intops_core.records import copy_json, join_path
from intops_core.typed import Record
from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.hiding import MASK, without

SMALLEST_TOLD: Final = 1000
"""A smaller number is a count or a code like others: to mask each 404 would make sentences that nobody can read."""


def masked(record: Any, personal: Iterable[str]) -> Any:
    """A copy of a record with these paths, and everything below them, masked."""
    result = copy_json(record)
    for path in personal:
        _mask(result, path.replace("`", "").split("."))
    return result


def masked_anywhere(record: Any, personal: Iterable[str]) -> Any:
    """The same for a body of which only a part, somewhere, has these paths."""
    paths = [path.replace("`", "").split(".") for path in personal]
    result = copy_json(record)
    todo = [result]
    while todo:
        node = todo.pop()
        for parts in paths:
            _mask(node, parts)
        children = node.values() if isinstance(node, dict) else node
        todo += [child for child in children if isinstance(child, dict | list)]
    return result


def _mask(node: Any, parts: list[str]) -> None:
    """Mask below a node; a part of a path may itself hold dots, so joined names are tried too."""
    if isinstance(node, list):
        for child in node:
            _mask(child, parts)
        return
    if not isinstance(node, dict):
        return
    for length in range(1, len(parts) + 1):
        name = ".".join(parts[:length])
        if name not in node:
            continue
        if length == len(parts):
            if node[name] is not None:
                node[name] = MASK
        else:
            _mask(node[name], parts[length:])


def personal_fields(fields: dict[str, FieldSchema]) -> tuple[str, ...]:
    """Paths that a schema calls personal."""
    return tuple(path for path, schema in fields.items() if schema.personal)


def personal_in_record(plan: CompiledPlan) -> tuple[str, ...]:
    """Personal paths of the canonical record that messages are stored as.

    A field that takes a whole object of the source, such as all labels, holds what is personal in it.
    """
    own = personal_fields(dict(_model(plan, plan.plan.model_in.blob)))
    inside = [path for source in plan.sources for path in _taken_whole(plan, source)]
    return tuple(dict.fromkeys((*own, *inside)))


def _taken_whole(plan: CompiledPlan, source: str) -> Iterable[str]:
    body = plan.plan.blobs.mappings[plan.sources[source].binding.in_ or ""].spec
    for path in personal_in_original(plan, source):
        for rule in body.fields:
            for taken in rule.from_:
                if path.startswith(f"{taken}."):
                    yield f"{rule.to}{path[len(taken) :]}"


def personal_in_incident(plan: CompiledPlan) -> tuple[str, ...]:
    """Personal paths of the model that targets are written from, and what personal fields feed there."""
    own = personal_fields(dict(_model(plan, plan.plan.model_out.blob)))
    body = plan.plan.blobs.mappings[plan.plan.transform].spec
    fed = _fed(body, plan.in_name, personal_in_record(plan))
    return tuple(dict.fromkeys((*own, *fed)))


def personal_in_original(plan: CompiledPlan, source: str) -> tuple[str, ...]:
    """Personal paths of what a source sends: what its class says, and what feeds personal fields."""
    bound = plan.sources.get(source)
    if bound is None or bound.binding.in_ is None:
        return ()
    body = plan.plan.blobs.mappings[bound.binding.in_].spec
    objects = plan.plan.blobs.classes[bound.binding.class_].spec.objects
    known = objects.get(body.from_.object or "")
    own = personal_fields(dict(known.fields)) if known is not None else ()
    record = Record(_model(plan, plan.plan.model_in.blob))
    return tuple(dict.fromkeys((*own, *_feeding(body, record))))


def personal_in_native(plan: CompiledPlan, binding: str) -> tuple[str, ...]:
    """Personal paths of what a target is written: what its class says, and what personal fields feed."""
    target = plan.targets.get(binding)
    if target is None or target.binding.out is None:
        return ()
    objects = plan.plan.blobs.classes[target.binding.class_].spec.objects
    known = objects.get(target.object)
    own = personal_fields(dict(known.fields)) if known is not None else ()
    body = plan.plan.blobs.mappings[target.binding.out].spec
    fed = _fed(body, plan.out_name, personal_in_incident(plan))
    return tuple(dict.fromkeys((*own, *fed)))


def without_values(text: str | None, record: Any, personal: Iterable[str]) -> str | None:
    """A sentence in which personal values of a record are masked, should it quote any."""
    return None if text is None else without(text, personal_values(record, personal))


def personal_values(record: Any, personal: Iterable[str]) -> list[str]:
    """Texts and numbers of a record that are personal, longest first, in lists too.

    Of texts of one or two signs, and of numbers below `SMALLEST_TOLD`, there is nothing to tell.
    """
    wanted = set(personal)
    found = {text for value in _below(record, wanted, ()) if (text := _quoted(value)) is not None}
    return sorted(found, key=len, reverse=True)


def _below(node: Any, wanted: Set[str], names: tuple[str, ...]) -> Iterator[Any]:
    """Values at these paths and below them; what is in a list has the path of the list."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield from _below(child, wanted, (*names, str(name)))
    elif isinstance(node, list):
        for child in node:
            yield from _below(child, wanted, names)
    elif any(join_path(names[:length]) in wanted for length in range(1, len(names) + 1)):
        yield node


def _quoted(value: Any) -> str | None:
    """How a sentence would quote a value; None where it says nothing about anybody."""
    if isinstance(value, str):
        return value if len(value) > 2 else None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) < SMALLEST_TOLD:
        return None
    return str(value)


def _fed(body: MappingBody, model: str, personal: Iterable[str]) -> Iterable[str]:
    """Fields of a result that personal fields of the source give a value to."""
    paths = set(personal)
    return [
        rule.to
        for rule in body.fields
        if paths & set(rule.from_) or any(f"{model}.{path}" in (rule.cel or "") for path in paths)
    ]


def _feeding(body: MappingBody, record: Record) -> Iterable[str]:
    for rule in body.fields:
        schema = record.schema(rule.to)
        if schema is None or not schema.personal:
            continue
        yield from rule.from_
        if rule.cel is not None:
            yield from _paths(rule.cel)


def _paths(cel: str) -> Iterable[str]:
    """Paths below `object` that an expression reads, as far as they are written plainly."""
    for piece in cel.split("object.")[1:]:
        path = ""
        for sign in piece:
            if not (sign.isalnum() or sign in "_."):
                break
            path += sign
        # `object.name.split(" ")`: the last part is a call.
        rest = piece[len(path) :]
        name, _, _ = path.rpartition(".") if rest.startswith("(") else (path, "", "")
        if name:
            yield name.strip(".")


def _model(plan: CompiledPlan, blob: str) -> dict[str, FieldSchema]:
    return dict(plan.plan.blobs.models[blob].spec.fields)
