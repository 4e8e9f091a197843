"""Who moves most: Flows with their rates, and what their workers take of processor and memory. Pure.

Used by `top`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from intops_cli.estate import FlowLine
from intops_cli.installation import Crew, crew_of
from intops_cli.output import Table, age

_SUFFIXES: Final[Mapping[str, Decimal]] = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(1000), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Usage:
    """What the workers of one Flow, or of one pool, take together."""

    millicores: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TopLine:
    """One Flow; `usage` is that of its whole pool where it has one, None where the cluster has no metrics of pods."""

    flow: FlowLine
    usage: Usage | None


def quantity(text: str) -> Decimal:
    """The number that a Kubernetes quantity says; 0 for what is none.

    >>> quantity("250m"), quantity("64Mi")
    (Decimal('0.250'), Decimal('67108864'))
    """
    digits = text.rstrip("numkKMGTi")
    try:
        return Decimal(digits) * _SUFFIXES[text[len(digits) :]]
    except (InvalidOperation, KeyError):
        return Decimal(0)


def usages(pods: Iterable[Mapping[str, Any]]) -> dict[Crew, Usage]:
    """What PodMetrics say, by the Flow or the pool whose pods they are."""
    found: dict[Crew, Usage] = {}
    for pod in pods:
        crew = crew_of(pod)
        if crew is None:
            continue
        used = [container.get("usage") or {} for container in pod.get("containers") or ()]
        cores = sum((quantity(str(one.get("cpu", "0"))) for one in used), Decimal(0))
        memory = sum((quantity(str(one.get("memory", "0"))) for one in used), Decimal(0))
        before = found.get(crew, Usage(0, 0))
        found[crew] = Usage(before.millicores + round(cores * 1000), before.bytes + int(memory))
    return found


def top_lines(flows: Iterable[FlowLine], used: Mapping[Crew, Usage], order: str) -> list[TopLine]:
    """Lines in the order of a column, the most first; of names, from A to Z."""
    lines = [TopLine(flow, used.get(_crew(flow))) for flow in flows]
    lines.sort(key=lambda line: (line.flow.namespace, line.flow.name))
    if order != "name":
        lines.sort(key=ORDERS[order], reverse=True)
    return lines


def _crew(flow: FlowLine) -> Crew:
    return Crew(flow.namespace, flow.pool or flow.name, is_pool=bool(flow.pool))


def _oldest(line: TopLine) -> float:
    stamp = line.flow.oldest_at
    return -datetime.fromisoformat(stamp).timestamp() if stamp else float("-inf")


ORDERS: Final[Mapping[str, Callable[[TopLine], float]]] = {
    "delivered": lambda line: line.flow.delivered_per_hour or 0,
    "failed": lambda line: line.flow.failed_per_hour or 0,
    "backlog": lambda line: line.flow.backlog or 0,
    "oldest": _oldest,
    "review": lambda line: line.flow.review or 0,
    "cpu": lambda line: line.usage.millicores if line.usage else -1,
    "memory": lambda line: line.usage.bytes if line.usage else -1,
    "name": lambda _: 0,
}
"""Columns by which lines are sorted."""


def top_table(lines: Sequence[TopLine], now: datetime, *, namespaces: bool) -> Table:
    """One row a Flow; the columns of pods only where anything is known of them."""
    measured = any(line.usage for line in lines)
    shared = any(line.usage and line.flow.pool for line in lines)
    headings = [
        *(["NAMESPACE"] if namespaces else []), "FLOW", "DELIVERED/H", "FAILED/H", "BACKLOG",
        "OLDEST", "REVIEW", "LAST", *(["CPU", "MEMORY"] if measured else []),
        *(["SHARED IN POOL"] if shared else []),
    ]  # fmt: skip
    rows = []
    for line in lines:
        flow = line.flow
        row = [flow.namespace] if namespaces else []
        row += [
            flow.name, _number(flow.delivered_per_hour), _number(flow.failed_per_hour),
            _number(flow.backlog), age(flow.oldest_at, now), _number(flow.review),
            age(flow.last_delivered_at, now),
        ]  # fmt: skip
        if measured:
            row += _taken(line.usage)
        if shared:
            row.append(flow.pool or "")
        rows.append(row)
    return Table(headings, rows)


def _taken(usage: Usage | None) -> list[str]:
    return [f"{usage.millicores}m", f"{usage.bytes >> 20}Mi"] if usage else ["", ""]


def top_wire(lines: Sequence[TopLine]) -> list[dict[str, Any]]:
    """The JSON-ready shape; what is unknown is left out."""
    found = []
    for line in lines:
        flow = line.flow
        one = {
            "namespace": flow.namespace, "name": flow.name,
            "deliveredPerHour": flow.delivered_per_hour, "failedPerHour": flow.failed_per_hour,
            "backlog": flow.backlog, "oldestAt": flow.oldest_at, "review": flow.review,
            "lastDeliveredAt": flow.last_delivered_at, "pool": flow.pool,
            "millicores": line.usage.millicores if line.usage else None,
            "bytes": line.usage.bytes if line.usage else None,
        }  # fmt: skip
        found.append({key: value for key, value in one.items() if value is not None})
    return found


def _number(value: int | None) -> str:
    return "" if value is None else str(value)
