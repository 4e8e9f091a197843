"""From a Flow and everything that it names to a FlowPlan, and from a FlowPlan to bytes and back.

The operator and the command line plan and encode; the worker decodes. A plan holds no secret: of a
Secret only its name.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from pydantic import ValidationError

from intops_api.connector import ConnectorSpec
from intops_api.connector_class import ConnectorClassSpec
from intops_api.flow import ErrorPolicy, Store
from intops_api.mapping import MappingBody, MappingSpec
from intops_api.names import PLAN_MAX_BYTES
from intops_api.plan import (
    PLAN_SCHEMA,
    ClassBlob,
    FlowPlan,
    FlowRef,
    MappingBlob,
    ModelBlob,
    PlanBinding,
    PlanBlobs,
    PlanEngine,
    PlanModel,
)
from intops_core.conformance import judge, judge_flow
from intops_core.defaults import engine_settings
from intops_core.ends import Model
from intops_core.facts import BoundSystem, FlowFacts, UsedMapping, gather_flow
from intops_core.findings import REFERENCE, Finding, Ref
from intops_core.limits import limits_in_use
from intops_core.memo import Memo
from intops_core.resources import (
    Resource,
    Resources,
    canonical_json,
    content_hash,
    field_path,
)

# 64 MiB: about seventy times what a full ConfigMap unpacks to; a bomb must not fill the worker.
_MOST_UNPACKED: Final = 64 * 1024 * 1024


class PlanError(Exception):
    """A plan cannot be written or read; the text is a sentence for people.

    `flow` is the namespace and name of its Flow, where they can be read although the rest cannot.
    """

    def __init__(self, words: str, flow: tuple[str, str] | None = None) -> None:
        super().__init__(words)
        self.flow = flow


@dataclass(frozen=True, slots=True)
class Planned:
    """What planning a Flow gave. Without a plan, the findings say why."""

    plan: FlowPlan | None
    findings: list[Finding] = field(default_factory=list)
    missing: list[Ref] = field(default_factory=list)
    pattern_rules: frozenset[str] = frozenset()
    """Ids of the rules that its Pattern lists."""


Judgements = dict[Ref, list[Finding]]
"""What makes objects unusable, by object, among one set of resources."""


def plan_flow(
    flow: Resource, resources: Resources, *, judgements: Judgements | None = None
) -> Planned:
    """The plan of a Flow, if it is sound and everything that it names exists and is sound.

    Args:
        flow: The Flow.
        resources: Everything that is known.
        judgements: Kept by a caller who plans many Flows among the same resources: what they share is then
            judged once.

    Returns:
        Findings about the Flow (all of them) and about what it names (what makes that unusable).
        The same specs give the same plan, byte for byte.
    """
    facts = gather_flow(flow, resources)
    findings = judge_flow(facts, new=False)
    known = judgements if judgements is not None else {}
    for resource in _closure(facts, resources):
        if resource.ref not in known:
            known[resource.ref] = [
                finding
                for finding in judge(resource, resources, new=False)
                if finding.severity == "deny" or finding.missing is not None
            ]
        findings += known[resource.ref]
    rules = (
        frozenset(rule.id for rule in facts.pattern_spec.rules)
        if facts.pattern_spec
        else frozenset()
    )
    missing = list(dict.fromkeys(f.missing for f in findings if f.missing is not None))
    if missing or any(finding.severity == "deny" for finding in findings):
        return Planned(None, findings, missing, rules)
    plan = _plan(facts, facts.spec.errors, resources)
    if plan is None:
        words = "The Flow cannot be resolved, although no rule is broken; its Pattern lacks a part."
        findings.append(Finding(REFERENCE, "deny", "spec.pattern", words, flow.ref))
    return Planned(plan, findings, missing, rules)


def _closure(facts: FlowFacts, resources: Resources) -> list[Resource]:
    """Everything that a Flow uses, each once."""
    found: dict[Ref, Resource] = {}

    def take(resource: Resource | None) -> None:
        if resource is not None:
            found.setdefault(resource.ref, resource)

    take(resources.get("Pattern", "", facts.spec.pattern))
    for above in facts.pattern.above if facts.pattern else ():
        take(above)
    for model in (facts.model_in, facts.model_out):
        take(resources.get("CanonicalModel", "", model.name) if model else None)
    for system in facts.systems:
        namespace = facts.flow.ref.namespace
        take(resources.get("Connector", namespace, system.binding.connector))
        take(system.class_)
        for used in (system.mapping, system.shadow):
            take(used.carrier if used else None)
        if system.binding.reverse_mapping is not None:
            take(resources.get("Mapping", namespace, system.binding.reverse_mapping))
    return list(found.values())


@dataclass(slots=True)
class _Blobs:
    """Blobs of one plan by hash, while bindings are made."""

    blobs: PlanBlobs = field(default_factory=PlanBlobs)

    def class_(self, resource: Resource) -> str:
        name, blob = _CLASSES.get(resource.digest, lambda: _class_blob(resource))
        self.blobs.classes[name] = blob
        return name

    def mapping(self, used: UsedMapping) -> str:
        name, blob = _MAPPINGS.get(
            f"{used.carrier.digest}/{used.name}", lambda: _mapping_blob(used)
        )
        self.blobs.mappings[name] = blob
        return name

    def model(self, model: Model) -> str:
        name, blob = _MODELS.get(model.key, lambda: _model_blob(model))
        self.blobs.models[name] = blob
        return name


# What Flows share is made once; of Mappings that are used by one Flow each, few are worth keeping.
_CLASSES: Final = Memo[tuple[str, ClassBlob]](64)
_MAPPINGS: Final = Memo[tuple[str, MappingBlob]](64)
_MODELS: Final = Memo[tuple[str, ModelBlob]](64)


def _class_blob(resource: Resource) -> tuple[str, ClassBlob]:
    spec = cast("ConnectorClassSpec", resource.spec)
    # Its Mappings are blobs of their own where they are used; tests of a Connector are no worker's business, and a
    # worker of an older version would refuse a plan with fields that it does not know.
    unused: dict[str, Any] = {"mappings": {}, "self_test": None, "discovery": None}
    blob = ClassBlob(name=resource.ref.name, spec=spec.model_copy(update=unused))
    return content_hash(blob.to_wire()), blob


def _mapping_blob(used: UsedMapping) -> tuple[str, MappingBlob]:
    fields = {name: getattr(used.body, name) for name in MappingBody.model_fields}
    # Examples are run at admission; a worker has no use for them.
    body = MappingBody.model_construct(**{**fields, "examples": []})
    blob = MappingBlob(name=used.name, spec=body)
    return content_hash(blob.to_wire()), blob


def _model_blob(model: Model) -> tuple[str, ModelBlob]:
    blob = ModelBlob(name=model.name, spec=model.version)
    return content_hash(blob.to_wire()), blob


def _plan(
    facts: FlowFacts, errors: dict[str, ErrorPolicy], resources: Resources
) -> FlowPlan | None:
    pattern, transform = facts.pattern_spec, facts.transform
    model_in, model_out = facts.model_in, facts.model_out
    if pattern is None or transform is None or model_in is None or model_out is None:
        return None
    blobs = _Blobs()
    bindings = [
        binding
        for system in facts.systems
        if (binding := _binding(system, facts, resources, blobs)) is not None
    ]
    if len(bindings) < len(facts.systems):
        return None
    spec, ref, meta = facts.spec, facts.flow.ref, facts.flow.meta
    plan = FlowPlan(
        flow=FlowRef(
            namespace=ref.namespace, name=ref.name, uid=meta.uid, generation=meta.generation
        ),
        hash="",
        pattern=spec.pattern,
        engine=PlanEngine(name=pattern.engine, settings=engine_settings(spec, pattern.engine)),
        model_in=_plan_model(model_in, blobs),
        model_out=_plan_model(model_out, blobs),
        transform=blobs.mapping(transform),
        transform_name=transform.name,
        bindings=bindings,
        routes=spec.routes,
        closure=spec.closure,
        sync=spec.sync,
        slo=spec.slo,
        errors=errors,
        review=spec.review,
        owner=spec.owner,
        # What is expected of the store is judged here and changes no worker.
        store=Store(embedded=spec.runtime.store.embedded, postgres=spec.runtime.store.postgres),
        suspend=spec.suspend,
        blobs=blobs.blobs,
    )
    return plan.model_copy(update={"hash": config_hash(plan)})


def with_store(plan: FlowPlan, store: Store) -> FlowPlan:
    """The same plan with messages kept elsewhere: as if the Flow's spec named that store."""
    kept = Store(embedded=store.embedded, postgres=store.postgres)
    moved = plan.model_copy(update={"store": kept, "hash": ""})
    return moved.model_copy(update={"hash": config_hash(moved)})


def config_hash(plan: FlowPlan) -> str:
    """Hash over everything in a plan but the Flow's uid and generation, and the hash itself."""
    # Blobs are named by their content, so their names stand for them.
    wire = plan.model_copy(update={"blobs": PlanBlobs(), "hash": ""}).to_wire()
    wire["flow"] = {"namespace": plan.flow.namespace, "name": plan.flow.name}
    blobs = plan.blobs
    wire["blobs"] = [sorted(blobs.classes), sorted(blobs.mappings), sorted(blobs.models)]
    return content_hash(wire)


def _plan_model(model: Model, blobs: _Blobs) -> PlanModel:
    return PlanModel(name=model.name, version=model.version.name, blob=blobs.model(model))


def _binding(
    system: BoundSystem, facts: FlowFacts, resources: Resources, blobs: _Blobs
) -> PlanBinding | None:
    connector, class_, class_spec = system.connector, system.class_, system.class_spec
    if connector is None or class_ is None or class_spec is None:
        return None
    direction = system.role.mapping if system.role else "none"
    used = blobs.mapping(system.mapping) if system.mapping else None
    reverse: str | None = None
    if system.binding.reverse_mapping is not None:
        namespace = facts.flow.ref.namespace
        resource = resources.get("Mapping", namespace, system.binding.reverse_mapping)
        if resource is not None and isinstance(resource.spec, MappingSpec):
            reverse = blobs.mapping(UsedMapping(resource.ref.name, resource.spec, resource))
    limits, secret = limits_in_use(connector.limits, class_spec.limits), connector.credentials
    return PlanBinding(
        role=system.role_name,
        name=system.binding.name,
        connector=system.binding.connector,
        class_name=class_.ref.name,
        class_=blobs.class_(class_),
        endpoint=connector.endpoint,
        config=_config(connector, class_spec),
        secret_name=secret.secret_name if secret else None,
        secret_dir=secret.secret_name if secret else None,
        ca_dir=connector.tls.ca_secret_name if connector.tls else None,
        requests_per_second=limits.requests_per_second,
        concurrency=limits.concurrency,
        in_=used if direction in ("in", "enrich") else reverse,
        out=used if direction == "out" else reverse if direction == "in" else None,
        mapping_name=system.mapping.name if system.mapping else None,
        shadow=blobs.mapping(system.shadow) if system.shadow else None,
        shadow_name=system.shadow.name if system.shadow else None,
        timeout=system.binding.timeout,
        cache=system.binding.cache,
        on_failure=system.binding.on_failure,
        delivery=system.binding.delivery or "atLeastOnce",
        answer_within=system.binding.answer_within,
        owner=connector.owner,
    )


def _config(connector: ConnectorSpec, class_: ConnectorClassSpec) -> dict[str, Any]:
    """Settings with the defaults of the class below them."""
    defaults = {
        name: schema.default
        for name, schema in class_.config_schema.items()
        if schema.default is not None
    }
    return {**defaults, **connector.config}


def encode_plan(plan: FlowPlan) -> bytes:
    """A plan as it lies in the ConfigMap: the same plan gives the same bytes.

    Raises:
        PlanError: it is larger than a ConfigMap takes.
    """
    packed = bytearray(gzip.compress(canonical_json(plan.to_wire()).encode(), 6, mtime=0))
    packed[9] = 255  # "unknown system": some versions of Python write the one that they run on
    if len(packed) > PLAN_MAX_BYTES:
        raise PlanError(
            f"The plan of Flow {plan.flow.namespace}/{plan.flow.name} has {len(packed) // 1024} KiB and a "
            f"ConfigMap takes {PLAN_MAX_BYTES // 1024} KiB. Shorten value tables, or split the Flow in two."
        )
    return bytes(packed)


def decode_plan(data: bytes) -> FlowPlan:
    """A plan from its bytes.

    Raises:
        PlanError: it is damaged, larger than any plan, or of a newer schema.
    """
    raw = _unpacked(data)
    schema = raw.get("schema", PLAN_SCHEMA)
    if not isinstance(schema, int) or schema > PLAN_SCHEMA:
        raise PlanError(
            f"The plan has schema {schema} and this worker reads up to {PLAN_SCHEMA}. Use a worker image of "
            "the operator's own version.",
            _flow_of(raw),
        )
    try:
        return FlowPlan.model_validate(raw)
    except ValidationError as error:
        places = ", ".join(_places(error))
        raise PlanError(
            f"The plan does not have the form that this worker knows (at {places}). Use a worker image of "
            "the operator's own version.",
            _flow_of(raw),
        ) from error


def _flow_of(raw: dict[str, Any]) -> tuple[str, str] | None:
    """Namespace and name of the Flow, as in every edition of a plan."""
    flow = raw.get("flow")
    if not isinstance(flow, dict):
        return None
    namespace, name = flow.get("namespace"), flow.get("name")
    return (namespace, name) if isinstance(namespace, str) and isinstance(name, str) else None


def _unpacked(data: bytes) -> dict[str, Any]:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(data, _MOST_UNPACKED)
        if unpacker.unconsumed_tail:
            raise PlanError("The plan unpacks to more than any plan has; it is not read.")
        if not unpacker.eof:
            raise PlanError("The plan ends too early; it is damaged and not read.")
        raw = json.loads(text)
    except (zlib.error, ValueError, RecursionError) as error:
        raise PlanError(
            "The plan is no gzip-compressed JSON; it is damaged and not read."
        ) from error
    if not isinstance(raw, dict):
        raise PlanError("The plan is no JSON object; it is damaged and not read.")
    return raw


def _places(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False, include_input=False)[:3]:
        yield field_path("plan", item["loc"])
