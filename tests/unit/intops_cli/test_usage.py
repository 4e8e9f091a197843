"""Who moves most: order, sums over pods, quantities of Kubernetes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from intops_cli.estate import flow_line
from intops_cli.installation import Crew
from intops_cli.usage import ORDERS, Usage, quantity, top_lines, top_table, top_wire, usages

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250m", "0.25"), ("119999999n", "0.119999999"), ("2", "2"), ("58Mi", "60817408"),
        ("59392Ki", "60817408"), ("1G", "1000000000"), ("", "0"), ("many", "0"), ("1Xi", "0"),
    ],
)  # fmt: skip
def test_a_quantity_is_read_in_every_unit_and_nonsense_is_nothing(text: str, value: str) -> None:
    """metrics-server writes nano cores and Ki; another may write whatever Kubernetes allows."""
    assert quantity(text) == Decimal(value)


def pod(flow: str | None, cpu: str, memory: str) -> dict[str, Any]:
    labels = {"intops.io/flow": flow} if flow else {}
    return {
        "metadata": {"namespace": "itsm", "labels": labels},
        "containers": [{"usage": {"cpu": cpu, "memory": memory}}],
    }


def test_pods_of_a_flow_are_put_together_and_others_are_left_out() -> None:
    """Two replicas share one line."""
    found = usages([pod("one", "100m", "10Mi"), pod("one", "50m", "5Mi"), pod(None, "9", "9Gi")])

    assert found == {Crew("itsm", "one"): Usage(150, 15 * 2**20)}


def test_flows_of_a_pool_show_what_it_takes_as_shared() -> None:
    """Its pods bear the label of the pool and of no Flow; a Flow with the pool's name has nothing of it."""
    taken = pod(None, "100m", "90Mi")
    taken["metadata"]["labels"] = {"intops.io/pool": "quiet"}
    flows = [
        flow_line({"metadata": {"name": name, "namespace": "itsm"}, "spec": {"runtime": runtime}})
        for name, runtime in (("one", {"pool": "quiet"}), ("quiet", {}), ("two", {"pool": "quiet"}))
    ]
    lines = top_lines(flows, usages([taken]), "name")
    table = top_table(lines, NOW, namespaces=False)

    assert list(table.headings)[-3:] == ["CPU", "MEMORY", "SHARED IN POOL"]
    assert [list(row)[-3:] for row in table.rows] == [
        ["100m", "90Mi", "quiet"], ["", "", ""], ["100m", "90Mi", "quiet"],
    ]  # fmt: skip
    assert [one.get("pool") for one in top_wire(lines)] == ["quiet", None, "quiet"]


def line(name: str, **status: Any) -> Any:
    return flow_line({"metadata": {"name": name, "namespace": "itsm"}, "status": status})


FLOWS = [
    line("quiet", deliveredPerHour=1, backlog=0),
    line("busy", deliveredPerHour=900, failedPerHour=2, backlog=3, oldestAt="2026-11-30T11:59:00Z"),
    line(
        "stuck", deliveredPerHour=0, failedPerHour=60, backlog=148, oldestAt="2026-11-30T11:00:00Z"
    ),
    line("unknown"),
]


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("delivered", "busy"), ("failed", "stuck"), ("backlog", "stuck"), ("oldest", "stuck"),
        ("cpu", "quiet"), ("memory", "quiet"), ("name", "busy"), ("review", "busy"),
    ],
)  # fmt: skip
def test_every_order_puts_the_most_first_and_what_is_unknown_last(order: str, first: str) -> None:
    """Equal ones stand by name, so that nothing jumps between two looks."""
    used = {Crew("itsm", "quiet"): Usage(700, 2**30)}
    found = [one.flow.name for one in top_lines(FLOWS, used, order)]

    assert order in ORDERS
    assert found[0] == first
    assert found[-1] == "unknown"


def test_columns_of_pods_are_there_only_where_something_is_known() -> None:
    """A cluster without metrics-server has no empty columns."""
    lines = top_lines(FLOWS, {}, "name")
    measured = top_lines(FLOWS, {Crew("itsm", "busy"): Usage(120, 58 * 2**20)}, "name")

    assert "CPU" not in top_table(lines, NOW, namespaces=False).headings
    table = top_table(measured, NOW, namespaces=True)
    assert list(table.rows[0]) == ["itsm", "busy", "900", "2", "3", "60s", "", "", "120m", "58Mi"]
    assert top_wire(measured)[0]["millicores"] == 120
    assert "backlog" not in top_wire(lines)[-1]
