"""The seven kinds: names, scope, models, and how `kubectl get` shows them. CRDs are generated from here.

Read by the schema generator, the operator's feed, the command line and the documentation.
"""

from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel

from intops_api.canonical_model import CanonicalModelSpec, CanonicalModelStatus
from intops_api.connector import ConnectorSpec, ConnectorStatus
from intops_api.connector_class import ConnectorClassSpec, ConnectorClassStatus
from intops_api.flow import FlowSpec, FlowStatus
from intops_api.flow_action import FlowActionSpec, FlowActionStatus
from intops_api.mapping import MappingSpec, MappingStatus
from intops_api.pattern import PatternSpec, PatternStatus
from intops_api.rules.flow_rules import FLOW_ROOT
from intops_api.rules.meaning_rules import PATTERN_ROOT
from intops_api.rules.rule import CelRule


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; `wide` ones only with `-o wide`."""

    name: str
    path: str
    type: Literal["string", "integer", "date"] = "string"
    wide: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of the group."""

    name: str
    plural: str
    short_names: tuple[str, ...]
    namespaced: bool
    spec: type[BaseModel]
    status: type[BaseModel]
    description: str
    columns: tuple[Column, ...] = ()
    selectable: tuple[str, ...] = ()
    rules: tuple[CelRule, ...] = ()
    """Rules about the whole object; those about parts of the spec stand with their models."""
    default_conditions: tuple[str, ...] = ("Ready",)

    @property
    def singular(self) -> str:
        return self.name.lower()


def _condition(type_: str, part: str) -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{part}'


_READY = Column("Ready", _condition("Ready", "status"), description="Whether it works.")
_REASON = Column("Reason", _condition("Ready", "reason"), description="Why, in one word.")
_MESSAGE = Column(
    "Message", _condition("Ready", "message"), wide=True, description="Why, in words."
)
_AGE = Column("Age", ".metadata.creationTimestamp", "date")

FLOW: Final = Kind(
    name="Flow",
    plural="flows",
    short_names=("iflow",),
    namespaced=True,
    spec=FlowSpec,
    status=FlowStatus,
    description="A Pattern with its roles bound to Connectors: what moves, by which rules, for whom.",
    columns=(
        Column("Pattern", ".spec.pattern", description="Pattern that it follows."),
        _READY,
        _REASON,
        Column("Backlog", ".status.backlog", "integer", description="Messages in flight."),
        Column("Oldest", ".status.oldestAt", "date", description="Age of the oldest of them."),
        Column(
            "Review", ".status.review", "integer", description="Messages that wait for a person."
        ),
        Column("SLO", ".status.slo", description="Share of messages delivered in time."),
        Column("Last-Delivered", ".status.lastDeliveredAt", "date", description="Latest delivery."),
        _AGE,
        Column("Source", ".status.source", wide=True, description="Where messages come from."),
        Column("Target", ".status.target", wide=True, description="Where messages go."),
        Column("Owner", ".spec.owner.team", wide=True, description="Who is accountable."),
        Column("Delivered/h", ".status.deliveredPerHour", "integer", wide=True),
        Column("Failed/h", ".status.failedPerHour", "integer", wide=True),
        Column("Replicas", ".status.replicas", "integer", wide=True),
        Column("Desired", ".status.desiredReplicas", "integer", wide=True),
        Column("Pool", ".spec.runtime.pool", wide=True, description="Worker that it shares."),
        _MESSAGE,
    ),
    selectable=(".spec.pattern", ".spec.runtime.pool"),
    default_conditions=("Accepted", "ResolvedRefs", "Programmed", "Ready"),
    rules=FLOW_ROOT,
)

CONNECTOR: Final = Kind(
    name="Connector",
    plural="connectors",
    short_names=("iconn",),
    namespaced=True,
    spec=ConnectorSpec,
    status=ConnectorStatus,
    description="One system: its ConnectorClass, endpoint, credentials, limits and owner.",
    columns=(
        Column("Class", ".spec.class", description="Kind of system."),
        _READY,
        _REASON,
        Column(
            "Reachable",
            _condition("TargetReachable", "status"),
            description="Whether the system answers.",
        ),
        Column("Flows", ".status.flows", "integer", description="Flows that use it."),
        _AGE,
        Column(
            "Credentials",
            _condition("CredentialsValid", "status"),
            wide=True,
            description="Whether they are there and accepted.",
        ),
        Column("Host", ".status.host", wide=True, description="Host of its endpoint."),
        Column("Limits", ".status.limits", wide=True, description="Limits in use."),
        Column("Since", ".status.since", "date", wide=True, description="How long it is wrong."),
        # Not a date column: those show an age, and this lies ahead.
        Column("Certificate-Ends", ".status.certificateExpires", wide=True),
        Column("Owner", ".spec.owner.team", wide=True),
        _MESSAGE,
    ),
    selectable=(".spec.class",),
)

MAPPING: Final = Kind(
    name="Mapping",
    plural="mappings",
    short_names=("imap",),
    namespaced=True,
    spec=MappingSpec,
    status=MappingStatus,
    description="System data to a canonical model, or back, field by field, with meaning and examples.",
    columns=(
        Column("Maps", ".status.ends", description="From what to what."),
        _READY,
        _REASON,
        Column("Examples", ".status.examples", description="Examples that hold."),
        Column(
            "Stable",
            _condition("SchemaStable", "status"),
            description="Whether payloads look as expected.",
        ),
        Column("Flows", ".status.flows", "integer", description="Flows that use it."),
        _AGE,
        Column("Owner", ".spec.owner.team", wide=True),
        _MESSAGE,
    ),
)

CONNECTOR_CLASS: Final = Kind(
    name="ConnectorClass",
    plural="connectorclasses",
    short_names=("iclass",),
    namespaced=False,
    spec=ConnectorClassSpec,
    status=ConnectorClassStatus,
    description="A kind of system as data: objects, operations, authentication, errors, Mappings.",
    columns=(
        Column("System", ".spec.displayName", description="Name that people use."),
        _READY,
        _REASON,
        Column("Offers", ".status.capabilities", description="What can be asked of it."),
        Column("Connectors", ".status.connectors", "integer", description="Connectors of it."),
        _AGE,
        _MESSAGE,
    ),
)

CANONICAL_MODEL: Final = Kind(
    name="CanonicalModel",
    plural="canonicalmodels",
    short_names=("imodel",),
    namespaced=False,
    spec=CanonicalModelSpec,
    status=CanonicalModelStatus,
    description="One thing of IT service management in business terms, independent of any tool.",
    columns=(
        # A column shows one value of a list; versions are listed oldest first.
        Column("Newest", ".spec.versions[-1:].name", description="Its newest edition."),
        _READY,
        _REASON,
        Column("Mappings", ".status.mappings", "integer", description="Mappings that end here."),
        _AGE,
        Column("Classes", ".status.classes", "integer", wide=True),
        Column("Patterns", ".status.patterns", "integer", wide=True),
        _MESSAGE,
    ),
)

PATTERN: Final = Kind(
    name="Pattern",
    plural="patterns",
    short_names=("ipat",),
    namespaced=False,
    spec=PatternSpec,
    status=PatternStatus,
    description="How one kind of integration is built: roles, steps, rules, defaults.",
    columns=(
        Column("Engine", ".spec.engine", description="What runs it."),
        _READY,
        _REASON,
        Column("Flows", ".status.flows", "integer", description="Flows that follow it."),
        Column("Violations", ".status.violations", "integer", description="Flows that break it."),
        Column("Exceptions", ".status.exceptions", "integer", description="Exceptions from it."),
        _AGE,
        _MESSAGE,
    ),
    rules=PATTERN_ROOT,
)

FLOW_ACTION: Final = Kind(
    name="FlowAction",
    plural="flowactions",
    short_names=("iact",),
    namespaced=True,
    spec=FlowActionSpec,
    status=FlowActionStatus,
    description="What a person decided about messages of a Flow: retry, edit, discard, replay, approve.",
    columns=(
        Column("Flow", ".spec.flow"),
        Column("Action", ".spec.action"),
        Column("Actor", ".spec.actor"),
        _READY,
        Column("Messages", ".status.messages", "integer"),
        _AGE,
        Column("Reason", ".spec.reason", wide=True),
    ),
    selectable=(".spec.flow",),
)

KINDS: Final[tuple[Kind, ...]] = (
    CONNECTOR_CLASS,
    CANONICAL_MODEL,
    PATTERN,
    CONNECTOR,
    MAPPING,
    FLOW,
    FLOW_ACTION,
)

BY_NAME: Final[dict[str, Kind]] = {kind.name: kind for kind in KINDS}
