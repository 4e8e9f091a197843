"""Who uses what: edges from specs only, kept also where the target does not exist yet.

The operator asks which Flows to look at when an object changes, the command line draws it.
"""

from collections.abc import Iterator

from intops_api.connector import ConnectorSpec
from intops_api.connector_class import ConnectorClassSpec
from intops_api.flow import FlowSpec
from intops_api.flow_action import FlowActionSpec
from intops_api.mapping import MappingBody, MappingSpec
from intops_api.pattern import PatternSpec
from intops_core.findings import Ref
from intops_core.resources import Resource


def references(resource: Resource) -> set[Ref]:
    """Objects of our group that a resource names, whether they exist or not. Never Secrets."""
    return {ref for ref in _named(resource) if ref != resource.ref}


def _named(resource: Resource) -> Iterator[Ref]:
    namespace = resource.ref.namespace
    match resource.spec:
        case FlowSpec() as flow:
            yield Ref("Pattern", "", flow.pattern)
            for bindings in flow.roles.values():
                for binding in bindings:
                    yield Ref("Connector", namespace, binding.connector)
                    for name in (binding.mapping, binding.reverse_mapping, binding.shadow):
                        if name is not None:
                            yield Ref("Mapping", namespace, name)
        case MappingSpec() as mapping:
            yield from _ends(mapping)
        case ConnectorSpec() as connector:
            yield Ref("ConnectorClass", "", connector.class_)
        case ConnectorClassSpec() as class_:
            for body in class_.mappings.values():
                yield from _ends(body)
        case PatternSpec() as pattern:
            for model in (pattern.models.in_, pattern.models.out):
                yield Ref("CanonicalModel", "", model.partition("/")[0])
            if pattern.extends is not None:
                yield Ref("Pattern", "", pattern.extends)
            for body in pattern.mappings.values():
                yield from _ends(body)
        case FlowActionSpec() as action:
            yield Ref("Flow", namespace, action.flow)


def _ends(body: MappingBody) -> Iterator[Ref]:
    for end in (body.from_, body.to):
        if end.class_ is not None:
            yield Ref("ConnectorClass", "", end.class_)
        if end.model is not None:
            yield Ref("CanonicalModel", "", end.model)


class ReferenceGraph:
    """Edges "uses" in both directions; a change costs as much as the object has edges."""

    def __init__(self) -> None:
        self._uses: dict[Ref, frozenset[Ref]] = {}
        self._users: dict[Ref, set[Ref]] = {}

    def put(self, resource: Resource) -> None:
        """Take the edges of a resource; those it had before are forgotten."""
        self.remove(resource.ref)
        targets = frozenset(references(resource))
        self._uses[resource.ref] = targets
        for target in targets:
            self._users.setdefault(target, set()).add(resource.ref)

    def remove(self, ref: Ref) -> None:
        """Forget the edges of a resource. Edges to it stay, so that its return wakes its users."""
        for target in self._uses.pop(ref, ()):
            users = self._users[target]
            users.discard(ref)
            if not users:
                del self._users[target]

    def uses(self, ref: Ref) -> frozenset[Ref]:
        """What a resource names directly."""
        return self._uses.get(ref, frozenset())

    def users(self, ref: Ref) -> frozenset[Ref]:
        """What names a resource directly."""
        return frozenset(self._users.get(ref, ()))

    def dependants(self, ref: Ref) -> set[Ref]:
        """Flows that use an object, directly or through others."""
        seen: set[Ref] = set()
        todo = [ref]
        while todo:
            for user in self._users.get(todo.pop(), ()):
                if user not in seen:
                    seen.add(user)
                    todo.append(user)
        return {found for found in seen if found.kind == "Flow" and found != ref}
