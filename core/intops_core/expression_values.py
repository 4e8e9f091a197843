"""What operators and functions of CEL give for plain JSON values, where that is beyond doubt.

Used by `expression_forms`. Each function either gives what the engine gives or raises `InDoubt`: errors,
odd types and edges are the engine's. Values are JSON as orjson reads it: valid Unicode, 64-bit numbers.
One difference is meant: the engine cuts a text at a NUL character, and here nothing is cut.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any, Final

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
# Deeper results are the engine's business.
_DEEPEST: Final = 32
# Unicode's White_Space, which is what `trim` takes away; Python's own set has four control characters more.
_SPACES: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}


class InDoubt(Exception):
    """The engine must say what this gives."""


def result(value: Any, depth: int = _DEEPEST) -> Any:
    """A value as the result of an expression: checked, and sharing nothing that can be changed."""
    kind = type(value)
    if kind is str:
        if not value.isascii():
            value.encode()  # raises UnicodeEncodeError for what is no text
        return value
    if kind is bool or value is None:
        return value
    if kind is int:
        if INT_MIN <= value <= INT_MAX:
            return value
    elif kind is float:
        if isfinite(value):
            return value
    elif depth and kind is dict:
        return {_name(name): result(child, depth - 1) for name, child in value.items()}
    elif depth and kind is list:
        return [result(child, depth - 1) for child in value]
    raise InDoubt


# Every integer up to here is a double too.
_EXACT: Final = 2**53


def _name(name: Any) -> Any:
    if type(name) is str:
        if not name.isascii():
            name.encode()
        return name
    raise InDoubt


def equal(a: Any, b: Any) -> bool:
    """`==` of two values; values of different kinds are unequal, and numbers are compared as numbers."""
    one, other = type(a), type(b)
    if one is str or other is str or a is None or b is None:
        return bool(a == b)
    if one is bool or other is bool:
        return a is b
    if (one is int or one is float) and (other is int or other is float):
        return bool(a == b) if one is other or _same_as_double(a, b) else _doubt()
    raise InDoubt


def _same_as_double(a: Any, b: Any) -> bool:
    """Whether an integer is one that a double holds: beyond, the engine compares what is near."""
    return bool(abs(a) <= _EXACT and abs(b) <= _EXACT)


def less(a: Any, b: Any) -> bool:
    """`<` of two texts or two numbers."""
    return bool(a < b) if _ordered(a, b) else _doubt()


def at_most(a: Any, b: Any) -> bool:
    """`<=` of two texts or two numbers."""
    return bool(a <= b) if _ordered(a, b) else _doubt()


def _ordered(a: Any, b: Any) -> bool:
    one, other = type(a), type(b)
    if one is str:
        return other is str
    if one is other:
        return one is int or one is float
    return (
        (one is int or one is float) and (other is int or other is float) and _same_as_double(a, b)
    )


def _doubt() -> bool:
    raise InDoubt


def add(a: Any, b: Any) -> Any:
    """`+` of two texts, two integers or two doubles."""
    if type(a) is str and type(b) is str:
        return a + b
    return _arithmetic(a, b, lambda: a + b)


def subtract(a: Any, b: Any) -> Any:
    """`-` of two integers or two doubles."""
    return _arithmetic(a, b, lambda: a - b)


def multiply(a: Any, b: Any) -> Any:
    """`*` of two integers or two doubles."""
    return _arithmetic(a, b, lambda: a * b)


def _arithmetic(a: Any, b: Any, operate: Callable[[], Any]) -> Any:
    if type(a) is float and type(b) is float:
        return operate()
    if type(a) is int and type(b) is int:
        found = operate()
        if all(INT_MIN <= number <= INT_MAX for number in (a, b, found)):
            return found
    raise InDoubt


def negate(a: Any) -> Any:
    """`-` of an integer or a double."""
    if type(a) is float or (type(a) is int and INT_MIN < a <= INT_MAX):
        return -a
    raise InDoubt


def contained(a: Any, container: Any) -> bool:
    """`in`: whether a list has an element, or a map a key."""
    if type(container) is dict and type(a) is str:
        return a in container
    if type(container) is list:
        return any(equal(a, element) for element in container)
    raise InDoubt


def item(container: Any, key: Any) -> Any:
    """`container[key]`."""
    if type(container) is dict and type(key) is str:
        return container[key]
    if type(container) is list and type(key) is int and key >= 0:
        return container[key]
    raise InDoubt


def size(value: Any) -> int:
    """Characters of a text, elements of a list, entries of a map."""
    if type(value) is str or type(value) is list or type(value) is dict:
        return len(value)
    raise InDoubt


def text(value: Any) -> str:
    """`string(…)` of a text, a boolean or an integer."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int and INT_MIN <= value <= INT_MAX:
        return str(value)
    raise InDoubt


def whole(value: Any) -> int:
    """`int(…)` of an integer or a double, whose fraction is cut off."""
    kind = type(value)
    if kind is int and INT_MIN <= value <= INT_MAX:
        return int(value)
    # Doubles near the ends of the range round to beyond them.
    if kind is float and abs(value) < 2**62:
        return int(value)
    raise InDoubt


def _texts(*values: Any) -> None:
    for value in values:
        if type(value) is not str:
            raise InDoubt


def starts_with(value: Any, start: Any) -> bool:
    _texts(value, start)
    return bool(value.startswith(start))


def ends_with(value: Any, end: Any) -> bool:
    _texts(value, end)
    return bool(value.endswith(end))


def contains(value: Any, part: Any) -> bool:
    _texts(value, part)
    return part in value


def lower_ascii(value: Any) -> str:
    _texts(value)
    return str(value.lower() if value.isascii() else value.translate(_LOWER))


def upper_ascii(value: Any) -> str:
    _texts(value)
    return str(value.upper() if value.isascii() else value.translate(_UPPER))


def trim(value: Any) -> str:
    _texts(value)
    return str(value.strip(_SPACES))


def split(value: Any, separator: Any) -> list[str]:
    _texts(value, separator)
    return list(value.split(separator))  # an empty one is a ValueError, hence the engine's


def join(values: Any, separator: Any = "") -> str:
    if type(values) is not list:
        raise InDoubt
    _texts(separator, *values)
    return str(separator.join(values))


def replace(value: Any, old: Any, new: Any) -> str:
    _texts(value, old, new)
    if not old:
        raise InDoubt
    return str(value.replace(old, new))


def substring_from(value: Any, start: Any) -> str:
    _texts(value)
    if type(start) is int and 0 <= start <= len(value):
        return str(value[start:])
    raise InDoubt


def substring(value: Any, start: Any, end: Any) -> str:
    _texts(value)
    # The engine refuses some ends that are the end of the text, so those are its own to judge.
    if type(start) is int and type(end) is int and 0 <= start <= end < len(value):
        return str(value[start:end])
    raise InDoubt


FUNCTIONS: Final[dict[tuple[str, int], Callable[..., Any]]] = {
    ("@in", 2): contained,
    ("_[_]", 2): item,
    ("_-_", 2): subtract,
    ("_*_", 2): multiply,
    ("-_", 1): negate,
    ("size", 1): size,
    ("string", 1): text,
    ("int", 1): whole,
    ("startsWith", 2): starts_with,
    ("endsWith", 2): ends_with,
    ("contains", 2): contains,
    ("lowerAscii", 1): lower_ascii,
    ("upperAscii", 1): upper_ascii,
    ("trim", 1): trim,
    ("split", 2): split,
    ("join", 1): join,
    ("join", 2): join,
    ("replace", 3): replace,
    ("substring", 2): substring_from,
    ("substring", 3): substring,
}
"""Functions by their name in the tree and the number of arguments; all arguments are evaluated first."""
