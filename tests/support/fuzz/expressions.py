"""Expressions that are nearly right: made by a grammar, or from shipped ones by a few changes."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

from intops_core.catalog import shipped

NAMES = frozenset(
    {"object", "payload", "headers", "now", "event", "incident", "record", "key", "link", "config", "text",
     "request", "response", "item"}
)  # fmt: skip
_LEAVES = (
    "object", "payload.a", "event.title", "event.labels", "response.status", "response.body", "item.id",
    "headers", "now", "key", "text", "1", "-1", "0", "9223372036854775807", "1u", "1.5", "1e400", "true",
    "null", '""', '"a"', "b'a'", 'r"\\d+"', "[]", "{}", "[1, 2, 3]", '{"a": 1}', "unknown", "object.a.b.c",
    "event.?title", "optional.none()", "int", '"(a+)+$"', "timestamp(now)", 'duration("1h")',
)  # fmt: skip
_SHAPES = (
    *(f"({{}} {sign} {{}})" for sign in ("+", "-", "*", "/", "%", "==", "!=", "<", "<=")),
    *(f"({{}} {sign} {{}})" for sign in (">", ">=", "&&", "||", "in")),
    *(f"{{}}.{name}()" for name in ("size", "trim", "lowerAscii", "orValue", "hasValue", "getFullYear")),
    *(f"{{}}.{name}({{}})" for name in ("startsWith", "matches", "split", "join", "replace", "orValue")),
    *(f"{{}}.{loop}(e, {{}})" for loop in ("map", "filter", "all", "exists", "exists_one")),
    *(f"{{}}.{loop}(e, {{}}.map(f, e + f))" for loop in ("map", "filter")),
    *(f"{name}({{}})" for name in ("string", "int", "double", "bool", "size", "type", "has", "sha256", "dyn")),
    "({} ? {} : {})", "!{}", "-{}", "{}[{}]", "{}.a", "{}[?{}]", "[{}, {}]", '{{"k": {}, {}: 1}}', "{}.{}",
    "cel.bind(x, {}, x)", "{} {}", "({}", "{})",
)  # fmt: skip
_TOKENS = re.compile(r'"[^"]*"|\w+|\s+|.', re.DOTALL)
_BITS = (
    ".", "?", "[", "]", "(", ")", "{", "}", "!", "null", "true", "\0", "\ud800", "é", '"', "'", "//", "\n", "1",
    "e", "in", "&&", "||", " ", ",", ":", "?:", "has", "(" * 40, "[" * 3000, "!" * 3000, "a." * 3000 + "a",
)  # fmt: skip


def made(draw: random.Random, depth: int) -> str:
    """An expression made by the grammar; about half of them mean something."""
    if depth == 0 or draw.random() < 0.2:
        return draw.choice(_LEAVES)
    shape = draw.choice(_SHAPES)
    return shape.format(*(made(draw, depth - 1) for _ in range(shape.count("{}"))))


def changed(source: str, others: list[str], draw: random.Random) -> str:
    """An expression with some of its words replaced, removed, doubled, or taken from another one."""
    tokens = _TOKENS.findall(source)
    other = _TOKENS.findall(draw.choice(others))
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(tokens) + 1)
        match draw.randrange(4):
            case 0:
                del tokens[at : at + draw.randint(1, 4)]
            case 1:
                tokens[at:at] = tokens[at : at + 3] * draw.choice((1, 1, 2, 40))
            case 2:
                start = draw.randrange(len(other))
                tokens[at : at + 1] = other[start : start + draw.randint(1, 8)]
            case _:
                tokens[at : at + draw.randrange(2)] = [draw.choice(_BITS)]
    return "".join(tokens)


def texts(value: Any = None) -> Iterator[str]:
    """Every text of the shipped catalogue: its expressions, and what is none."""
    value = [raw["spec"] for raw in shipped()] if value is None else value
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            if inner is not None:
                yield from texts(inner)
