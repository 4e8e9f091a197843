"""A whole alert, field by field: the explanation that people see is kept as a file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from intops_api.common import FieldSchema
from intops_api.mapping import MappingBody
from intops_core.mapping import Mapped, Source, compile_mapping
from intops_core.mapping_checks import check_mapping
from intops_core.typed import Record

CASE = Path(__file__).parent


def record(fields: dict[str, Any]) -> Record:
    return Record({name: FieldSchema.model_validate(schema) for name, schema in fields.items()})


def test_an_alert_becomes_this_event_for_these_reasons() -> None:
    """Every step of a real alert: source, value before and after, meaning, and what was special.

    After a wanted change, write the printed text to alert.explained.json and read the difference.
    """
    case = yaml.safe_load((CASE / "alert.mapping.yaml").read_text(encoding="utf-8"))
    payload = json.loads((CASE / "alert.message.json").read_text(encoding="utf-8"))
    body = MappingBody.model_validate(case["mapping"])
    target = record(case["target"])

    problems = check_mapping(
        body,
        "alert",
        source=record(case["source"]),
        target=target,
        payload=record(case["payload"]),
        source_name="object",
    )
    result = compile_mapping(body, name="alert", target=target, source_name="object").apply(
        Source(payload["alerts"][0], payload, {}, "2026-11-23T20:24:00Z"), explain=True
    )

    assert problems == []
    assert isinstance(result, Mapped)
    text = json.dumps(asdict(result), indent=2, ensure_ascii=False) + "\n"
    print(text)
    assert text == (CASE / "alert.explained.json").read_text(encoding="utf-8")
