"""What Mappings write to a Connector, and whether what was discovered there takes it. Pure.

Used by the test of a Connector. Known are the paths of rules, the results of value tables, defaults, and what
examples say; what an expression makes of a message is not known before it comes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from intops_api.connector_class import ConnectorClassSpec
from intops_api.flow import FlowSpec
from intops_api.mapping import MappingBody
from intops_api.self_test import Discovered
from intops_core.connector_trials import Check
from intops_core.facts import BoundSystem, gather_flow
from intops_core.findings import suggestion
from intops_core.records import leaves, path_parts
from intops_core.resources import Resource, Resources


@dataclass(frozen=True, slots=True)
class Sent:
    """What one Mapping writes: to which object, which fields, and what is known of their values."""

    mapping: str
    object: str
    paths: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Instance:
    """What one instance has; lists are None where the answer does not tell."""

    values: Mapping[str, Sequence[str] | None]
    keys: Mapping[str, Sequence[str] | None]
    required: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Uses:
    """How Flows use a Connector: what is written to it, and the operations that they need of it."""

    sent: tuple[Sent, ...]
    operations: frozenset[str]
    flows: tuple[str, ...]


def uses_of(connector: Resource, class_: ConnectorClassSpec, resources: Resources) -> Uses:
    """What the Flows of the Connector's namespace do with it; all of the class's operations where there are none."""
    sent: dict[str, Sent] = {}
    operations: set[str] = set()
    flows = []
    for flow in resources.all("Flow", connector.ref.namespace):
        if not isinstance(flow.spec, FlowSpec):
            continue
        for system in gather_flow(flow, resources).systems:
            if system.binding.connector != connector.ref.name:
                continue
            flows.append(flow.ref.name)
            operations |= set(system.role.operations) if system.role else set()
            sent |= {name: sent_by(name, body) for name, body in _written(system)}
    offered = frozenset(operations & set(class_.operations) or class_.operations)
    return Uses(tuple(sent.values()), offered, tuple(dict.fromkeys(flows)))


def _written(system: BoundSystem) -> Iterator[tuple[str, MappingBody]]:
    """Mappings of a binding whose result goes to the system."""
    for used in (system.mapping, system.reverse):
        if used is not None and used.body.to.class_ is not None:
            yield used.name, used.body


def sent_by(name: str, body: MappingBody) -> Sent:
    """What a Mapping writes."""
    values: dict[str, dict[str, None]] = {}
    for rule in body.fields:
        of_rule = [*rule.values.values(), *([rule.default] if rule.default is not None else [])]
        values.setdefault(rule.to, {}).update(dict.fromkeys(map(_text, of_rule)))
    for example in body.examples:
        if example.outcome == "mapped":
            for path, value in leaves(example.output):
                if path in values and value is not None and not isinstance(value, list | dict):
                    values[path].setdefault(_text(value))
    known = {path: tuple(found) for path, found in values.items() if found}
    return Sent(
        name, body.to.object or "", tuple(dict.fromkeys(rule.to for rule in body.fields)), known
    )


def compared(asked: str, of: Discovered, found: Instance, sent: Sequence[Sent]) -> list[Check]:
    """Everything that a Mapping sends and the instance does not take, else one Check that says that it fits."""
    did = f"{of.name}: {asked}"
    untold = [path for path, listed in {**found.values, **found.keys}.items() if listed is None]
    if of.required is not None and found.required is None:
        untold.append("required fields")
    if untold:
        words = f"the answer does not tell {', '.join(untold)}"
        todo = "Nothing was compared of it. The version of the system may be another than the class knows."
        return [Check("discovery", "warn", did, words, todo)]
    concerned = [one for one in sent if one.object == of.object]
    if not concerned:
        words = (
            f'no Mapping of a Flow writes "{of.object}" of this Connector, so nothing was compared'
        )
        return [Check("discovery", "ok", did, words)]
    wrong = [check for one in concerned for check in _misfits(did, of, found, one)]
    if wrong:
        return wrong
    names = ", ".join(f'"{one.mapping}"' for one in concerned)
    return [Check("discovery", "ok", did, f"fits what Mapping {names} sends")]


def _misfits(did: str, of: Discovered, found: Instance, one: Sent) -> Iterator[Check]:
    for path, listed in found.values.items():
        taken = cast("Sequence[str]", listed)
        for value in one.values.get(path, ()):
            if value not in taken:
                yield Check(
                    "discovery", "fail", did,
                    f'Mapping "{one.mapping}" sends {path} "{value}", which the system does not know',
                    f'Write a value that it knows into the rule for "{path}", or add "{value}" there.'
                    f"{suggestion(value, taken)}",
                )  # fmt: skip
    for path, listed in found.keys.items():
        known = cast("Sequence[str]", listed)
        above = path_parts(path)
        for sent_path in one.paths:
            parts = path_parts(sent_path)
            key = parts[len(above)] if len(parts) > len(above) else ""
            if parts[: len(above)] == above and key and key not in known:
                yield Check(
                    "discovery", "fail", did,
                    f'Mapping "{one.mapping}" sends {sent_path}, and the system has no such field there',
                    f'Make the field "{key}" there and let the user of intops see it, or correct the rule.'
                    f"{suggestion(key, known)}",
                )  # fmt: skip
    for path in found.required or ():
        if not any(_covers(sent_path, path) for sent_path in one.paths):
            yield Check(
                "discovery", "fail", did,
                f'the system demands {path}, and Mapping "{one.mapping}" does not set it',
                f'Add a rule for "{path}" to Mapping "{one.mapping}", or give the field a default there.',
            )  # fmt: skip


def _covers(sent: str, wanted: str) -> bool:
    """Whether a rule for one path sets the other: the same, or one holds the other."""
    one, other = path_parts(sent), path_parts(wanted)
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def texts(value: Any) -> list[str] | None:
    """A list of words out of an answer; None where it is no list.

    >>> texts(["a", 1, None])
    ['a', '1']
    """
    if not isinstance(value, list):
        return None
    return [_text(one) for one in value if one is not None]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
