"""CEL expressions: compile, check against types, evaluate to plain JSON.

Used by the mapping engine, conformance (which checks) and the worker (which runs). Two
environments: a typed one checks, because plain maps let a misspelt field compile; one of dynamic
values runs, because messages are plain dicts. Programs and activations may be shared by threads.
Expressions of the common kind run as closures (`expression_forms`) and give what the engine gives.
`null` mixes with any type in `? :`, which standard CEL allows only for nullable types.

Limits, the engine's own: 10,000 loop steps an evaluation, nesting 32. Regular expressions are RE2.
"""

import ctypes
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any, Final

from cel_expr_python import cel

from intops_core.expression_errors import (
    EvaluationError,
    ExpressionError,
    KnownNames,
    compile_error,
    evaluation_error,
)
from intops_core.expression_forms import IN_DOUBT, Form, form_of
from intops_core.expression_functions import EXTENSIONS, FUNCTIONS
from intops_core.expression_optionals import holds_optional
from intops_core.expression_values import result
from intops_core.typed import Record, VarType, typed_environment, variables_key

__all__ = [
    "Activation",
    "EvaluationError",
    "ExpressionError",
    "Program",
    "Record",
    "VarType",
    "activation",
    "check_expression",
    "compile_expression",
    "expression_type",
    "rfc3339",
]

# The engine hands out None without counting the reference. Where None is counted (before Python 3.12,
# PEP 683), each null in a result would take one away until the interpreter aborts, so `_json` adds it.
_COUNT_NONE: Final = ctypes.pythonapi.Py_IncRef if sys.version_info < (3, 12) else None
if _COUNT_NONE is not None:
    _COUNT_NONE.argtypes, _COUNT_NONE.restype = [ctypes.py_object], None

# An activation is not tied to the environment that made it; this one has nothing else to do.
_ACTIVATIONS: Final = cel.NewEnv()
_ERROR: Final = cel.Type.ERROR
_RESULT_TYPES: Final[dict[str, VarType]] = {
    "BOOL": "boolean",
    "STRING": "string",
    "INT": "integer",
    "UINT": "integer",
    "DOUBLE": "number",
    "TIMESTAMP": "time",
    "DURATION": "string",
    "DYN": "any",
    "NULL": "any",
}
# Which static types of an expression a caller that expects a type can take.
_TAKES: Final[dict[VarType, frozenset[VarType]]] = {
    "any": frozenset({"any", "string", "integer", "number", "boolean", "time", "map", "list"}),
    "string": frozenset({"any", "string", "time"}),
    "time": frozenset({"any", "string", "time"}),
    "integer": frozenset({"any", "integer"}),
    "number": frozenset({"any", "integer", "number"}),
    "boolean": frozenset({"any", "boolean"}),
    "map": frozenset({"any", "map"}),
    "list": frozenset({"any", "list"}),
}
_STRINGS: Final = (
    r'[bB]?[rR][bB]?(?:"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"[^"\n]*"|\'[^\'\n]*\')'
    r'|(?:"""(?:\\[\s\S]|[^\\])*?"""|\'\'\'(?:\\[\s\S]|[^\\])*?\'\'\'|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*')"
)
_TOKENS: Final = re.compile(rf"//[^\n]*|{_STRINGS}|`[^`\n]*`|[A-Za-z_]\w*")
_NULL_MARK: Final = "dyn(null)"


@dataclass(frozen=True, slots=True)
class Activation:
    """Values of the names that expressions use. Made by `activation`."""

    names: Mapping[str, Any]
    _made: list[Any] = field(default_factory=list, repr=False, compare=False)

    def scope(self) -> Any:
        """The engine's own form of the values; made when the first expression needs the engine."""
        if not self._made:
            self._made.append(_ACTIVATIONS.Activation(self.names))
        return self._made[0]


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression. Thread-safe."""

    source: str
    _expression: cel.Expression = field(repr=False, compare=False)
    form: Form | None = field(repr=False, compare=False)
    """The expression as a closure, where it is of a kind that needs no engine."""

    def evaluate(self, scope: Activation) -> Any:
        """The value of the expression as plain JSON.

        Times are RFC 3339 in UTC with `Z`, durations are texts such as `90s`.

        Raises:
            EvaluationError: a field is missing, types do not fit, the result is not JSON, or the
                expression is too expensive.
        """
        if self.form is not None:
            try:
                return result(self.form(scope.names))
            except IN_DOUBT:
                pass  # the engine knows, and has the words for what is wrong
        return self.by_engine(scope)

    def by_engine(self, scope: Activation) -> Any:
        """The same, always by the engine."""
        try:
            value = self._expression.eval(scope.scope())
            plain = value.plain_value()
        except (RuntimeError, TypeError, ValueError, RecursionError) as error:
            raise _failure(error, self.source) from None
        kind = type(plain)
        if kind is str:
            # An error is a value whose plain form is its text.
            if value.type() == _ERROR:
                raise evaluation_error(plain, self.source)
            return plain
        if kind is bool or kind is int:
            return plain
        return _json(plain, 100)


def activation(variables: Mapping[str, Any]) -> Activation:
    """Values for the names of expressions; made once a message and shared by all its rules.

    The values are read when they are first used, so they must not be changed meanwhile.
    """
    return Activation(variables)


# 4096: all expressions of a few hundred Flows; a program takes about 10 KiB.
@lru_cache(maxsize=4096)
def compile_expression(source: str, variables: frozenset[str]) -> Program:
    """Make an expression ready to run over these names.

    Types of fields are not checked here; that is what `check_expression` does.

    Raises:
        ExpressionError: it is not CEL, or it names something else.
    """
    expression = _compile(_run_environment(variables), source, KnownNames(variables))
    _result_type(expression.return_type())
    serialized = expression.serialize()
    if holds_optional(serialized):
        raise ExpressionError(
            "An optional value stands in a map or a list, which cannot hold one; write {?key: value} or "
            "[?value], or end it with .orValue(…)."
        )
    return Program(source, expression, form_of(serialized, variables))


def check_expression(
    source: str,
    variables: Mapping[str, Record | VarType],
    *,
    expects: VarType | None = None,
) -> None:
    """Check an expression against the types of everything that it names.

    Args:
        source: The expression.
        variables: Type of each name: a record with fields, or a plain type.
        expects: Type that the result must have; None takes any.

    Raises:
        ExpressionError: it does not compile, a field does not exist, types do not fit.
    """
    found = expression_type(source, variables)
    if expects is not None and found not in _TAKES[expects]:
        article = "an" if found[0] in "ai" else "a"
        raise ExpressionError(
            f"The expression gives {article} {found}; here it must give "
            f"{'an' if expects[0] in 'ai' else 'a'} {expects}."
        )


def expression_type(source: str, variables: Mapping[str, Record | VarType]) -> VarType:
    """The type of an expression's result; `any` where it is only known at run time.

    Raises:
        ExpressionError: as `check_expression`.
    """
    environment = typed_environment(variables_key(variables))
    expression = _compile(environment.env, source, environment.known)
    return _result_type(expression.return_type())


def rfc3339(moment: datetime) -> str:
    """A moment in UTC with `Z`, with as many digits of the second as it has.

    >>> rfc3339(datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=UTC))
    '2026-01-02T03:04:05.5Z'
    """
    utc = moment.astimezone(UTC)
    fraction = f".{utc.microsecond:06d}".rstrip("0") if utc.microsecond else ""
    return f"{utc.replace(tzinfo=None, microsecond=0).isoformat()}{fraction}Z"


# 256: sets of names, of which there are about a dozen besides the models' own.
@lru_cache(maxsize=256)
def _run_environment(variables: frozenset[str]) -> cel.Env:
    return cel.NewEnv(
        variables=dict.fromkeys(variables, cel.Type.DYN),
        extensions=list(EXTENSIONS),
        functions=list(FUNCTIONS),
    )


def _compile(env: cel.Env, source: str, known: KnownNames) -> cel.Expression:
    try:
        return env.compile(source)
    except (RuntimeError, TypeError, ValueError) as error:
        raw = str(error)
    if "null_type" not in raw:
        raise compile_error(raw, source, known)
    try:
        return env.compile(_with_dynamic_null(source))
    except (RuntimeError, TypeError, ValueError) as error:
        found = compile_error(str(error), source, known)
        column = _original_column(source, found.line, found.column)
        raise ExpressionError(found.message, found.line, column) from None


def _with_dynamic_null(source: str) -> str:
    return _TOKENS.sub(lambda match: _NULL_MARK if match[0] == "null" else match[0], source)


def _original_column(source: str, line: int, column: int) -> int:
    lines = source.split("\n")
    if not 0 < line <= len(lines):
        return column
    grown = len(_NULL_MARK) - len("null")
    for match in _TOKENS.finditer(lines[line - 1]):
        if match[0] == "null" and match.start() < column - 1:
            column = max(column - grown, match.start() + 1)
    return column


def _result_type(kind: cel.Type) -> VarType:
    name = kind.name()
    bare = name.split("<")[0]
    if bare in ("BYTES", "TYPE"):
        raise ExpressionError(
            f"The expression gives {'bytes' if bare == 'BYTES' else 'a type'}, "
            "which JSON does not have. Convert it with string(…)."
        )
    if bare.startswith("optional"):
        raise ExpressionError("The expression gives an optional value; end it with .orValue(…).")
    if bare in ("LIST", "MAP"):
        return "list" if bare == "LIST" else "map"
    return "map" if kind.is_message() else _RESULT_TYPES.get(bare, "any")


def _failure(error: Exception, source: str) -> EvaluationError:
    text = str(error)
    if isinstance(error, TypeError) and "Unable to convert" in text:
        return EvaluationError("The expression gives an optional value; end it with .orValue(…).")
    if isinstance(error, RecursionError):
        return EvaluationError("The value of the expression is nested too deeply.")
    if "construction from null" in text:
        return EvaluationError("A text of the message is not valid Unicode.")
    return evaluation_error(text, source)


def _json(value: Any, depth: int) -> Any:
    if value is None:
        if _COUNT_NONE is not None:
            _COUNT_NONE(None)
        return None
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if isfinite(value):
            return value
        raise EvaluationError("The expression gives a number that JSON does not have.")
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, timedelta):
        return _duration(value)
    if depth == 0:
        raise EvaluationError("The value of the expression is nested too deeply.")
    if isinstance(value, Mapping):
        return {_key(name): _json(child, depth - 1) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [_json(child, depth - 1) for child in value]
    kind = "bytes" if isinstance(value, bytes | bytearray) else "a type"
    raise EvaluationError(
        f"The expression gives {kind}, which JSON does not have. Convert it with string(…)."
    )


def _key(name: Any) -> str:
    if isinstance(name, bool):
        return "true" if name else "false"
    return str(name)


def _duration(value: timedelta) -> str:
    """Seconds with an `s`, as protobuf writes durations in JSON."""
    micros = value // timedelta(microseconds=1)
    sign, (seconds, rest) = "-" if micros < 0 else "", divmod(abs(micros), 1_000_000)
    return f"{sign}{seconds}{f'.{rest:06d}'.rstrip('0') if rest else ''}s"
