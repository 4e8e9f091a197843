"""How many translations an estate has, against those that it would have from system to system.

Pure counting over `estate`. The growth of the direct way is quadratic: N systems have N(N−1)/2 pairs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from intops_core.estate import COUNTED, FlowLinks, Link, LinkKind, NamedMapping, systems
from intops_core.findings import Ref


def mesh(count: int) -> int:
    """Pairs of `count` systems, each of which would be joined directly.

    >>> [mesh(count) for count in (3, 5, 50)]
    [3, 10, 1225]
    """
    return count * (count - 1) // 2


def hub(count: int) -> int:
    """Connections of `count` systems that are each joined once with a model in the middle."""
    return count


@dataclass(frozen=True, slots=True)
class ModelShare:
    """One model: what is joined with it, and what that spares.

    Attributes:
        model: Name and version.
        systems: Systems joined with it.
        mappings: Distinct Mappings that have it as an end towards a system.
        uses: Bindings that use them.
        direct: Translations from system to system on ways through this model. A way through two models
            counts at both.
    """

    model: str
    systems: int
    mappings: int
    uses: int
    direct: int


@dataclass(frozen=True, slots=True)
class Complexity:
    """What an estate costs in translations.

    Attributes:
        flows: Flows that were counted.
        standard: Those of them on a Pattern that intops ships.
        systems: Connectors that exchange data by a Mapping.
        sources: Those of them that a Flow moves data from; ways back do not count here.
        targets: Those of them that a Flow moves data to, likewise.
        pairs: Unordered pairs of systems between which at least one Flow moves data.
        direct: Translations that the same Flows would need from system to system: distinct source, target, model.
        connections: Distinct system, model and direction that are joined now.
        mappings: Distinct Mappings that join them. One may serve several systems of a class.
        uses: Bindings that use them.
        between: Mappings from model to model, which a Pattern carries for everybody.
        models: By name.
    """

    flows: int
    standard: int
    systems: int
    sources: int
    targets: int
    pairs: int
    direct: int
    connections: int
    mappings: int
    uses: int
    between: int
    models: tuple[ModelShare, ...]

    @property
    def saving(self) -> float | None:
        """Share of the direct translations that models spare; below 0 where they cost more."""
        return 1 - self.connections / self.direct if self.direct else None

    @property
    def reuse(self) -> float | None:
        """How often a Mapping is used on average."""
        return self.uses / self.mappings if self.mappings else None


def complexity(flows: Sequence[FlowLinks], standard: frozenset[str]) -> Complexity:
    """Count an estate.

    Args:
        flows: What the Flows join.
        standard: Names of the Patterns that intops ships.
    """
    links = [link for one in flows for link in _counted(one)]
    forth = {way for one in flows for way in _ways(one, "mapped")}
    ways = forth | {way for one in flows for way in _ways(one, "back")}
    return Complexity(
        flows=len(flows),
        standard=sum(1 for one in flows if one.pattern in standard),
        systems=len(systems(flows)),
        sources=len({source for source, _, _ in forth}),
        targets=len({target for _, target, _ in forth}),
        pairs=len({frozenset((source, target)) for source, target, _ in ways if source != target}),
        direct=len(ways),
        connections=len({(link.system, link.model, link.into) for link in links}),
        mappings=len(_mappings(links)),
        uses=len(links),
        between=len({one.transform for one in flows if one.transform is not None}),
        models=tuple(_shares(flows)),
    )


def _shares(flows: Sequence[FlowLinks]) -> Iterator[ModelShare]:
    names = {model for one in flows for model in one.models}
    names |= {link.model for one in flows for link in _counted(one)}
    for name in sorted(names):
        links = [link for one in flows for link in _counted(one) if link.model == name]
        through = {
            way
            for one in flows
            if name in one.models
            for kind in COUNTED
            for way in _ways(one, kind)
        }
        yield ModelShare(
            model=name,
            systems=len({link.system for link in links}),
            mappings=len(_mappings(links)),
            uses=len(links),
            direct=len(through),
        )


def _counted(one: FlowLinks) -> list[Link]:
    return [link for link in one.links if link.kind in COUNTED]


def _mappings(links: Iterable[Link]) -> set[NamedMapping]:
    return {link.mapping for link in links if link.mapping is not None}


def _ways(one: FlowLinks, kind: LinkKind) -> Iterator[tuple[Ref, Ref, str]]:
    """Source, target and model of everything that a Flow moves, there (`mapped`) or back."""
    links = [link for link in one.links if link.kind == kind]
    for source in links:
        for target in links:
            if source.into and not target.into:
                yield source.system, target.system, target.model
