"""What differs between two states of a CanonicalModel, in the kinds that the table of compatibility knows.

Pure. `compatibility` grades what is found here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from intops_api.canonical_model import CanonicalModelSpec, ModelVersion
from intops_api.common import FieldSchema

DeltaKind = Literal[
    "edition added", "edition removed", "edition no longer served",
    "optional field added", "required field added", "required field with a default added",
    "optional field removed", "required field removed", "field renamed",
    "optional became required", "required became optional",
    "type widened", "type narrowed", "type changed",
    "value added", "value removed", "default changed",
    "meaning changed", "identity changed", "transition added", "transition removed",
    "no longer personal", "words changed",
]  # fmt: skip
DELTA_KINDS: Final[tuple[DeltaKind, ...]] = get_args(DeltaKind)


@dataclass(frozen=True, slots=True)
class RawDelta:
    """One change that is not graded yet.

    Attributes:
        kind: What sort of change it is.
        edition: Name of the edition; empty for words about the whole model.
        path: The field of the manifest, as it stands where something goes, else as it would stand.
        what: What changes, such as `"service" is removed`.
        field: The field of the model that it concerns; None for a whole edition.
    """

    kind: DeltaKind
    edition: str
    path: str
    what: str
    field: str | None = None


def model_deltas(before: CanonicalModelSpec, after: CanonicalModelSpec) -> Iterator[RawDelta]:
    """Every change between two states of a model, edition by edition."""
    old = {version.name: (index, version) for index, version in enumerate(before.versions)}
    new = {version.name: (index, version) for index, version in enumerate(after.versions)}
    if before.description != after.description:
        yield RawDelta(
            "words changed", "", "spec.description", "the description says something else"
        )
    if before.owner != after.owner:
        yield RawDelta("words changed", "", "spec.owner", "another owner is named")
    for name, (index, was) in old.items():
        if name not in new:
            yield RawDelta(
                "edition removed", name, f"spec.versions[{index}]", "the edition is removed"
            )
        else:
            place, will = new[name]
            yield from _edition(was, will, name, f"spec.versions[{place}]")
    for name, (index, _) in new.items():
        if name not in old:
            yield RawDelta("edition added", name, f"spec.versions[{index}]", "the edition is added")


def _edition(was: ModelVersion, will: ModelVersion, name: str, at: str) -> Iterator[RawDelta]:
    if was.served and not will.served:
        yield RawDelta("edition no longer served", name, f"{at}.served", "new Flows may not use it")
    if was.identity != will.identity:
        yield RawDelta("identity changed", name, f"{at}.identity", "other fields tell things apart")
    yield from _fields(was, will, name, at)
    yield from _transitions(was, will, name, at)


def _fields(was: ModelVersion, will: ModelVersion, name: str, at: str) -> Iterator[RawDelta]:
    renamed = _renamed(was, will)
    for field, schema in was.fields.items():
        path = f"{at}.fields.{field}"
        if field in will.fields:
            yield from _field(schema, will.fields[field], _Place(name, field, path))
        elif field in renamed:
            what = f'"{field}" is called "{renamed[field]}"'
            yield RawDelta("field renamed", name, path, what, field)
        else:
            kind: DeltaKind = (
                "required field removed" if schema.required else "optional field removed"
            )
            yield RawDelta(kind, name, path, f'"{field}" is removed', field)
    for field, schema in will.fields.items():
        if field in was.fields or field in renamed.values():
            continue
        kind = "optional field added"
        if schema.required:
            bare = schema.default is None
            kind = "required field added" if bare else "required field with a default added"
        yield RawDelta(kind, name, f"{at}.fields.{field}", f'"{field}" is added', field)


def _renamed(was: ModelVersion, will: ModelVersion) -> dict[str, str]:
    """Fields that went while another of the same schema and meaning came: what a person calls a renaming."""
    gone = {field: schema for field, schema in was.fields.items() if field not in will.fields}
    come = {field: schema for field, schema in will.fields.items() if field not in was.fields}
    found: dict[str, str] = {}
    for field, schema in gone.items():
        twins = [other for other, new in come.items() if new == schema]
        rivals = [other for other, old in gone.items() if old == schema]
        if (schema.meaning or schema.meanings) and len(twins) == len(rivals) == 1:
            found[field] = twins[0]
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    """One field of one edition."""

    edition: str
    field: str
    path: str

    def changes(self, kind: DeltaKind, below: str, what: str) -> RawDelta:
        """A change of this field."""
        path = f"{self.path}.{below}" if below else self.path
        return RawDelta(kind, self.edition, path, f'"{self.field}" {what}', self.field)


def _field(was: FieldSchema, will: FieldSchema, place: _Place) -> Iterator[RawDelta]:
    if was.required != will.required:
        if not will.required:
            yield place.changes("required became optional", "required", "is no longer required")
        elif will.default is None:
            yield place.changes("optional became required", "required", "is required now")
        else:
            what = "is required now, with a default"
            yield place.changes("required field with a default added", "required", what)
    yield from _types(was, will, place)
    yield from _values(was, will, place)
    if was.required and will.required and was.default is not None and will.default is None:
        # What came without it was filled, and is refused now.
        yield place.changes("optional became required", "default", "has no default any more")
    elif was.default != will.default:
        yield place.changes("default changed", "default", "has another default")
    if was.personal and not will.personal:
        yield place.changes("no longer personal", "personal", "is no longer personal")
    meant = was.meaning != will.meaning or any(
        will.meanings.get(value, text) != text for value, text in was.meanings.items()
    )
    if meant:
        yield place.changes("meaning changed", "", "has a meaning in other words")


def _types(was: FieldSchema, will: FieldSchema, place: _Place) -> Iterator[RawDelta]:
    for below, old, new in (("type", was.type, will.type), ("of", was.of, will.of)):
        if old == new:
            continue
        what = f"is {new} instead of {old}"
        if new == "any" or (old, new) == ("integer", "number"):
            yield place.changes("type widened", below, what)
        elif old == "any" or (old, new) == ("number", "integer"):
            yield place.changes("type narrowed", below, what)
        else:
            yield place.changes("type changed", below, what)
    if was.max_length != will.max_length:
        if will.max_length is None or (
            was.max_length is not None and will.max_length > was.max_length
        ):
            yield place.changes("type widened", "maxLength", "takes longer texts")
        else:
            yield place.changes("type narrowed", "maxLength", "takes shorter texts only")


def _values(was: FieldSchema, will: FieldSchema, place: _Place) -> Iterator[RawDelta]:
    if was.enum and not will.enum:
        yield place.changes("type widened", "enum", "takes any value")
    elif will.enum and not was.enum:
        yield place.changes("type narrowed", "enum", "takes listed values only")
    else:
        for value in was.enum:
            if value not in will.enum:
                yield place.changes("value removed", "enum", f'loses the value "{value}"')
        for value in will.enum:
            if value not in was.enum:
                yield place.changes("value added", "enum", f'may be "{value}"')


def _transitions(was: ModelVersion, will: ModelVersion, name: str, at: str) -> Iterator[RawDelta]:
    old = {(start, end) for start, ends in was.transitions.items() for end in ends}
    new = {(start, end) for start, ends in will.transitions.items() for end in ends}
    path = f"{at}.transitions"
    for start, end in sorted(old - new) if will.transitions else ():
        what = f'"state" may no longer go from "{start}" to "{end}"'
        yield RawDelta("transition removed", name, path, what, "state")
    for start, end in sorted(new - old) if was.transitions else ():
        what = f'"state" may go from "{start}" to "{end}"'
        yield RawDelta("transition added", name, path, what, "state")
    if was.transitions and not will.transitions:
        yield RawDelta("transition added", name, path, '"state" may go anywhere', "state")
    if will.transitions and not was.transitions:
        yield RawDelta(
            "transition removed", name, path, '"state" may go on listed ways only', "state"
        )
