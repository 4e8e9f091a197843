"""FlowPlan: one Flow with everything it names, resolved. Goes from the operator down to the worker.

Written by `intops_core.planning`, carried by a ConfigMap (`names.PLAN_KEY`) or a file, read by the worker.
It never holds a secret. A reader refuses a newer major schema.
"""

from typing import Any, Literal

from pydantic import Field

from intops_api.canonical_model import ModelVersion
from intops_api.common import ApiModel, Owner
from intops_api.connector_class import ConnectorClassSpec
from intops_api.flow import Closure, ErrorPolicy, Review, Route, Slo, Store, Sync
from intops_api.mapping import MappingBody
from intops_api.pattern import EngineName

PLAN_SCHEMA: Literal[1] = 1

RoleName = str


class FlowRef(ApiModel):
    """Which Flow this is."""

    namespace: str
    name: str
    uid: str = ""
    generation: int = 0


class PlanEngine(ApiModel):
    """What runs the plan."""

    name: EngineName
    settings: dict[str, Any] = Field(default_factory=dict)


class PlanModel(ApiModel):
    """One canonical model of the Pattern."""

    name: str
    version: str
    blob: str


class PlanBinding(ApiModel):
    """One Connector in one role. `class_`, `in_`, `out` are names of blobs."""

    role: RoleName
    name: str
    connector: str
    class_name: str
    class_: str = Field(alias="class")
    endpoint: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    secret_name: str | None = None
    secret_dir: str | None = None
    """Directory of the mounted Secret, relative to the worker's secrets directory."""
    ca_dir: str | None = None
    requests_per_second: float
    concurrency: int
    in_: str | None = Field(default=None, alias="in")
    out: str | None = None
    mapping_name: str | None = None
    shadow: str | None = None
    """Blob of the Mapping that is tried beside the one of the role's direction; decides nothing."""
    shadow_name: str | None = None
    timeout: str | None = None
    cache: str | None = None
    on_failure: Literal["continue", "hold", "review"] | None = None
    delivery: Literal["atLeastOnce", "atMostOnce"] = "atLeastOnce"
    answer_within: str | None = None
    """How long a sender waits for the outcome; None answers once the delivery is stored."""
    owner: Owner | None = None


class ClassBlob(ApiModel):
    kind: Literal["class"] = "class"
    name: str
    spec: ConnectorClassSpec


class MappingBlob(ApiModel):
    kind: Literal["mapping"] = "mapping"
    name: str
    spec: MappingBody


class ModelBlob(ApiModel):
    kind: Literal["model"] = "model"
    name: str
    spec: ModelVersion


class PlanBlobs(ApiModel):
    """Each class, mapping and model once, by hash of its content."""

    classes: dict[str, ClassBlob] = Field(default_factory=dict)
    mappings: dict[str, MappingBlob] = Field(default_factory=dict)
    models: dict[str, ModelBlob] = Field(default_factory=dict)


class FlowPlan(ApiModel):
    """Everything a worker needs to run one Flow, except the credentials."""

    schema_: int = Field(default=PLAN_SCHEMA, alias="schema")
    flow: FlowRef
    hash: str
    """configHash over everything below except the Flow's uid and generation."""
    pattern: str
    engine: PlanEngine
    model_in: PlanModel
    model_out: PlanModel
    transform: str
    """Blob of the Pattern's Mapping from the `in` model to the `out` model."""
    transform_name: str
    bindings: list[PlanBinding]
    routes: list[Route] = Field(default_factory=list)
    closure: Closure
    sync: Sync
    slo: Slo
    errors: dict[str, ErrorPolicy] = Field(default_factory=dict)
    """What the Pattern and the Flow say; what a target's class says lies below it."""
    review: Review
    owner: Owner
    store: Store
    suspend: bool = False
    blobs: PlanBlobs

    def bindings_of(self, role: str) -> list[PlanBinding]:
        """Bindings of one role, in the order of the Flow."""
        return [b for b in self.bindings if b.role == role]
