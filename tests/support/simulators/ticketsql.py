"""Parses and evaluates the part of Request Tracker's query language that integrations use.

Used by the search of the helpdesk simulator. Understood: AND, OR, parentheses; `=`, `!=`, `<`, `>`,
`<=`, `>=`, `LIKE`; id, Queue, Status, Subject, Owner, Priority, Created, LastUpdated, CF.{name}.
"""

from __future__ import annotations

import operator as operators
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

WHERE = " at /usr/share/request-tracker5/lib/RT/Tickets.pm line 3187.\n"
# The real one leaks its source position; a client must not trip over such a text.

ACTIVE = frozenset({"new", "open", "stalled"})
INACTIVE = frozenset({"resolved", "rejected", "deleted"})
NUMBERS = frozenset({"id", "priority"})
DATES = frozenset({"created", "lastupdated"})
PLAIN_FIELDS = NUMBERS | DATES | {"queue", "status", "subject", "owner"}

TOKEN = re.compile(
    r"""\s*(?:
        (?P<paren>[()])
      | (?P<operator>!=|<=|>=|=|<|>)
      | (?P<cf>'?(?:CF|CustomField)\.(?:\{[^}]*\}|\w+)'?)
      | (?P<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")
      | (?P<word>[\w.:@-]+)
    )""",
    re.VERBOSE,
)

COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operators.eq,
    "!=": operators.ne,
    "<": operators.lt,
    ">": operators.gt,
    "<=": operators.le,
    ">=": operators.ge,
}

Row = Mapping[str, object]
"""A ticket as a query sees it: lower-case names, `cf.NAME` for custom fields."""


class QueryError(Exception):
    """A query that is answered with 400 and this text."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field, operator and value."""

    field: str
    operator: str
    value: str

    def matches(self, row: Row) -> bool:
        """Say whether a ticket fulfils it; text compares without regard to case."""
        if self.field in NUMBERS:
            return _compare(self.operator, _number(row[self.field]), _number(self.value))
        if self.field in DATES:
            return _compare(self.operator, _number(row[self.field]), _moment(self.value))
        held = row.get(self.field)
        if self.field == "status" and self.value in ("__Active__", "__Inactive__"):
            group = ACTIVE if self.value == "__Active__" else INACTIVE
            return (held in group) == (self.operator == "=")
        text, wanted = str(held or "").lower(), self.value.lower()
        if self.operator == "LIKE":
            return wanted in text
        if self.operator == "=" and held is None:
            return False
        return _compare(self.operator, text, wanted)


@dataclass(frozen=True, slots=True)
class Both:
    """AND."""

    left: Expression
    right: Expression

    def matches(self, row: Row) -> bool:
        """Say whether both sides match."""
        return self.left.matches(row) and self.right.matches(row)


@dataclass(frozen=True, slots=True)
class Either:
    """OR."""

    left: Expression
    right: Expression

    def matches(self, row: Row) -> bool:
        """Say whether one of the sides matches."""
        return self.left.matches(row) or self.right.matches(row)


Expression = Comparison | Both | Either


def required_value(expression: Expression, field: str) -> str | None:
    """Return the value a field must equal in every match, or None; lets a search use an index."""
    if isinstance(expression, Both):
        left = required_value(expression.left, field)
        return left if left is not None else required_value(expression.right, field)
    if isinstance(expression, Comparison) and (expression.field, expression.operator) == (
        field,
        "=",
    ):
        return expression.value
    return None


def fields_of(expression: Expression) -> set[str]:
    """Return every field a query names."""
    if isinstance(expression, Comparison):
        return {expression.field}
    return fields_of(expression.left) | fields_of(expression.right)


def parse(query: str) -> Expression:
    """Parse a query; raise `QueryError` with a text like the real one's."""
    parser = _Parser(query)
    expression = parser.either()
    parser.expect_end()
    return expression


class _Parser:
    def __init__(self, query: str) -> None:
        self.query = query
        self.tokens: list[tuple[str, str]] = []
        position, end = 0, len(query.rstrip())
        while position < end:
            match = TOKEN.match(query, position)
            if match is None or match.lastgroup is None:
                raise QueryError(f"Wrong query, unexpected text in '{query}'{WHERE}")
            self.tokens.append((match.lastgroup, match.group(match.lastgroup)))
            position = match.end()
        self.next = 0

    def either(self) -> Expression:
        left = self.both()
        while self._take_word("OR"):
            left = Either(left, self.both())
        return left

    def both(self) -> Expression:
        left = self.term()
        while self._take_word("AND"):
            left = Both(left, self.term())
        return left

    def term(self) -> Expression:
        kind, text = self._take("keyword or open paren")
        if (kind, text) == ("paren", "("):
            inner = self.either()
            if self._take("close paren") != ("paren", ")"):
                raise QueryError(f"Wrong query, expecting a CLOSE_PAREN in '{self.query}'{WHERE}")
            return inner
        if kind not in ("word", "cf"):
            raise QueryError(f"Wrong query, expecting a KEYWORD in '{self.query}'{WHERE}")
        field = _field(text)
        operator_kind, operator = self._take("operator")
        if operator.upper() == "LIKE":
            operator = "LIKE"
        elif operator_kind != "operator":
            raise QueryError(f"Wrong query, expecting a OPERATOR in '{self.query}'{WHERE}")
        value_kind, value = self._take("value")
        if value_kind == "text":
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        elif value_kind != "word" or not value.lstrip("-").isdigit():
            raise QueryError(f"Wrong query, no such column '{value}' in '{self.query}'{WHERE}")
        return Comparison(field, operator, value)

    def expect_end(self) -> None:
        if self.next < len(self.tokens):
            word = self.tokens[self.next][1]
            raise QueryError(
                f"Wrong query, expecting a AGGREGATOR in '{self.query}' at {word}{WHERE}"
            )

    def _take(self, what: str) -> tuple[str, str]:
        if self.next >= len(self.tokens):
            raise QueryError(
                f"Incomplete query, last element is not close paren or value, but a {what} was "
                f"expected in '{self.query}'{WHERE}"
            )
        self.next += 1
        return self.tokens[self.next - 1]

    def _take_word(self, word: str) -> bool:
        if self.next < len(self.tokens) and self.tokens[self.next] in (
            ("word", word),
            ("word", word.lower()),
        ):
            self.next += 1
            return True
        return False


def _field(text: str) -> str:
    name = text.strip("'")
    prefix, dot, rest = name.partition(".")
    if dot and prefix in ("CF", "CustomField"):
        return f"cf.{rest.strip('{}')}"
    if name.lower() not in PLAIN_FIELDS:
        raise QueryError(f"Unknown field: {name}{WHERE}")
    return name.lower()


def _compare(operator: str, held: Any, wanted: Any) -> bool:
    """Compare two numbers or two texts."""
    return bool(COMPARE[operator](held, wanted))


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0


def _moment(text: str) -> float:
    """Read a date as the real one does: `…T…Z` loses its time, nonsense is 1970. Both are silent."""
    for shape in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, shape).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    day = re.match(r"\d{4}-\d\d-\d\d", text)
    if day is None:
        return 0.0
    return datetime.strptime(day.group(), "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
