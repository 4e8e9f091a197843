"""What a shadow must be: another Mapping between the ends of the one beside it, where messages are mapped.

Used by COM-04. That the shadow itself is sound is judged as for every Mapping.
"""

from collections.abc import Iterator

from intops_api.mapping import MappingBody, MappingEnd
from intops_core.facts import BoundSystem
from intops_core.findings import Breach


def shadow_problem(system: BoundSystem) -> Iterator[Breach]:
    """Why the shadow of a binding could not be compared with its Mapping; nothing if it could."""
    binding, path = system.binding, f"{system.path}.shadow"
    if binding.shadow is None or system.role is None:
        return
    if system.role.mapping not in ("in", "out"):
        yield Breach(
            path,
            f'No message is mapped for "{binding.name}" in role "{system.role_name}", so a shadow would do '
            "nothing. Remove shadow.",
        )
        return
    used, shadow = system.mapping, system.shadow
    if used is None or shadow is None:
        return
    if used.carrier.ref == shadow.carrier.ref:
        yield Breach(
            path,
            f'Mapping "{shadow.name}" is the one that "{binding.name}" uses already, so it would be compared '
            "with itself. Remove shadow, or name the Mapping that is to take over.",
        )
    elif (used.body.from_, used.body.to) != (shadow.body.from_, shadow.body.to):
        yield Breach(
            path,
            f'Mapping "{shadow.name}" cannot be tried beside "{used.name}" for "{binding.name}": it leads '
            f"{_ends(shadow.body)}, and the other {_ends(used.body)}, so nothing of what they make could be "
            "compared. Name a Mapping between the same ends, or remove shadow.",
        )


def _ends(body: MappingBody) -> str:
    return f"from {_end(body.from_)} to {_end(body.to)}"


def _end(end: MappingEnd) -> str:
    if end.model is not None:
        return f"model {end.model}/{end.version}"
    return f"class {end.class_} ({end.object})"
