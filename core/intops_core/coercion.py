"""Tolerant reading: the conversions a value may undergo on its way to a typed field.

Used by the mapping engine. Allowed, and nothing else: number ↔ numeric text, boolean ↔ "true" or
"false", one value ↔ list of one, time in ISO 8601 or since the epoch → RFC 3339 in UTC. Never:
cutting off, guessing a zone, numbers of a locale (domain reference, section 4.3).
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Final

from intops_api.common import FieldSchema
from intops_core.records import copy_json

_INTEGER: Final = re.compile(r"-?[0-9]{1,19}(?:\.0{1,19})?")
# As in JSON (RFC 8259, section 6), at most as many digits as a double and its exponent can need.
_NUMBER: Final = re.compile(r"-?[0-9]{1,32}(?:\.[0-9]{1,32})?(?:[eE][+-]?[0-9]{1,3})?")
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(\.\d{1,18})?(Z|z|[+-]\d\d:?\d\d)", re.ASCII
)
# Seconds below, milliseconds above: 1e11 s is the year 5138, and 1e11 ms is 1973.
_EPOCH_S_BELOW: Final = 1e11
_EPOCH_MS_BELOW: Final = 1e14
_INT64: Final = 2**63
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class CoercionError(Exception):
    """A value cannot become what the field holds without loss or guessing; the text says why.

    The text continues a sentence that begins with the name of the field.
    """


def text_of(value: str | bool | int | float) -> str:
    """A scalar as text: texts as they are, everything else as JSON writes it.

    >>> text_of(True), text_of(3), text_of("a")
    ('true', '3', 'a')
    """
    return value if isinstance(value, str) else json.dumps(value)


def coercer(schema: FieldSchema) -> Callable[[Any], Any]:
    """The conversion to one field's type; it raises `CoercionError`. Null never reaches it."""
    if schema.type == "list":
        element = _SCALARS[schema.of]
        return lambda value: _list(value, element)
    if schema.type == "map":
        element = _SCALARS[schema.of]
        return lambda value: _map(value, element)
    scalar = _SCALARS[schema.type]
    if schema.type == "any":
        return scalar

    def read(value: Any) -> Any:
        return scalar(value[0] if type(value) is list and _is_list_of_one(value) else value)

    return read


def shown(value: Any, *, personal: bool = False) -> str:
    """A value for a sentence: short, and hidden where it is personal data."""
    if personal:
        return "(personal data)"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = text_of(value)
    return f'"{text[:57]}…"' if len(text) > 60 else f'"{text}"'


def _is_list_of_one(value: list[Any]) -> bool:
    return len(value) == 1 and not isinstance(value[0], list | dict)


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int):
        return text_of(value)
    if isinstance(value, float) and isfinite(value):
        return text_of(value)
    raise CoercionError(f"must be a text and is {_kind(value)}")


def _integer(value: Any) -> int:
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and isfinite(value):
        if not value.is_integer():
            raise CoercionError("must be an integer and has a fraction, which is never cut off")
        number = int(value)
    elif isinstance(value, str) and _INTEGER.fullmatch(value):
        number = int(value.partition(".")[0])
    if number is None:
        raise CoercionError(f"must be an integer and is {_kind(value)}")
    if not -_INT64 <= number < _INT64:
        raise CoercionError("does not fit into 64 bits")
    return number


def _number(value: Any) -> int | float:
    if isinstance(value, int) and not isinstance(value, bool):
        return _integer(value)
    number = value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        if _INTEGER.fullmatch(value) and "." not in value:
            return _integer(value)
        number = float(value)
    if isinstance(number, float) and isfinite(number):
        return number
    raise CoercionError(f"must be a number and is {_kind(value)}")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise CoercionError(f"must be true or false and is {_kind(value)}")


def _time(value: Any) -> str:
    if isinstance(value, bool):
        raise CoercionError("must be a time and is a boolean")
    if isinstance(value, str):
        match = _TIME.fullmatch(value)
        if match is not None:
            return _utc(match)
        if not _NUMBER.fullmatch(value):
            raise CoercionError(
                "must be a time with its zone, such as 2026-01-31T12:00:00Z, "
                "and a missing zone is never guessed"
            )
    return _epoch(_number(value))


def _utc(match: re.Match[str]) -> str:
    day, clock, fraction, zone = match.groups()
    clock = clock if len(clock) == 8 else f"{clock}:00"
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone.upper()}")
        if zone in "Zz":
            return f"{day}T{clock}{fraction or ''}Z"
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise CoercionError(
            "must be a time and names a day or an hour that does not exist"
        ) from None
    # The fraction is kept as it was written: Python would cut nanoseconds.
    return f"{moment.replace(tzinfo=None).isoformat()}{fraction or ''}Z"


def _epoch(value: float) -> str:
    if abs(value) >= _EPOCH_MS_BELOW:
        raise CoercionError("must be a time and is a number too large for seconds or milliseconds")
    unit = "seconds" if abs(value) < _EPOCH_S_BELOW else "milliseconds"
    try:
        moment = _EPOCH + timedelta(**{unit: value})
    except OverflowError:
        raise CoercionError("must be a time and lies before the year 1") from None
    fraction = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
    return f"{moment.replace(tzinfo=None, microsecond=0).isoformat()}{fraction}Z"


def _any(value: Any) -> Any:
    if isinstance(value, dict | list):
        try:
            return copy_json(value)
        except ValueError as error:
            raise CoercionError(str(error)) from None
    return value


def _list(value: Any, element: Callable[[Any], Any]) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    result: list[Any] = []
    for position, one in enumerate(values):
        try:
            result.append(None if one is None and element is _any else element(one))
        except CoercionError as error:
            raise CoercionError(f"holds an element, number {position + 1}, that {error}") from None
    return result


def _map(value: Any, element: Callable[[Any], Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CoercionError(f"must be an object and is {_kind(value)}")
    result: dict[str, Any] = {}
    for name, one in value.items():
        if one is None and element is not _any:
            continue  # null in a map of texts says the same as no entry
        try:
            result[name] = element(one)
        except CoercionError as error:
            raise CoercionError(f'holds an entry "{name[:60]}" that {error}') from None
    return result


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "an empty list" if not value else f"a list of {len(value)}"
    if isinstance(value, str):
        return "another text" if value else "an empty text"
    names: dict[type, str] = {
        dict: "an object",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return names.get(type(value), "not JSON")


_SCALARS: Final[dict[str, Callable[[Any], Any]]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "time": _time,
    "any": _any,
}
