"""Mutations of JSON values and of bytes: one step away from what is right, or several."""

from __future__ import annotations

import copy
import random
from typing import Any

DEPTH = 10_000
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, -(2**63) - 1, 2**64, 10**400, 0.0, -0.0, 1e308,
    float("inf"), float("nan"), "", " ", "a\0b", "\ud800", "\U0010ffff", "\u202e", "x" * 70_000,
    "true", "null", "0001-01-01T00:00:00Z", "9999-12-31T23:59:60+99:99", "{{ 1 }}", "${a}", "../../x",
    "'; DROP TABLE messages; --", "5s", "-5s", "1e9h", "100%", "(a+)+$", "[", [], {}, [[]], [None],
    {"": ""}, {"a\0": 1}, {"__proto__": {}}, ["a"] * 500, {str(n): n for n in range(200)},
)  # fmt: skip
"""Values that parsers, tables and limits may stumble over."""


def mutated(value: Any, draw: random.Random, *, steps: int = 3) -> Any:
    """A copy with one to `steps` places replaced, removed, doubled or exchanged."""
    changed = copy.deepcopy(value)
    for _ in range(draw.randint(1, steps)):
        holder, key = _place(changed, draw)
        if holder is None:
            return draw.choice(ODD)
        _change(holder, key, draw)
    return changed


def _place(value: Any, draw: random.Random) -> tuple[Any, Any]:
    """A random container below a value, and a random key or index in it; (None, None) if there is none."""
    places: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            places += [(one, key) for key in one]
            waiting += one.values()
        elif isinstance(one, list):
            places += [(one, index) for index in range(len(one))]
            waiting += one
    return draw.choice(places) if places else (None, None)


def _change(holder: Any, key: Any, draw: random.Random) -> None:
    match draw.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[f"{key}{draw.choice(('', 's', ' ', '.', '/'))}"] = holder.pop(key)
        case 2:
            other = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            holder[key], holder[other] = holder[other], holder[key]
        case 3:
            holder[key] = [copy.deepcopy(holder[key])] * draw.choice((1, 2, 50))
        case 4:
            holder[key] = {"a": copy.deepcopy(holder[key])}
        case _:
            holder[key] = copy.deepcopy(draw.choice(ODD))


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Bytes with a few of them changed, taken out, put in, repeated or cut off."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 5)):
        at = draw.randrange(len(changed) + 1)
        to = min(len(changed), at + draw.randint(1, 20))
        match draw.randrange(6):
            case 0 if at < len(changed):
                changed[at] = draw.randrange(256)
            case 1:
                del changed[at:to]
            case 2:
                changed[at:at] = draw.randbytes(draw.randint(1, 8))
            case 3:
                changed[at:at] = changed[at:to] * draw.choice((1, 2, 100))
            case 4:
                changed[at:at] = draw.choice((b"\0", b'"', b"{", b"[", b"\\", b"\\u0000", b"\xff"))
            case _:
                del changed[at:]
    return bytes(changed)
