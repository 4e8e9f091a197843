"""What live Flows use of a CanonicalModel: read from their plans, so that what nobody uses may change freely.

Pure. `impact` asks before it judges a changed model. Where an expression only looks as if it read a field, the
field counts as used.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from intops_api.mapping import MappingBody, MappingEnd
from intops_api.plan import FlowPlan
from intops_core.compatibility import Uses

_PATH: Final = re.compile(r"[A-Za-z_][\w]*(?:\??\.[A-Za-z_][\w]*)*")


def uses_of(model: str, plans: Iterable[FlowPlan]) -> Uses:
    """Editions of a model that plans name, and the fields of these that Mappings, routes and classes touch."""
    editions: set[str] = set()
    paths: set[tuple[str, str]] = set()
    known: dict[tuple[str, str], set[str]] = {}
    for plan in plans:
        ends = {one.version for one in (plan.model_in, plan.model_out) if one.name == model}
        editions |= ends
        for version in ends:
            paths |= {(version, path) for path in _of_plan(model, plan, known)}
        for blob in plan.blobs.mappings.values():
            for end in (blob.spec.from_, blob.spec.to):
                if end.model == model and end.version is not None:
                    editions.add(end.version)
                    touched = _of_mapping(blob.spec, end, model)
                    paths |= {(end.version, path) for path in touched}
    return Uses(frozenset(editions), frozenset(paths))


def _of_plan(model: str, plan: FlowPlan, known: dict[tuple[str, str], set[str]]) -> set[str]:
    """Fields that routes and the operations of classes touch; each class is read once."""
    found = set(_with_above(path for route in plan.routes for path in route.set))
    for route in plan.routes:
        found |= _in_text(route.when or "", model)
    for sha, blob in plan.blobs.classes.items():
        if (sha, model) not in known:
            texts = _texts([operation.to_wire() for operation in blob.spec.operations.values()])
            known[sha, model] = {path for text in texts for path in _in_text(text, model)}
        found |= known[sha, model]
    return found


def _of_mapping(body: MappingBody, end: MappingEnd, model: str) -> set[str]:
    if end is body.to:
        return set(_with_above(rule.to for rule in body.fields))
    found = set(_with_above(path for rule in body.fields for path in rule.from_))
    for text in [*(rule.cel for rule in body.fields), *(one.when for one in body.variants)]:
        found |= _in_text(text or "", model)
    return found


def _in_text(text: str, model: str) -> set[str]:
    """Fields of the model, or of the record as operations call it, that an expression names."""
    found = set()
    for match in _PATH.findall(text.replace("`", "")):
        head, _, path = match.replace("?", "").partition(".")
        if path and head in (model, "record"):
            found.add(path)
    return set(_with_above(found))


def _with_above(paths: Iterable[str]) -> Iterator[str]:
    """Each path and what it lies in: who reads `resource.node.name` uses `resource.node`."""
    for whole in paths:
        path = whole
        while path:
            yield path
            path = path.rpartition(".")[0]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for child in value.values():
            yield from _texts(child)
    elif isinstance(value, list):
        for child in value:
            yield from _texts(child)
    elif isinstance(value, str):
        yield value
