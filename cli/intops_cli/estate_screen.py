"""How an estate looks on one screen of 80 columns: what is well in one line each, what is not in sentences.

Used by `status`.
"""

import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from intops_cli.estate import Estate, FlowLine, Health, Need, SystemLine
from intops_cli.output import age

WIDTH: Final = 80
_GAP: Final = "  "
_MOST_FLOWS: Final = 15
_MOST_NEEDS: Final = 6
_COLOURS: Final[dict[Health, str]] = {"well": "32", "passing": "33", "unwell": "31"}
_HEADINGS: Final = ("FLOW", "STATE", "BACKLOG", "OLDEST", "REVIEW", "SLO", "LAST")
_WIDE: Final = ("DELIVERED/H", "FAILED/H", "SOURCE", "TARGET", "OWNER")
_SHORTEST: Final = 12
"""Signs of a Flow's name that are always shown."""


def screen(
    found: Estate,
    now: datetime,
    *,
    wide: bool = False,
    namespaces: bool = False,
    colour: bool = False,
) -> str:
    """The estate as text. `wide` leaves nothing out and is as wide as it must be."""
    parts = ["\n".join([_headline(found), *_wrapped(found.operator.sentence, "", wide=wide)])]
    if found.flows:
        parts.append(_flows(found.flows, now, wide=wide, namespaces=namespaces, colour=colour))
    if found.needs:
        parts.append(_needs(found.needs, now, wide=wide, namespaces=namespaces))
    if found.down:
        parts.append(_down(found.down, now, wide=wide, namespaces=namespaces))
    return "\n\n".join(parts)


def _headline(found: Estate) -> str:
    """One line for whoever reads only one."""
    count = len(found.flows)
    unwell = sum(flow.health == "unwell" for flow in found.flows)
    passing = sum(flow.health == "passing" for flow in found.flows)
    parts = [f"{_many(count, 'Flow')}: {count - unwell - passing} well"]
    if passing:
        parts.append(f"{passing} suspended or on the way")
    if unwell:
        parts.append(f"{unwell} not well")
    if found.down:
        parts.append(f"{_many(len(found.down), 'system')} down")
    urgent = sum(need.urgent for need in found.needs)
    verdict = f"{_many(urgent, 'thing')} for a person" if urgent else "nothing for a person"
    return ", ".join(parts) + f"; {verdict}."


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _flows(
    flows: Sequence[FlowLine], now: datetime, *, wide: bool, namespaces: bool, colour: bool
) -> str:
    unwell = sum(flow.health == "unwell" for flow in flows)
    shown = flows if wide else flows[: max(_MOST_FLOWS, unwell)]
    headings = [*_HEADINGS, *(_WIDE if wide else ())]
    rows = [_cells(flow, now, wide=wide, namespaces=namespaces) for flow in shown]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    if not wide:
        rest = sum(widths[1:]) + len(_GAP) * (len(widths) - 1)
        widths[0] = max(_SHORTEST, min(widths[0], WIDTH - rest))
    lines = [_line(headings, widths)]
    for flow, row in zip(shown, rows, strict=True):
        line = _line(row, widths)
        code = _COLOURS[flow.health]
        lines.append(line.replace(row[1], f"\x1b[{code}m{row[1]}\x1b[0m", 1) if colour else line)
    if len(shown) < len(flows):
        lines.append(f"and {len(flows) - len(shown)} more; -o wide shows all")
    return "\n".join(lines)


def _cells(flow: FlowLine, now: datetime, *, wide: bool, namespaces: bool) -> list[str]:
    name = f"{flow.namespace}/{flow.name}" if namespaces else flow.name
    cells = [
        name, flow.reason, _number(flow.backlog), age(flow.oldest_at, now), _number(flow.review),
        flow.slo or "", age(flow.last_delivered_at, now),
    ]  # fmt: skip
    if wide:
        cells += [
            _number(flow.delivered_per_hour), _number(flow.failed_per_hour), flow.source,
            flow.target, flow.owner,
        ]  # fmt: skip
    return cells


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cut(cells[0], widths[0])
    rest = [cell.ljust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return _GAP.join([first.ljust(widths[0]), *rest]).rstrip()


def cut(text: str, width: int) -> str:
    """A text that fits, with a sign that something is missing."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _needs(needs: Sequence[Need], now: datetime, *, wide: bool, namespaces: bool) -> str:
    shown = needs if wide else needs[:_MOST_NEEDS]
    lines = ["FOR A PERSON, the oldest first"]
    for need in shown:
        place = f" in {need.namespace}" if namespaces else ""
        since = f", for {age(need.since, now)}" if need.since else ""
        mark = "" if need.urgent else ", soon"
        head = f"{need.subject}{place}: {need.reason}{since}{mark}"
        lines += [head if wide else cut(head, WIDTH), *_wrapped(need.sentence, "  ", wide=wide)]
    if len(shown) < len(needs):
        lines.append(f"and {_many(len(needs) - len(shown), 'more thing')}; -o wide shows all")
    return "\n".join(lines)


def _down(down: Sequence[SystemLine], now: datetime, *, wide: bool, namespaces: bool) -> str:
    lines = ["SYSTEMS DOWN"]
    for system in down:
        place = f"{system.namespace}/" if namespaces else ""
        host = f" ({system.host})" if system.host else ""
        since = f", for {age(system.since, now)}" if system.since else ""
        line = f"{place}{system.name}{host}: {system.reason}{since}, used by {_many(system.flows, 'Flow')}"
        lines.append(line if wide else cut(line, WIDTH))
    return "\n".join(lines)


def _wrapped(sentence: str, indent: str, *, wide: bool) -> list[str]:
    if wide:
        return [indent + " ".join(sentence.split())]
    return textwrap.wrap(
        sentence, WIDTH, initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
