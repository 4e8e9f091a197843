"""One record on both sides: what was agreed last, what stands here and there, and who differs.

Pure. Called by the console for `intops record show`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from intops_core.records import ABSENT, get_path, leaves

Differs = Literal["", "here", "there", "both", "unknown"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One field of the target's record.

    Attributes:
        agreed: What both sides held after the last write.
        here: What the newest message makes of it.
        there: What the system shows now; `ABSENT` where it was not read.
        differs: Which side has moved away from what was agreed.
    """

    field: str
    agreed: Any
    here: Any
    there: Any
    differs: Differs


def compare(
    agreed: Mapping[str, Any], here: Mapping[str, Any] | None, there: Mapping[str, Any] | None
) -> list[Compared]:
    """Every field of the three, by name.

    Args:
        agreed: The target's record as it was agreed.
        here: As the newest message makes it; None where it cannot be mapped.
        there: Field → value that the system shows now; None where it could not be read. Fields that
            are not read are missing.
    """
    paths = {path for path, _ in leaves(agreed)} | {path for path, _ in leaves(here or {})}
    found = []
    for path in sorted(paths):
        base = get_path(agreed, path)
        ours = base if here is None else get_path(here, path)
        theirs = there.get(path, ABSENT) if there is not None else ABSENT
        found.append(Compared(path, base, ours, theirs, _differs(base, ours, theirs)))
    return found


def _differs(base: Any, ours: Any, theirs: Any) -> Differs:
    we = _text(ours) != _text(base)
    if theirs is ABSENT:
        return "here" if we else "unknown"
    they = _text(theirs) != _text(base)
    if we and they:
        return "" if _text(ours) == _text(theirs) else "both"
    return "here" if we else "there" if they else ""


def _text(value: Any) -> str:
    """Systems write numbers as texts and nothing as an empty one."""
    if value is ABSENT or value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
