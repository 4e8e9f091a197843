"""Which series and labels a PromQL expression names, and which of them do not exist.

Only names are read; whether the expression is valid is for Prometheus to say. Variables of Grafana, such
as `$flow` in a string or `[$__rate_interval]`, may stand where Grafana puts values.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Series = Mapping[str, frozenset[str]]
"""Names of series as they are scraped, such as `x_total` or `x_bucket` → labels."""

TARGET_LABELS: Final = frozenset({"namespace", "pod", "job", "instance", "container", "service"})
"""Labels that Prometheus itself gives to what it scrapes from pods and services."""

_KEYWORDS: Final = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan"})
_GROUPING: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_TOKEN: Final = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<range>\[[^\]]*\])
      | (?P<number>\d[\w.]*)
      | (?P<name>[a-zA-Z_:][\w:]*)
      | (?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^<>=(){},])
      | (?P<variable>\$\w+)
      | (?P<space>\s+)""",
    re.VERBOSE,
)
_TEMPLATE_LABEL: Final = re.compile(r"\$labels\.(\w+)|\{\{\s*(\w+)\s*\}\}")
_OUR_METRIC: Final = re.compile(r"\bintops_\w+")


@dataclass(frozen=True, slots=True)
class Named:
    """What an expression names.

    Attributes:
        selectors: Each series with the labels that its matchers name.
        grouping: Labels in `by`, `on` and the like.
    """

    selectors: tuple[tuple[str, frozenset[str]], ...]
    grouping: frozenset[str]


def named(expression: str) -> Named:
    """Names in an expression.

    >>> named('sum by (flow) (rate(x_total{state="done"}[5m])) > 0')
    Named(selectors=(('x_total', frozenset({'state'})),), grouping=frozenset({'flow'}))

    Raises:
        ValueError: It holds a character that PromQL has no use for.
    """
    tokens = list(_tokens(expression))
    selectors: list[tuple[str, frozenset[str]]] = []
    grouping: set[str] = set()
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        at += 1
        if kind != "name" or text.lower() in _KEYWORDS:
            continue
        if text in _GROUPING:
            if following == "(":
                labels, at = _labels(tokens, at + 1, ")")
                grouping |= labels
        elif following == "{":
            labels, at = _labels(tokens, at + 1, "}")
            selectors.append((text, labels))
        # A name before a bracket is a function, and an aggregation may say `by` before its brackets.
        elif following != "(" and following not in _GROUPING:
            selectors.append((text, frozenset()))
    return Named(tuple(selectors), frozenset(grouping))


def _tokens(expression: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ValueError(f"PromQL has no use for {expression[at]!r} in: {expression}")
        if match.lastgroup != "space":
            found.append((str(match.lastgroup), match.group()))
        at = match.end()
    return found


def _labels(tokens: list[tuple[str, str]], start: int, closing: str) -> tuple[frozenset[str], int]:
    """Names up to the closing bracket, and the place after it."""
    end = next(at for at in range(start, len(tokens)) if tokens[at][1] == closing)
    return frozenset(text for kind, text in tokens[start:end] if kind == "name"), end + 1


def unknown(expression: str, known: Series) -> list[str]:
    """What an expression names and does not exist, in sentences; empty where all of it does."""
    found = named(expression)
    problems, labels = [], set(TARGET_LABELS)
    for series, matched in found.selectors:
        if series not in known:
            problems.append(f"there is no series {series}")
            continue
        labels |= known[series]
        problems += [
            f"{series} has no label {label}"
            for label in sorted(matched - known[series] - TARGET_LABELS)
        ]
    if not problems:
        problems += [
            f"no series of the expression has the label {label}"
            for label in sorted(found.grouping - labels)
        ]
    return problems


def unknown_in_text(text: str, expression: str, known: Series) -> list[str]:
    """What a summary, description or legend names and its expression does not bring, in sentences."""
    found = named(expression)
    brought = found.grouping
    if not brought:
        brought = frozenset().union(TARGET_LABELS, *(known.get(s, ()) for s, _ in found.selectors))
    asked = {match[1] or match[2] for match in _TEMPLATE_LABEL.finditer(text)} - {"end", "else"}
    problems = [f"the expression brings no label {label}" for label in sorted(asked - brought)]
    mentioned = set(_OUR_METRIC.findall(text))
    return problems + [f"there is no series {name}" for name in sorted(mentioned - known.keys())]
