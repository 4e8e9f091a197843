"""Which change of an edition of a CanonicalModel is compatible, and which demands a new edition.

Pure. Admission, `intops impact` and `intops diff` tell it as findings; docs/reference/compatibility.md is made
from `TABLE`. Editions bear whole numbers, so what breaks is a new edition, served beside the old one until
nothing uses that any more; additions and words stay in the edition.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from intops_api.canonical_model import CanonicalModelSpec
from intops_core.findings import COMPATIBILITY, Finding, Ref
from intops_core.model_deltas import DeltaKind, model_deltas

Grade = Literal["compatible", "risky", "breaking"]
Step = Literal["patch", "minor", "major"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Attributes:
        used: Grade where a live Flow uses what changes: the field, or for a whole edition the edition.
        unused: Grade where none does, in an edition that live Flows use.
        step: The step of a semantic version that the change is; `major` is a new edition.
        why: What it does, and to whom.
    """

    used: Grade
    unused: Grade
    step: Step
    why: str


TABLE: Final[Mapping[DeltaKind, Row]] = {
    "edition added": Row("compatible", "compatible", "minor", "Who uses another one goes on."),
    "edition removed": Row("breaking", "compatible", "major", "Mappings that end at it end nowhere."),
    "edition no longer served": Row("compatible", "compatible", "minor", "Flows that use it go on."),
    "optional field added": Row("compatible", "compatible", "minor", "Nobody need fill or read it."),
    "required field added": Row(
        "breaking", "breaking", "major", "A record without it is invalid, and no Mapping fills it yet."
    ),
    "required field with a default added": Row(
        "compatible", "compatible", "minor", "The default stands where no Mapping fills it."
    ),
    "optional field removed": Row(
        "breaking", "risky", "major", "What fills or reads it no longer compiles."
    ),
    "required field removed": Row(
        "breaking", "breaking", "major", "Every record had it, so anybody may rely on it."
    ),
    "field renamed": Row("breaking", "risky", "major", "What fills or reads it no longer compiles."),
    "optional became required": Row(
        "breaking", "breaking", "major", "Records that lack it are invalid from now on."
    ),
    "required became optional": Row(
        "risky", "risky", "minor", "Who reads it may find nothing, where it always was."
    ),
    "type widened": Row("risky", "risky", "minor", "Who reads it may find a value that it never was."),
    "type narrowed": Row("breaking", "risky", "major", "Values that fitted do not any more."),
    "type changed": Row("breaking", "risky", "major", "Values that fitted do not any more."),
    "value added": Row(
        "compatible", "compatible", "minor", "Tables towards targets need a place for it (COM-06)."
    ),
    "value removed": Row("breaking", "risky", "major", "Who fills it with this value is refused."),
    "default changed": Row("risky", "compatible", "minor", "Records that lack it say something else."),
    "meaning changed": Row(
        "risky", "compatible", "major",
        "Only people can see whether the same value means something else now; then it is a new edition.",
    ),
    "identity changed": Row(
        "breaking", "breaking", "major", "One thing becomes two, or two become one: records are made twice."
    ),
    "transition added": Row("compatible", "compatible", "minor", "What was allowed stays allowed."),
    "transition removed": Row("breaking", "risky", "major", "A change that was allowed is refused."),
    "no longer personal": Row(
        "risky", "risky", "minor", "What was masked is shown wherever people see messages."
    ),
    "words changed": Row("compatible", "compatible", "patch", "Descriptions and owners move no message."),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Uses:
    """What live Flows use of one model: names of editions, and pairs of edition and field."""

    editions: frozenset[str] = frozenset()
    fields: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Delta:
    """One change of a model.

    Attributes:
        kind: Row of the table.
        edition: Name of the edition; empty for words about the whole model.
        path: The field of the manifest, as it stands where something goes, else as it would stand.
        what: What changes, such as `"service" is removed`.
        grade: What it is for the Flows that use the model now.
    """

    kind: DeltaKind
    edition: str
    path: str
    what: str
    grade: Grade

    @property
    def step(self) -> Step:
        """The step of a semantic version that it is."""
        return TABLE[self.kind].step


def compare_models(
    before: CanonicalModelSpec, after: CanonicalModelSpec, uses: Uses
) -> tuple[Delta, ...]:
    """Every change between two states of a model. In an edition that no live Flow uses all is compatible."""
    found: list[Delta] = []
    for raw in model_deltas(before, after):
        row = TABLE[raw.kind]
        whole = raw.field is None or (raw.edition, raw.field) in uses.fields
        grade: Grade = "compatible"
        if raw.edition in uses.editions:
            grade = row.used if whole else row.unused
        found.append(Delta(raw.kind, raw.edition, raw.path, raw.what, grade))
    return tuple(found)


def may_matter(before: CanonicalModelSpec, after: CanonicalModelSpec) -> bool:
    """Whether anything changes that is not compatible whoever uses it."""
    rows = (TABLE[raw.kind] for raw in model_deltas(before, after))
    return any((row.used, row.unused) != ("compatible", "compatible") for row in rows)


def compatibility_findings(
    ref: Ref, deltas: tuple[Delta, ...], before: CanonicalModelSpec, after: CanonicalModelSpec
) -> tuple[Finding, ...]:
    """What is to be told of these changes: what breaks refuses, what is risky warns."""
    there = {version.name for version in before.versions}
    fresh = next((version.name for version in after.versions if version.name not in there), None)
    fresh = fresh or f"v{max(int(name[1:]) for name in there) + 1}"
    found = []
    for delta in deltas:
        what = f"In edition {delta.edition}, which live Flows use, {delta.what}. {TABLE[delta.kind].why}"
        if delta.kind == "edition removed":
            todo = f" Leave {delta.edition} until no Flow uses it any more."
        else:
            todo = f" Leave {delta.edition} as it was, and write the change as edition {fresh} beside it."
        if delta.grade == "breaking":
            found.append(Finding(COMPATIBILITY, "deny", delta.path, what + todo, ref))
        elif delta.grade == "risky":
            found.append(Finding(COMPATIBILITY, "warn", delta.path, what, ref))
    return tuple(found)
