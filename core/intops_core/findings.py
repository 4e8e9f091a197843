"""What is wrong with a resource, in words for the person who wrote it.

Made by parsing, conformance and planning; shown by admission, conditions and the command line.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from intops_core.expression_errors import did_you_mean

Severity = Literal["deny", "warn", "audit"]

# Rules without a number: the shape of an object, places of a draft that nobody has filled, things that it names,
# examples of a Mapping, what an edition of a model may change.
SCHEMA: Final = "Schema"
DRAFT: Final = "Draft"
REFERENCE: Final = "Reference"
EXAMPLE: Final = "Example"
COMPATIBILITY: Final = "Compatibility"

_ORDER: Final[tuple[Severity, ...]] = ("audit", "warn", "deny")
# 12: what a reader takes in at one glance; a namespace may hold thousands of Connectors.
_LISTED: Final = 12


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Which object; the namespace is empty for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f'{self.kind} "{self.name}"'


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        rule: Id of the rule, such as COM-06, or `Schema`, `Draft`, `Reference`, `Example`, `Compatibility`.
        severity: Whether it refuses the object, warns, or is only recorded.
        path: The field as people see it, such as `spec.routes[2].when`.
        message: What is wrong, why it matters, what to write.
        ref: The object that is to be changed.
        missing: The object whose absence is the cause. Such a finding never refuses: manifests may
            be applied in any order.
    """

    rule: str
    severity: Severity
    path: str
    message: str
    ref: Ref
    missing: Ref | None = None


@dataclass(frozen=True, slots=True)
class Breach:
    """One place where a rule is broken, before it is known which rule of which object that is.

    Attributes:
        path: The field to blame.
        message: What is wrong, why it matters, what to write.
        missing: The object whose absence is the cause, if one is.
        at_most: A severity that this place never exceeds, such as `warn` for a doubt.
    """

    path: str
    message: str
    missing: Ref | None = None
    at_most: Severity = "deny"


def suggestion(word: str, known: Iterable[str]) -> str:
    """What may have been meant, and what there is; begins with a space.

    >>> suggestion("evnt", ["event", "incident"])
    ' Did you mean "event"? Available: event, incident.'
    """
    return did_you_mean(word, names := sorted(known)) + available(names)


def available(known: Iterable[str]) -> str:
    """What there is, in one sentence that begins with a space."""
    names = sorted(known)
    if not names:
        return ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f" Available: {', '.join(names[:_LISTED])}{more}."


def strictest(one: Severity, other: Severity) -> Severity:
    """The stricter of two severities."""
    return max(one, other, key=_ORDER.index)


def mildest(one: Severity, other: Severity) -> Severity:
    """The milder of two severities."""
    return min(one, other, key=_ORDER.index)
