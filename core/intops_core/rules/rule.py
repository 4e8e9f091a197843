"""The shape of a built-in rule.

Used by the modules of this package, which hold the rules, and by conformance, which runs them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from intops_core.ends import MappingFacts
from intops_core.facts import FlowFacts
from intops_core.findings import Breach, Severity
from intops_core.rules.connectors import ConnectorFacts

FlowCheck = Callable[[FlowFacts], Iterator[Breach]]
MappingCheck = Callable[[MappingFacts], Iterator[Breach]]
ConnectorCheck = Callable[[ConnectorFacts], Iterator[Breach]]


@dataclass(frozen=True, slots=True)
class BuiltInRule:
    """One rule.

    Attributes:
        id: Its id in Patterns and messages.
        title: What must be the case.
        severity: What a violation does where no Pattern says otherwise.
        excusable: Whether `spec.exceptions` of a Flow may lift it for a while, as far as it judges the
            Flow itself. Rules without which a worker could not run are not excusable, and hold whether a
            Pattern lists them or not.
        flow, mapping, connector: What judges a Flow; a Mapping, also one that a class or a Pattern
            carries; a Connector.
        also: Kinds that are judged elsewhere under this id.
    """

    id: str
    title: str
    severity: Severity = "deny"
    excusable: bool = True
    flow: FlowCheck | None = None
    mapping: MappingCheck | None = None
    connector: ConnectorCheck | None = None
    also: tuple[str, ...] = ()

    @property
    def liftable(self) -> bool:
        """Whether an exception of a Flow has an effect: Mappings and Connectors belong to many Flows."""
        return self.excusable and self.flow is not None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds that it judges, for documentation."""
        found: list[str] = []
        if self.flow is not None:
            found.append("Flow")
        if self.mapping is not None:
            found += ["Mapping", "ConnectorClass", "Pattern"]
        if self.connector is not None:
            found.append("Connector")
        return tuple(dict.fromkeys([*found, *self.also]))
