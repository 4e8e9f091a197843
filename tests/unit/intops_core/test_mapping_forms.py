"""Mappings as closures: the same result, by the same rules, as step by step with the engine."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from intops_api.common import FieldSchema
from intops_api.mapping import MappingBody
from intops_core.catalog import shipped
from intops_core.mapping import CompiledMapping, Mapped, Source, Unmapped, compile_mapping
from intops_core.mapping_rules import Rule
from intops_core.typed import Record

EXAMPLES = Path(__file__).parents[3] / "examples"
ODD = (
    None, "", "x", "critical", "unknown", " ", "3", 3, 3.0, 2.5, True, False, [], ["critical"], ["a", "b"],
    {}, {"a": "b"}, 2**63, -1, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", 1760000000, "é" * 300,
)  # fmt: skip


def _manifests() -> Iterator[dict[str, Any]]:
    yield from shipped()
    for file in sorted(EXAMPLES.glob("0*/*.yaml")):
        yield from (raw for raw in yaml.safe_load_all(file.read_text(encoding="utf-8")) if raw)


def _mappings() -> Iterator[tuple[str, dict[str, Any], MappingBody, Record]]:
    """Every Mapping that is shipped or stands in an example, with what it maps to."""
    everything = list(_manifests())
    named = {
        (raw["kind"], raw["metadata"]["name"]): raw.get("spec", {})
        for raw in everything
        if "kind" in raw
    }
    for raw in everything:
        spec = raw.get("spec", {})
        bodies = spec.get("mappings", {}) | (
            {raw["metadata"]["name"]: spec} if raw.get("kind") == "Mapping" else {}
        )
        for name, body in bodies.items():
            to = body["to"]
            if "class" in to:
                schema = named["ConnectorClass", to["class"]]["objects"][to["object"]]
            else:
                versions = named["CanonicalModel", to["model"]]["versions"]
                schema = next(one for one in versions if one["name"] == to["version"])
            fields = {p: FieldSchema.model_validate(f) for p, f in schema["fields"].items()}
            whole = MappingBody.model_validate({n: v for n, v in body.items() if n != "owner"})
            yield name, body["from"], whole, Record(fields, open=schema.get("open", False))


def _by_engine(compiled: CompiledMapping) -> CompiledMapping:
    """The same Mapping with every expression left to the engine."""
    variants = tuple((name, replace(program, form=None)) for name, program in compiled._variants)
    rules = tuple((_engine_rule(rule), form) for rule, form in compiled._rules)
    return replace(compiled, _variants=variants, _rules=rules)


def _engine_rule(rule: Rule) -> Rule:
    program = None if rule.program is None else replace(rule.program, form=None)
    return replace(rule, program=program)


def _changed(draw: random.Random, value: Any) -> Any:
    """The same JSON with one or a few values lost, replaced or moved."""
    if isinstance(value, dict):
        return {
            name: _changed(draw, child) for name, child in value.items() if draw.random() > 0.04
        }
    if isinstance(value, list):
        return [_changed(draw, child) for child in value]
    return draw.choice(ODD) if draw.random() < 0.06 else value


def _told(found: Mapped | Unmapped) -> Any:
    return replace(found, steps=())


@pytest.mark.parametrize(
    ("source", "body", "target"), [pytest.param(*rest, id=name) for name, *rest in _mappings()]
)
def test_a_mapping_gives_what_it_gives_step_by_step(
    source: dict[str, Any], body: MappingBody, target: Record, seed: int
) -> None:
    """Examples and a few hundred damaged ones: same record in the same order, same refusal in the same words."""
    draw = random.Random(seed)
    name = source.get("model", "object")
    compiled = compile_mapping(body, name="any", target=target, source_name=name)
    stepwise = _by_engine(compiled)

    assert body.examples
    for example in body.examples:
        for turn in range(150):
            item, payload = example.input, example.payload
            if turn:
                item, payload = _changed(draw, item), _changed(draw, payload)
            message = Source(item, payload, {}, "2026-01-01T00:00:00Z")
            found, expected = compiled.apply(message), stepwise.apply(message, explain=True)

            assert repr(found) == repr(_told(expected))
