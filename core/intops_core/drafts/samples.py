"""Payloads that people saved, read as JSON and made harmless: what every draft from a sample begins with."""

import json
import math
from dataclasses import dataclass
from typing import Any, Final

from intops_core.drafts.masking import masked

# What capture takes by default (`capture.maxBodyBytes`, `capture.maxDepth`).
MAX_BYTES: Final = 1048576
MAX_DEPTH: Final = 32
# Lists in which a tool sends several messages at once.
_ITEM_NAMES: Final = (
    "alerts", "events", "problems", "incidents", "messages", "notifications", "items", "records",
    "results", "issues", "tickets", "data", "entries",
)  # fmt: skip
_INT64: Final = 2**63


class SampleError(Exception):
    """A sample is no payload; the text says what is wrong with it and what to save instead."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Payloads of one kind.

    Attributes:
        payloads: What was sent, masked.
        items: CEL over `payload` for the messages in one; None where the payload is the message.
        objects: The messages of all of them.
    """

    payloads: tuple[Any, ...]
    items: str | None
    objects: tuple[dict[str, Any], ...]


def read_payload(data: bytes, name: str) -> Any:
    """One payload, with its secrets masked.

    Args:
        data: The bytes of a file.
        name: What to call it in sentences.

    Raises:
        SampleError: it is no JSON object or list, or one that capture would refuse.
    """
    if len(data) > MAX_BYTES:
        raise SampleError(
            f"{name} has more than {MAX_BYTES:,} bytes, and a webhook may not; save the body of one request."
        )
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise SampleError(
            f"{name} is not UTF-8 text; save the body as the tool sends it."
        ) from None
    if not text:
        raise SampleError(
            f"{name} is empty; save the body of one request of the tool there, as JSON."
        )
    if text.startswith("<"):
        raise SampleError(
            f"{name} is HTML or XML and no JSON, often the page of a login or of an error; save the body of one "
            "request of the tool."
        )
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise SampleError(
            f"{name}:{error.lineno}: this is not JSON ({error.msg}, column {error.colno}); save one request body "
            "as the tool sends it."
        ) from None
    except (RecursionError, ValueError) as error:
        raise SampleError(f"{name} is not JSON that can be read: {_why(error)}.") from None
    if _depth(value) > MAX_DEPTH:
        raise SampleError(
            f"{name} nests deeper than {MAX_DEPTH} levels, which capture refuses; save a real payload."
        )
    if not isinstance(value, dict | list) or not value:
        what = "an empty object or list" if isinstance(value, dict | list) else "a single value"
        raise SampleError(
            f"{name} is {what}, and a payload is an object with fields; save a real one."
        )
    return masked(_plain(value))


def samples_of(payloads: tuple[Any, ...], items: str | None = None) -> Samples:
    """Payloads with the messages that they hold.

    Args:
        payloads: What `read_payload` gave.
        items: Path below `payload` of the messages, where a class says it; otherwise it is looked for.

    Raises:
        SampleError: no message is in them.
    """
    where = items if items is not None else _items(payloads)
    found: list[Any] = []
    for payload in payloads:
        if where is None:
            found.append(payload)
        elif where == "":
            found += payload if isinstance(payload, list) else [payload]
        else:
            below = _at(payload, where)
            found += below if isinstance(below, list) else []
    objects = tuple(one for one in found if isinstance(one, dict) and one)
    if not objects:
        place = f' under "{where}"' if where else ""
        raise SampleError(
            f"The sample holds no message{place}: an object with fields is needed; save another."
        )
    expression = None if where is None else "payload" if where == "" else f"payload.{where}"
    return Samples(payloads, expression, objects)


def _items(payloads: tuple[Any, ...]) -> str | None:
    if all(isinstance(payload, list) for payload in payloads):
        return ""
    if any(isinstance(payload, list) for payload in payloads):
        raise SampleError("One sample is a list and another is none; give samples of one kind.")
    for name in _ITEM_NAMES:
        values = [payload.get(name) for payload in payloads]
        if all(
            isinstance(value, list)
            and value
            and all(isinstance(one, dict) and one for one in value)
            for value in values
        ):
            return name
    return None


def _at(payload: Any, path: str) -> Any:
    for part in path.split("."):
        payload = payload.get(part) if isinstance(payload, dict) else None
    return payload


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _why(error: Exception) -> str:
    return "it nests too deep" if isinstance(error, RecursionError) else str(error)


def _depth(value: Any) -> int:
    deepest, todo = 0, [(value, 1)]
    while todo:
        here, depth = todo.pop()
        if isinstance(here, dict | list):
            deepest = max(deepest, depth)
            todo += [
                (one, depth + 1) for one in (here.values() if isinstance(here, dict) else here)
            ]
    return deepest


def _plain(value: Any) -> Any:
    """The same without what neither YAML nor 64 bits can carry."""
    match value:
        case dict():
            return {_text(key): _plain(child) for key, child in value.items()}
        case list():
            return [_plain(child) for child in value]
        case str():
            return _text(value)
        case bool() | None:
            return value
        case int():
            return value if -_INT64 <= value < _INT64 else None
        case _:
            return value if math.isfinite(value) else None


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
