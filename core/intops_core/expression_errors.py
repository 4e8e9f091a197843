"""What is wrong with an expression, in sentences: the CEL engine's messages made readable.

Used by `expressions`, which raises the two errors that are defined here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

FUNCTION_NAMES: Final = frozenset(
    {
        "all",
        "bool",
        "bytes",
        "charAt",
        "contains",
        "double",
        "duration",
        "dyn",
        "endsWith",
        "exists",
        "exists_one",
        "filter",
        "format",
        "getDate",
        "getDayOfMonth",
        "getDayOfWeek",
        "getDayOfYear",
        "getFullYear",
        "getHours",
        "getMilliseconds",
        "getMinutes",
        "getMonth",
        "getSeconds",
        "has",
        "hasValue",
        "indexOf",
        "int",
        "join",
        "lastIndexOf",
        "lowerAscii",
        "map",
        "matches",
        "or",
        "orValue",
        "percentDecode",
        "replace",
        "reverse",
        "sha256",
        "size",
        "split",
        "startsWith",
        "string",
        "substring",
        "timestamp",
        "trim",
        "type",
        "uint",
        "upperAscii",
        "value",
    }
)
_TYPE_WORDS: Final = {
    "bool": "a boolean",
    "bytes": "bytes",
    "double": "a number",
    "dyn": "any value",
    "int": "an integer",
    "int64": "an integer",
    "list": "a list",
    "map": "a map",
    "null_type": "null",
    "string": "a string",
    "uint": "an unsigned integer",
    "uint64": "an unsigned integer",
}
_TOO_DEEP: Final = (
    "The expression is nested too deeply or too long: at most 32 levels, which also limits a chain "
    'of + or ? : to about 30 parts. Replace a ladder of conditions by a "values" table of the rule '
    'or by a map literal such as {"a": 1, "b": 2}[object.x], or split the expression.'
)
_TOO_EXPENSIVE: Final = (
    "The expression takes more than 10,000 steps on this message and was stopped. "
    "Avoid a loop inside a loop, or filter the list first."
)
_COMPILE_ERROR: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_OVERLOAD: Final = re.compile(
    r"o matching overloads?(?: for '(?P<typed>.+?)' applied to '\((?P<of>.*)\)'"
    r"| found : (?P<run>\S+?)\((?P<with>.*)\))"
)
_STATUS_CODE: Final = re.compile(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$")


class ExpressionError(Exception):
    """An expression does not compile.

    Attributes:
        message: What is wrong and what to write.
        line: Line of the place, counted from 1; 0 where the whole expression is meant.
        column: Column of the place, counted from 1; 0 where the whole expression is meant.
    """

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"{line}:{column}: {message}" if line else message)
        self.message = message
        self.line = line
        self.column = column


class EvaluationError(Exception):
    """An expression has no value for this message.

    Attributes:
        message: What is wrong and what to write.
        missing: Whether the cause is a field that the expression names and the message lacks.
    """

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.missing = missing


@dataclass(frozen=True, slots=True)
class KnownNames:
    """What an expression may name, for hints: variables, and the fields of each generated type."""

    variables: frozenset[str]
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)

    def place(self, type_name: str) -> str:
        """Where records of a generated type stand, such as `incident.resource`."""
        return self.paths.get(type_name, type_name)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint such as ` Did you mean "severity"?`, or nothing where no name is near."""
    names = sorted(known)
    folded = {name.lower(): name for name in names}
    near = [folded[n] for n in get_close_matches(word.lower(), list(folded), n=2, cutoff=0.6)]
    return f" Did you mean {' or '.join(quoted(near))}?" if near else ""


def quoted(words: Iterable[str]) -> list[str]:
    """The words in double quotes."""
    return [f'"{word}"' for word in words]


def compile_error(raw: str, source: str, known: KnownNames) -> ExpressionError:
    """The error of a compilation, from the engine's own words."""
    if "recursion" in raw:
        return ExpressionError(_TOO_DEEP)
    match = _COMPILE_ERROR.search(raw)
    if match is None:
        return ExpressionError(_plain(raw))
    line, column = max(int(match[1]), 0), max(int(match[2]), 0)
    return ExpressionError(_sentence(match[3], source, line, column, known), line, column)


def evaluation_error(raw: str, source: str) -> EvaluationError:
    """The error of an evaluation, from the engine's own words."""
    if match := re.search(r'Key not found in map : "?(.*?)"?$', raw):
        return _missing_key(match[1], source)
    if "jump_condition" in raw:
        return EvaluationError("The condition before ? is not a boolean in this message.")
    if "budget" in raw:
        return EvaluationError(_TOO_EXPENSIVE)
    if match := re.search(r'No value with name "(.*?)"', raw):
        return EvaluationError(f'"{match[1]}" has no value at this place.')
    if match := _OVERLOAD.search(raw):
        return EvaluationError(_overload(match))
    if match := re.search(r"Index error: index=(-?\d+) size=(\d+)", raw):
        return EvaluationError(
            f"Position {match[1]} is taken from a list that has {match[2]} elements. "
            f"Guard it with size(…), or write [?{match[1]}].orValue(…)."
        )
    if "out of range for '" in raw:
        return EvaluationError("An integer of the message does not fit into 64 bits.")
    if "Non-CEL value type" in raw:
        return EvaluationError("The message holds a value that is not JSON.")
    if "divide by zero" in raw or "modulus by zero" in raw:
        return EvaluationError("The expression divides by zero.")
    return EvaluationError(_plain(raw))


def _missing_key(key: str, source: str) -> EvaluationError:
    # A key that the expression spells is a field; any other was computed and looked up in a table.
    if re.search(rf"""(?:\.\??|\[\??["'])`?{re.escape(key)}(?![\w-])""", source):
        return EvaluationError(
            f'The field "{key}" is missing. Guard it with has(…), or write '
            f".?{key}.orValue(…), or give the rule a default.",
            missing=True,
        )
    return EvaluationError(
        f'The table of the expression has no entry "{key[:60]}". '
        "Add the entry, or write table[?key].orValue(…)."
    )


def _plain(raw: str) -> str:
    first = next(iter(raw.strip().splitlines()), "")
    text = first
    for _ in range(2):
        text = _STATUS_CODE.sub("", text).strip()
    text = text.removeprefix("ERROR: ")[:200] or "the expression has no value"
    return f"The expression cannot be evaluated: {text}."


def _sentence(text: str, source: str, line: int, column: int, known: KnownNames) -> str:
    if text.startswith("Syntax error"):
        return _syntax(text)
    if match := re.search(r"undeclared reference to '(.*?)'", text):
        return _unknown_name(match[1], source, line, column, known)
    if match := re.search(r"undefined field '(.*?)' not found in struct '(.*?)'", text):
        return _unknown_field(match[1], match[2], known)
    if match := _OVERLOAD.search(text):
        return _overload(match)
    if match := re.search(r"type '(.*?)' cannot be the operand of a select", text):
        return (
            f"{_type_word(match[1]).capitalize()} has no fields, so nothing can be read below it."
        )
    if match := re.search(r"type '(.*?)' cannot be the range of a comprehension", text):
        return f"Only a list or a map can be walked through, and this is {_type_word(match[1])}."
    return f"The expression does not compile: {text.strip()}."


def _syntax(text: str) -> str:
    if match := re.search(r"token recognition error at: '(.*)'", text):
        return f"A text is not closed, or a character is misplaced, from {match[1]} on."
    match = re.search(r"(?:input|at) '(.*?)'(?: expecting|$)", text)
    if match and match[1] == "<EOF>":
        return "The expression ends too early; something is missing after its last part."
    if match:
        return f'"{match[1]}" is not expected here. Look for a missing operator, bracket or quote.'
    return "The expression is not CEL here. Look for a missing operator, bracket or quote."


def _unknown_name(name: str, source: str, line: int, column: int, known: KnownNames) -> str:
    lines = source.split("\n")
    rest = lines[line - 1][column - 1 :] if 0 < line <= len(lines) else ""
    if rest.startswith("(") and not name.startswith("."):
        hint = did_you_mean(name, FUNCTION_NAMES)
        return f'There is no function "{name}" for what it is applied to.{hint}'
    root = name.split(".", maxsplit=1)[0]
    names = ", ".join(sorted(known.variables)) or "none"
    hint = did_you_mean(root, known.variables)
    return f'"{root}" is not known here.{hint} Names that can be used: {names}.'


def _unknown_field(name: str, type_name: str, known: KnownNames) -> str:
    fields = known.fields.get(type_name, ())
    hint = did_you_mean(name, fields)
    listed = ", ".join(sorted(fields)[:20]) + (", …" if len(fields) > 20 else "")
    listing = "" if hint or not fields else f" Its fields: {listed}."
    return f'"{known.place(type_name)}" has no field "{name}".{hint}{listing}'


def _overload(match: re.Match[str]) -> str:
    function, types = match["typed"] or match["run"], match["of"] or match["with"] or ""
    operands = [_type_word(word) for word in _split_types(types)]
    if function in ("_[?_]", "_[_]") and "a record" in operands:
        return "The fields of a record are read with a dot: record.name, or record.?name."
    if function in ("@in", "in") and operands[-1:] == ["a record"]:
        return "Whether a record has a field is asked with has(record.name)."
    if function == "_?_:_" and operands[0] not in ("a boolean", "any value"):
        return f"The condition before ? must be a boolean, and this is {operands[0]}."
    symbol = function.replace("_", "").replace("@", "") if "_" in function else function
    symbol = {"?:": "? :", "": function}.get(symbol, symbol)
    shown = operands[1:] if function == "_?_:_" else operands
    hint = ""
    if {"a string", "an integer"} <= set(shown) or {"a string", "a number"} <= set(shown):
        hint = " Convert one of them with string(…), int(…) or double(…)."
    elif {"an integer", "a number"} <= set(shown):
        hint = " Convert the integer with double(…)."
    return f'"{symbol}" cannot be used with {" and ".join(shown) or "nothing"}.{hint}'


def _split_types(types: str) -> list[str]:
    parts, depth, current = [], 0, ""
    for letter in types:
        depth += {"(": 1, "<": 1, ")": -1, ">": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += letter
    return [*parts, current.strip()] if current.strip() else parts


def _type_word(name: str) -> str:
    if name.startswith("wrapper("):
        name = name[8:-1]
    if name.startswith("intops."):
        return "a record"
    if name.startswith("optional"):
        return "an optional value"
    bare = re.split(r"[(<]", name)[0]
    return _TYPE_WORDS.get(bare, bare.removeprefix("google.protobuf.").lower())
