"""One rule in CEL, and the forms that recur.

Used by the modules of this package that hold the rules.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CelRule:
    """One validation: `self` is the object it stands with, `oldSelf` what that was before a change."""

    rule: str
    message: str
    field: str = ""
    """The field to blame, as a path below `self` such as `.endpoint`; `self` if empty."""

    @property
    def compares_with_before(self) -> bool:
        """Whether the rule is about a change, so that it cannot be judged from one object."""
        return "oldSelf" in self.rule


def unique(items: str, key: str = "name") -> str:
    """CEL: no two elements of a list share a key."""
    return (
        f"!has(self.{items}) || self.{items}.all(a, self.{items}.exists_one(b, b.{key} == a.{key}))"
    )


def immutable(field: str) -> str:
    """CEL: a field stays what it was."""
    return f"self.{field} == oldSelf.{field}"
