"""What samples tell about the fields of a message: their paths, their types, and whether each is always there."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from intops_api.common import FieldSchema, FieldType
from intops_core.coercion import CoercionError, coercer
from intops_core.records import join_path

# Maps whose keys everybody chooses freely.
FREE_MAPS: Final = frozenset(
    """labels annotations tags attributes metadata details customdetails customfields properties fields
    grouplabels commonlabels commonannotations headers context extra params variables""".split()  # noqa: SIM905
)
# Of one object: more is a payload that is better described by hand, and a class takes 512.
MOST_FIELDS: Final = 200
LONGEST_PATH: Final = 200

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED: Final = frozenset(
    """as break const continue else false for function if import in let loop namespace null package return
    true var void while""".split()  # noqa: SIM905
)
_TIME: Final = coercer(FieldSchema(type="time"))
# Epochs between 2001 and 2096, in seconds and in milliseconds.
_EPOCHS: Final = ((10**9, 4 * 10**9), (10**12, 4 * 10**12))
_TIME_NAME: Final = re.compile(
    r"(time|date|at|on|since|timestamp|ts|start|started|end|ended|begin|clock|when|created|updated|changed)(s|ms)?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A path at which values stand.

    Attributes:
        parts: The names that lead there.
        values: What stands there, one a message; null and empty texts are left out.
        always: Whether every message has a value there.
        in_map: Whether it lies in a map with free keys.
    """

    parts: tuple[str, ...]
    values: tuple[Any, ...]
    always: bool
    in_map: bool = False

    @property
    def path(self) -> str:
        """The dotted path, as Mappings write it."""
        return join_path(self.parts)

    @property
    def is_time(self) -> bool:
        """Whether all values are moments."""
        return bool(self.values) and all(_is_time(one, self.parts[-1]) for one in self.values)

    def cel(self, root: str = "object") -> str | None:
        """The path as CEL; None where CEL has no way to write it."""
        names = [
            part for part in self.parts if _IDENTIFIER.fullmatch(part) and part not in _RESERVED
        ]
        return ".".join([root, *names]) if len(names) == len(self.parts) else None


def name_of(text: str) -> str:
    """A name without its spelling: `starts_at`, `startsAt` and `Starts-At` are one.

    >>> name_of("Starts-At")
    'startsat'
    """
    return re.sub(r"[^a-z0-9]", "", text.lower())


def leaves(objects: Sequence[Mapping[str, Any]]) -> list[Leaf]:
    """Every path of the messages that a Mapping can read, in the order in which they stand."""
    found: dict[tuple[str, ...], list[Any]] = {}
    maps: set[tuple[str, ...]] = set()
    for one in objects:
        _collect(one, (), found, maps)
    return [
        Leaf(
            parts,
            tuple(value for value in values if value is not None and value != ""),
            sum(value is not None and value != "" for value in values) == len(objects),
            any(parts[:length] in maps for length in range(1, len(parts))),
        )
        for parts, values in found.items()
    ]


def _collect(
    value: Mapping[str, Any],
    prefix: tuple[str, ...],
    found: dict[tuple[str, ...], list[Any]],
    maps: set[tuple[str, ...]],
) -> None:
    for name, child in value.items():
        parts = (*prefix, name)
        if not _can_be_named(parts) or len(found) > MOST_FIELDS * 5:
            continue
        if isinstance(child, dict):
            if _is_free(name, child):
                maps.add(parts)
                found.setdefault(parts, []).append(child)
            _collect(child, parts, found, maps)
        else:
            found.setdefault(parts, []).append(child)


def schemas(objects: Sequence[Mapping[str, Any]], *, depth: int = 6) -> dict[str, FieldSchema]:
    """Typed fields of the messages by dotted path, at most `MOST_FIELDS`.

    Where there are more, what lies deepest is described as maps first.
    """
    found = _schemas(objects, (), depth)
    if len(found) > MOST_FIELDS and depth > 1:
        return schemas(objects, depth=depth - 1)
    return dict(list(found.items())[:MOST_FIELDS])


def _schemas(
    objects: Sequence[Mapping[str, Any]], prefix: tuple[str, ...], depth: int
) -> dict[str, FieldSchema]:
    found: dict[str, FieldSchema] = {}
    for name in dict.fromkeys(name for one in objects for name in one):
        if not _IDENTIFIER.fullmatch(name) or len(join_path((*prefix, name))) > LONGEST_PATH:
            continue  # what no class can declare is taken as it comes: the object is open
        values = [one[name] for one in objects if name in one and one[name] is not None]
        always = len(objects) > 1 and len(values) == len(objects)
        maps = [value for value in values if isinstance(value, dict)]
        path = join_path((*prefix, name))
        if (
            maps
            and len(maps) == len(values)
            and depth > 1
            and not any(_is_free(name, m) for m in maps)
        ):
            below = _schemas(maps, (*prefix, name), depth - 1)
            if below:
                found |= below if always else {at: _optional(one) for at, one in below.items()}
                continue
        found[path] = _schema(name, values, required=always and "" not in values)
    return found


def _optional(schema: FieldSchema) -> FieldSchema:
    return schema.model_copy(update={"required": False})


def _schema(name: str, values: Sequence[Any], *, required: bool) -> FieldSchema:
    if values and all(isinstance(value, dict) for value in values):
        texts = all(isinstance(one, str) for value in values for one in value.values())
        return FieldSchema(type="map", of="string" if texts else "any", required=required)
    if values and all(isinstance(value, list) for value in values):
        kinds = {_kind(one, name) for value in values for one in value}
        of = kinds.pop() if len(kinds) == 1 else "any"
        known = of if of in ("string", "integer", "number", "boolean") else "any"
        return FieldSchema.model_validate({"type": "list", "of": known, "required": required})
    kinds = {_kind(value, name) for value in values}
    if kinds == {"integer", "number"}:
        kinds = {"number"}
    if kinds == {"time", "string"}:
        kinds = {"string"}
    only = kinds.pop() if len(kinds) == 1 else "any"
    return FieldSchema(type=only, required=required)


def _kind(value: Any, name: str) -> FieldType:
    match value:
        case bool():
            return "boolean"
        case _ if _is_time(value, name):
            return "time"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case _:
            return "any"


def _is_time(value: Any, name: str) -> bool:
    """Whether a value is a moment: ISO 8601 with a zone, or an epoch in a field that is named like a time."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    number = isinstance(value, int | float)
    if number or str(value).isdigit():
        said = float(value) if len(str(value)) < 20 else 0.0
        return bool(_TIME_NAME.search(name)) and any(low <= said < high for low, high in _EPOCHS)
    if not re.match(r"\d{4}-\d\d-\d\d", str(value)):
        return False
    try:
        _TIME(value)
    except CoercionError:
        return False
    return True


def _is_free(name: str, value: Mapping[str, Any]) -> bool:
    return (
        name_of(name) in FREE_MAPS
        or not value
        or any(not _IDENTIFIER.fullmatch(key) for key in value)
    )


def _can_be_named(parts: Iterable[str]) -> bool:
    return all(part and "`" not in part and part.isprintable() for part in parts) and (
        sum(len(part) + 3 for part in parts) <= LONGEST_PATH
    )
