"""What differs between two editions of one spec, field by field, without showing a credential.

Pure. `intops diff` prints it. Specs are compared by what they mean: a field that is absent and one that says
what absence means are equal.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from intops_core.findings import Ref
from intops_core.resources import Resources, canonical_json
from intops_core.rules.connectors import is_credential

MASK: Final = "•••"
# What tells one element of a list from another, the first that all of them have.
_IDENTITIES: Final = ("name", "to", "id", "key", "rule")
# Shorter texts are words that happen to be somebody's password; masking them would hide everything.
_SHORTEST_SECRET: Final = 6


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs.

    Attributes:
        path: The field as people see it, such as `spec.routes[2].when`; an element that goes is counted
            where it stood, any other where it will stand.
        before: JSON of it as it stands; None where it is absent.
        after: JSON of it as it would stand; None where it is absent.
    """

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One object that comes, differs or goes; `fields` says where it differs."""

    ref: Ref
    kind: Literal["added", "changed", "removed"]
    fields: tuple[FieldChange, ...] = ()


def object_changes(
    before: Resources, after: Resources, refs: Collection[Ref], *, secrets: Collection[str] = ()
) -> tuple[ObjectChange, ...]:
    """Which of these objects differ between two sets of resources, by kind and name."""
    found = []
    for ref in sorted(refs):
        was = before.get(ref.kind, ref.namespace, ref.name)
        will = after.get(ref.kind, ref.namespace, ref.name)
        if was is None and will is not None:
            found.append(ObjectChange(ref, "added"))
        elif was is not None and will is None:
            found.append(ObjectChange(ref, "removed"))
        elif was is not None and will is not None and was.digest != will.digest:
            fields = differences(was.wire, will.wire, secrets=secrets)
            found.append(ObjectChange(ref, "changed", fields))
    return tuple(found)


def differences(
    before: Any, after: Any, *, at: str = "spec", secrets: Collection[str] = ()
) -> tuple[FieldChange, ...]:
    """The fields in which two specs differ, in the order of the newer one.

    Elements of lists are matched by their names, so that one that comes or goes is one difference; where only
    their order differs, the names are told in both orders.

    Args:
        before: JSON of the spec as it stands.
        after: JSON of the spec as it would stand.
        at: Where both stand in the manifest.
        secrets: Texts that are masked wherever they occur, beside what looks like a credential.
    """
    known = [text for text in secrets if len(text) >= _SHORTEST_SECRET]
    return tuple(
        FieldChange(
            change.path,
            masked(change.before, _last(change.path), known),
            masked(change.after, _last(change.path), known),
        )
        for change in _compare(before, after, at)
    )


def masked(value: Any, name: str, secrets: Collection[str] = ()) -> Any:
    """A value with everything masked that is, or looks like, a credential; `name` is that of its field."""
    if isinstance(value, dict):
        return {key: masked(child, str(key), secrets) for key, child in value.items()}
    if isinstance(value, list):
        return [masked(child, name, secrets) for child in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return MASK if is_credential(name, str(value)) else value
    if not isinstance(value, str):
        return value
    if is_credential(name, value):
        return MASK
    for secret in secrets:
        value = value.replace(secret, MASK)
    return value


def _last(path: str) -> str:
    """Name of the field at the end of a path: `spec.a.b[2]` is `b`."""
    return re.sub(r"(\[[0-9]+\])+$", "", path).rpartition(".")[2]


def _compare(before: Any, after: Any, at: str) -> Iterator[FieldChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*after, *(name for name in before if name not in after)]:
            yield from _compare(before.get(name), after.get(name), f"{at}.{name}")
    elif isinstance(before, list) and isinstance(after, list):
        yield from _lists(before, after, at)
    elif before != after or type(before) is not type(after):
        yield FieldChange(at, before, after)


def _lists(before: list[Any], after: list[Any], at: str) -> Iterator[FieldChange]:
    identity = _identity([*before, *after])
    if identity is None:
        if canonical_json(before) != canonical_json(after):
            yield FieldChange(at, before, after)
        return
    old = {one[identity]: (index, one) for index, one in enumerate(before)}
    new = {one[identity]: (index, one) for index, one in enumerate(after)}
    if len(old) < len(before) or len(new) < len(after):
        # Two of one name: which became which cannot be told.
        if canonical_json(before) != canonical_json(after):
            yield FieldChange(at, before, after)
        return
    for key, (index, one) in new.items():
        yield from _compare(old[key][1] if key in old else None, one, f"{at}[{index}]")
    for key, (index, one) in old.items():
        if key not in new:
            yield FieldChange(f"{at}[{index}]", one, None)
    stayed, stays = [k for k in old if k in new], [k for k in new if k in old]
    if stayed != stays:
        yield FieldChange(at, stayed, stays)


def _identity(elements: list[Any]) -> str | None:
    """The field that tells elements of a list apart; None where they are no objects or have none."""
    if not all(isinstance(one, dict) for one in elements):
        return None
    for name in _IDENTITIES:
        if all(isinstance(one.get(name), str) for one in elements):
            return name
    return None
