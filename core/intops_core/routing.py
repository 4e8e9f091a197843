"""Which routes can be taken: found by comparing their conditions, without running them.

Used by rule E2I-08 and by whoever explains a Flow. What is found, and nothing else:

- a route after one that matches every message (no `when`, or `true`);
- a route whose condition can only be true where that of an earlier route is true: conditions are taken
  apart at `||`, `&&` and parentheses into comparisons, and a comparison follows from an equal one
  (whatever its spacing, quotes or sides), from membership in a list (`x in ["a"]`), and `x != "a"` follows
  from `x == "b"`;
- a route that contradicts itself: one field equal to two different values, or equal and unequal to one.

Conditions of any other kind are compared as text only. Nothing is said about routes that could be shown
to be unreachable by other means (ranges, functions, negation); silence is no proof of reachability.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from intops_api.flow import Route

# 64: more alternatives than a person writes; a larger condition is compared as a whole.
_MOST_ALTERNATIVES: Final = 64
# 32: the nesting that the engine takes.
_DEEPEST: Final = 32
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<comment>//[^\n]*)"""
    r'''|(?P<long>[rR]?(?:"""[\s\S]*?"""|\x27\x27\x27[\s\S]*?\x27\x27\x27))'''
    r"""|(?P<string>[rR]?"(?:\\.|[^"\\\n])*"|[rR]?'(?:\\.|[^'\\\n])*')"""
    r"""|(?P<word>[A-Za-z_]\w*|\d[\w.]*)|(?P<mark>&&|\|\||[=!<>]=|.))""",
    re.DOTALL,
)
_OPEN: Final = {"(": ")", "[": "]", "{": "}"}

Alternative = frozenset[str]


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A route that is never taken: its index, and the route that takes its messages, if one does."""

    index: int
    taken_by: int | None
    contradiction: str = ""


@dataclass(frozen=True, slots=True)
class Equality:
    """One comparison of a field with a text: `incident.service == "payments"`."""

    field: str
    value: str
    equal: bool = True


def always_matches(route: Route) -> bool:
    """Whether every message takes this route if none before does."""
    return route.when is None or route.when.strip() == "true"


def unreachable_routes(routes: Sequence[Route]) -> list[Unreachable]:
    """Routes that are never taken, as far as the module's description says."""
    found: list[Unreachable] = []
    before: list[tuple[int, Alternative]] = []
    everything: int | None = None
    for index, route in enumerate(routes):
        if everything is not None:
            found.append(Unreachable(index, everything))
            continue
        if always_matches(route):
            everything = index
            continue
        ways = alternatives(route.when or "")
        possible = [way for way in ways if not _contradiction(way)]
        if not possible:
            found.append(Unreachable(index, None, _contradiction(next(iter(ways)))))
            continue
        takers = [_taker(way, before) for way in possible]
        if all(taker is not None for taker in takers):
            found.append(Unreachable(index, max(t for t in takers if t is not None)))
        before += [(index, way) for way in possible]
    return found


def comparisons(when: str) -> list[Equality]:
    """Every comparison of a field with a text, wherever it stands in the `||` and `&&` of a condition."""
    atoms = sorted({atom for way in alternatives(when) for atom in way})
    return [found for atom in atoms if (found := _equality(atom)) is not None]


def _taker(way: Alternative, before: list[tuple[int, Alternative]]) -> int | None:
    return next((i for i, other in before if all(_follows(atom, way) for atom in other)), None)


def _follows(atom: str, way: Alternative) -> bool:
    if atom in way:
        return True
    wanted = _equality(atom)
    if wanted is None or wanted.equal:
        return False
    known = [found for other in way if (found := _equality(other)) is not None]
    return any(k.equal and k.field == wanted.field and k.value != wanted.value for k in known)


def _contradiction(way: Alternative) -> str:
    known = sorted(
        (found for atom in way if (found := _equality(atom)) is not None),
        key=lambda one: (one.field, one.value, one.equal),
    )
    for position, one in enumerate(known):
        for other in known[position + 1 :]:
            if one.field != other.field:
                continue
            if one.equal and other.equal and one.value != other.value:
                return f'{one.field} cannot be both "{one.value}" and "{other.value}"'
            if one.equal != other.equal and one.value == other.value:
                return f'{one.field} cannot be "{one.value}" and not be it'
    return ""


def _equality(atom: str) -> Equality | None:
    # Atoms are tokens between single spaces, with the text on the right: `a . b == "x"`.
    tokens = _tokens(atom)
    if len(tokens) < 3 or tokens[-2] not in ("==", "!=") or not tokens[-1].startswith('"'):
        return None
    field = "".join(tokens[:-2])
    if not re.fullmatch(r"[A-Za-z_][\w.]*", field):
        return None
    return Equality(field, tokens[-1][1:-1], tokens[-2] == "==")


@lru_cache(maxsize=2048)
def alternatives(when: str) -> frozenset[Alternative]:
    """A condition as alternatives (`||`) of comparisons that must all hold (`&&`)."""
    tokens = _tokens(when)
    found = _or(tokens)
    if len(found) > _MOST_ALTERNATIVES:
        return frozenset({frozenset({_atom(tokens)})})
    return frozenset(found)


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    for match in _TOKEN.finditer(text):
        string = match["string"] or match["long"]
        if match["comment"] is not None:
            continue
        if match["long"] is not None:
            tokens.append(match["long"])
        elif string is None:
            token = match["word"] or match["mark"]
            if token and not token.isspace():
                tokens.append(token)
        elif string[0] in "\"'" and "\\" not in string and '"' not in string[1:-1]:
            tokens.append(f'"{string[1:-1]}"')  # one spelling for both kinds of quotes
        else:
            tokens.append(string)
    return tokens


def _or(tokens: list[str], depth: int = 0) -> list[Alternative]:
    if depth > _DEEPEST or _has_choice(tokens):
        return [frozenset({_atom(tokens)})]
    found: list[Alternative] = []
    for part in _split(tokens, "||"):
        found += _and(part, depth)
        if len(found) > _MOST_ALTERNATIVES:
            break
    return found


def _and(tokens: list[str], depth: int) -> list[Alternative]:
    ways: list[Alternative] = [frozenset()]
    for part in _split(tokens, "&&"):
        below = _or(part[1:-1], depth + 1) if _is_wrapped(part) else _leaf(part)
        ways = [way | other for way in ways for other in below]
        if len(ways) > _MOST_ALTERNATIVES:
            return [frozenset({_atom(tokens)})]
    return ways


def _leaf(tokens: list[str]) -> list[Alternative]:
    """One comparison; membership in a list of texts is one alternative for each."""
    if "in" in tokens and tokens[-1] == "]" and "[" in tokens:
        at = tokens.index("in")
        listed = tokens[at + 2 : -1]
        if tokens[at + 1] == "[" and listed and all(v.startswith('"') for v in listed[::2]):
            return [frozenset({_atom([*tokens[:at], "==", value])}) for value in listed[::2]]
    return [frozenset({_atom(tokens)})]


def _atom(tokens: list[str]) -> str:
    """One spelling for a comparison: a text that is compared with stands on the right."""
    for sign in ("==", "!="):
        sides = list(_split(tokens, sign))
        if len(sides) == 2 and len(sides[0]) == 1 and sides[0][0].startswith('"'):
            return " ".join([*sides[1], sign, *sides[0]])
    return " ".join(tokens)


def _split(tokens: list[str], sign: str) -> Iterator[list[str]]:
    depth = 0
    part: list[str] = []
    for token in tokens:
        depth += (token in _OPEN) - (token in _OPEN.values())
        if token == sign and depth == 0:
            yield part
            part = []
        else:
            part.append(token)
    yield part


def _has_choice(tokens: list[str]) -> bool:
    """Whether `a ? b : c` stands at the top; `a.?b` and `a[?b]` are no choices."""
    depth = 0
    for position, token in enumerate(tokens):
        depth += (token in _OPEN) - (token in _OPEN.values())
        if token == "?" and depth == 0 and tokens[position - 1 : position] != ["."]:
            return True
    return False


def _is_wrapped(tokens: list[str]) -> bool:
    if len(tokens) < 3 or tokens[0] != "(" or tokens[-1] != ")":
        return False
    depth = 0
    for position, token in enumerate(tokens):
        depth += (token == "(") - (token == ")")
        if depth == 0:
            return position == len(tokens) - 1
    return False
