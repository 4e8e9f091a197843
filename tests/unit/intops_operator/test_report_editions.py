"""Reports of workers of another version: what an operator reads, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from intops_api.report import FlowReport
from intops_operator.edges.reports import ReportError, parse_report

REPORT: dict[str, Any] = {
    "schema": 1,
    "worker": "w",
    "startedAt": "2026-01-01T00:00:00Z",
    "at": "2026-01-01T00:00:00Z",
    "plans": [
        {
            "flow": {"namespace": "itsm", "name": "alerts"},
            "store": {"received": 3, "done": 3},
            "rates": {"deliveredPerHour": 3},
            "connectors": [
                {"name": "desk", "connector": "helpdesk", "role": "target",
                 "secret": {"secret": "token", "present": True}}
            ],
            "findings": [{"kind": "drift", "reason": "NewPath", "message": "A field is new."}],
            "shadows": [{"binding": "desk", "mapping": "new",
                         "fields": [{"path": "title", "result": "differs", "messages": 1}]}],
            "enrichments": [{"binding": "ci"}],
            "polls": [{"source": "prometheus"}],
            "actions": [{"uid": "1"}],
        }
    ],
}  # fmt: skip


def with_more(value: Any) -> Any:
    """The same with a further field in every object."""
    if isinstance(value, dict):
        return {**{key: with_more(one) for key, one in value.items()}, "newInTheNextVersion": [1]}
    if isinstance(value, list):
        return [with_more(one) for one in value]
    return value


def test_f79_an_operator_reads_past_what_a_newer_worker_adds() -> None:
    """F79: otherwise a worker that is upgraded first, or rolled back last, would count as silent."""
    report = parse_report(json.dumps(with_more(REPORT)).encode())

    assert report == FlowReport.model_validate(REPORT)
    assert report.plans[0].store.done == 3


def test_a_report_of_another_edition_is_refused_by_its_number() -> None:
    """Its form may be another one, so nothing else of it is looked at."""
    with pytest.raises(
        ReportError, match=r"^schema 2; this operator reads up to 1, upgrade it first$"
    ):
        parse_report(b'{"schema": 2, "workers": []}')


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"schema": "new"}'])
def test_what_is_no_report_is_refused(body: bytes) -> None:
    """Whoever answers at a pod's address is not believed anything."""
    with pytest.raises(ReportError):
        parse_report(body)
