"""Encoded queries of the ServiceNow simulator: `a=b^cLIKEd^ORe!=f^ORDERBYnumber`.

Used by the REST side. A term that cannot be understood is left out, as the real one does unless it is told
otherwise: so a typo finds every record of the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

_TERM: Final = re.compile(
    r"(?P<field>[a-z_][a-z0-9_.]*?)"
    r"(?P<op>!=|<=|>=|NOT LIKE|NOT IN|STARTSWITH|ENDSWITH|ISNOTEMPTY|ISEMPTY|LIKE|IN|=|<|>)(?P<value>.*)",
    re.DOTALL,
)
_TESTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "=": lambda have, want: have == want,
    "!=": lambda have, want: have != want,
    "<": lambda have, want: have < want,
    "<=": lambda have, want: have <= want,
    ">": lambda have, want: have > want,
    ">=": lambda have, want: have >= want,
    "LIKE": lambda have, want: want in have,
    "NOT LIKE": lambda have, want: want not in have,
    "STARTSWITH": str.startswith,
    "ENDSWITH": str.endswith,
    "IN": lambda have, want: have in want.split(","),
    "NOT IN": lambda have, want: have not in want.split(","),
    "ISEMPTY": lambda have, _: not have,
    "ISNOTEMPTY": lambda have, _: bool(have),
}


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison."""

    field: str
    op: str
    value: str

    def holds(self, row: Mapping[str, str]) -> bool:
        """Whether a record satisfies it."""
        return _TESTS[self.op](row.get(self.field, ""), self.value)


@dataclass(frozen=True, slots=True)
class Query:
    """What a text asks for: all of `groups`, each satisfied by any of its terms; then the order.

    Attributes:
        ignored: Parts that could not be understood.
    """

    groups: list[list[Term]]
    order: list[tuple[str, bool]]
    ignored: list[str]

    def matches(self, row: Mapping[str, str]) -> bool:
        """Whether a record is found."""
        return all(any(term.holds(row) for term in group) for group in self.groups)


def parse(text: str, known: Collection[str]) -> Query:
    """Read an encoded query over these fields; never fails.

    >>> parse("state=1^ORstate=2^typo=3^ORDERBYDESCnumber", {"state", "number"}).ignored
    ['typo=3']
    """
    query = Query([], [], [])
    for part in text.split("^"):
        either = part.startswith("OR") and not part.startswith("ORDERBY")
        body = part.removeprefix("OR") if either else part
        if not body or body == "EQ":
            continue
        if body.startswith("ORDERBY"):
            down = body.startswith("ORDERBYDESC")
            name = body.removeprefix("ORDERBYDESC" if down else "ORDERBY")
            if name in known:
                query.order.append((name, down))
            else:
                query.ignored.append(part)
            continue
        match = _TERM.fullmatch(body)
        if match is None or match["field"] not in known:
            query.ignored.append(part)
        elif either and query.groups:
            query.groups[-1].append(Term(match["field"], match["op"], match["value"]))
        else:
            query.groups.append([Term(match["field"], match["op"], match["value"])])
    return query
