"""Review: what a decision of a person makes of one message, and what is suggested to that person.

Pure. Called by the desk of the worker for every message that a decision selects.
"""

import json
from collections.abc import Mapping
from typing import Any

import orjson

from intops_api.mapping import FieldRule, MappingBody
from intops_core.fitting import MisfitError, fit
from intops_core.mapping import Mapped, MappingError, Source, compile_mapping
from intops_core.records import copy_json, path_parts, set_parts
from intops_core.typed import Record
from intops_runtime.core.compiled import CompiledPlan, CompiledSource
from intops_runtime.core.decisions import Decision, Refusal, Resolution, ReviewItem
from intops_runtime.core.intake import origin_of
from intops_runtime.core.keys import correlation_key
from intops_runtime.core.messages import COMPLETES, LEFT_OUT
from intops_runtime.core.shaping import Unshaped, shape


def resolve(
    plan: CompiledPlan, item: ReviewItem, decision: Decision, *, stamp: str
) -> Resolution | Refusal:
    """What becomes of one message.

    Args:
        plan: The plan that runs now.
        item: The message.
        decision: What was decided.
        stamp: Now, RFC 3339.

    Returns:
        The change, or a sentence why the decision does not suit this message.
    """
    if decision.verb == "discard":
        return Resolution(item.id, discard=True)
    try:
        patch = checked_patch(plan, decision.patch)
    except MisfitError as error:
        return Refusal(item.id, str(error), error.path)
    if item.record is None:
        return _mapped_anew(plan, item, patch, stamp)
    record = copy_json(item.record)
    for path, value in patch.items():
        _write(record, path, value)
    if patch:
        shaped = shape(plan, item.key, record, stamp)
        if isinstance(shaped, Unshaped):
            return Refusal(item.id, f"{shaped.path}: {shaped.message}", shaped.path)
    return Resolution(
        item.id,
        discard=False,
        record=record if patch else None,
        reopen=_can_be_looked_up(plan, item.unknown),
    )


def checked_patch(plan: CompiledPlan, patch: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a patch as the canonical model holds them.

    Raises:
        MisfitError: a field does not exist, is personal, or does not take the value.
    """
    model = plan.plan.blobs.models[plan.plan.model_in.blob].spec
    record = Record(model.fields)
    return {path: fit(record, plan.in_name, path, value) for path, value in patch.items()}


def suggestion(
    plan: CompiledPlan,
    *,
    source: str,
    error_class: str | None,
    reason: str,
    path: str | None,
    number: int,
) -> str:
    """What a person can do about an error, with the command to type."""
    mapped = plan.sources.get(source)
    name = mapped.mapping.name if mapped is not None else ""
    match error_class:
        case "validation" if reason in ("review", "reject", LEFT_OUT) and path:
            allowed = _allowed(plan, path)
            return (
                f'Add the value to Mapping "{name}" and retry all equal ones, or correct this message: '
                f"intops review edit {number} --set {path}={allowed} --reason …"
            )
        case "schemaDrift" if path == "variants":
            return (
                f'Add the new form to the variants of Mapping "{name}", then retry all equal ones.'
            )
        case "validation" | "schemaDrift":
            return (
                f"Correct the field here (intops review edit {number} --set FIELD=VALUE) or in the Mapping, "
                "then retry."
            )
        case "payloadMalformed":
            return "It cannot be read; see what the sender sends, then discard it here."
        case "forbidden" | "authDenied":
            return (
                "Give the credential the right that the system asks for, then retry all equal ones."
            )
        case "conflict":
            return "Look at the record in the system; retry writes over it, discard leaves it."
        case "notFound":
            return (
                "See whether the record was deleted or merged; retry if it is back, else discard."
            )
        case "poison":
            return "See the worker's log and report the defect; discard the message if it has no value."
        case "timeout" | "transientNetwork":
            return (
                "See whether the system has it already; retry looks first where the class can look."
            )
        case "policyDenied":
            return "Mend what the words name (an address, a binding), then retry; or discard it."
        case _:
            return "Remove the cause, then retry; or discard it."


def _allowed(plan: CompiledPlan, path: str) -> str:
    model = plan.plan.blobs.models[plan.plan.model_in.blob].spec
    schema = Record(model.fields).schema(path)
    return "|".join(schema.enum) if schema is not None and schema.enum else "VALUE"


def _can_be_looked_up(plan: CompiledPlan, binding: str | None) -> bool:
    """Whether the system can be asked what an attempt did; else the person has looked and decided."""
    target = plan.targets.get(binding or "")
    if target is None:
        return False
    return "lookupByCorrelation" in target.class_.operations


def _mapped_anew(
    plan: CompiledPlan, item: ReviewItem, patch: dict[str, Any], stamp: str
) -> Resolution | Refusal:
    """Map the original with the plan that runs now; corrected fields take the place of their rules."""
    source = plan.sources.get(item.source)
    if source is None:
        words = f'The Flow no longer binds a source "{item.source}"; bind it again, or discard it.'
        return Refusal(item.id, words)
    if item.original is None:
        words = "The message could not be read at all, so it cannot be mapped; discard it."
        return Refusal(item.id, words)
    try:
        payload = orjson.loads(item.payload)
    except orjson.JSONDecodeError:
        payload = None
    if origin_of(source, item.headers, item.original, payload) is not None:
        words = "It is a record that intops has written itself and heard of again; discard it."
        return Refusal(item.id, words)
    try:
        mapping = _with_constants(plan, source, patch) if patch else source.mapping
    except MappingError as error:
        return Refusal(item.id, f"The correction does not fit the Mapping: {error}.")
    result = mapping.apply(Source(item.original, payload, dict(item.headers), stamp))
    if not isinstance(result, Mapped):
        return Refusal(item.id, f"{result.path}: {result.message}", result.path)
    if result.left_out:
        left = result.left_out[0]
        return Refusal(item.id, f"{left.path}: {left.message}", left.path)
    if item.reason == LEFT_OUT:
        result.record[COMPLETES] = True
    key = correlation_key(
        plan.plan.flow.namespace,
        source.binding.connector,
        plan.in_name,
        str(result.record.get("episodeKey", "")),
    )
    if patch:
        shaped = shape(plan, key, result.record, stamp)
        if isinstance(shaped, Unshaped):
            return Refusal(item.id, f"{shaped.path}: {shaped.message}", shaped.path)
    return Resolution(
        item.id,
        discard=False,
        record=result.record,
        key=key,
        plan_hash=plan.plan.hash,
        variant=result.variant,
    )


def _with_constants(plan: CompiledPlan, source: CompiledSource, patch: dict[str, Any]) -> Any:
    """The source's Mapping with the rules of corrected fields replaced by their values."""
    blob = plan.plan.blobs.mappings[source.binding.in_ or ""]
    kept = [rule for rule in blob.spec.fields if rule.to not in patch]
    fixed = [
        FieldRule(to=path, cel=json.dumps(value, ensure_ascii=False), meaning="Corrected by hand.")
        for path, value in patch.items()
        if value is not None
    ]
    body = MappingBody.model_validate(
        {**blob.spec.model_dump(by_alias=True), "fields": [*kept, *fixed], "examples": []}
    )
    model = plan.plan.blobs.models[plan.plan.model_in.blob].spec
    return compile_mapping(
        body, name=blob.name, target=Record(model.fields), source_name="object", at="spec"
    )


def _write(record: dict[str, Any], path: str, value: Any) -> None:
    parts = path_parts(path)
    if value is not None:
        set_parts(record, parts, value)
        return
    node: Any = record
    for part in parts[:-1]:
        node = node.get(part) if isinstance(node, dict) else None
    if isinstance(node, dict):
        node.pop(parts[-1], None)
