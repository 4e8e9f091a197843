"""CloudEvents in their three modes, a real worker, and the simulated helpdesk."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.runtime.source_flows import SourceLine, line_from, plan_from
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.component

HMAC_KEY = "a-key-of-32-characters-for-tests"
SOURCE = "https://plant.example.com/monitoring"


def event(number: int, kind: str, outbreak: str, **rest: Any) -> dict[str, Any]:
    """An event of the plant."""
    return {
        "specversion": "1.0", "id": f"e{number}", "source": SOURCE, "subject": "press-3",
        "type": f"com.example.alert.{kind}", "time": "2026-11-23T20:23:39Z",
        "correlationid": outbreak, "data": {"title": f"Outbreak {outbreak}"}, **rest,
    }  # fmt: skip


@pytest.fixture
def line() -> Iterator[SourceLine]:
    """A worker that takes CloudEvents."""
    with HelpdeskSimulator() as desk:
        plan = plan_from("cloudevents", desk.url)
        with line_from(plan, desk, hmacKey=HMAC_KEY) as running:
            yield running


def test_events_of_each_mode_make_tickets_and_recoveries_of_another_mode_end_them(
    line: SourceLine,
) -> None:
    """A copy that comes in another mode makes no second ticket."""
    binary = event(1, "fired", "one")
    in_headers = {f"ce-{n}": v for n, v in binary.items() if n != "data"}
    structured = {"Content-Type": "application/cloudevents+json"}
    batch = {"Content-Type": "application/cloudevents-batch+json"}

    assert line.post(binary["data"], in_headers) == 202
    assert line.post(event(2, "fired", "two"), structured) == 202
    assert line.post([event(1, "fired", "one"), event(3, "fired", "three")], batch) == 202
    report = line.worker.wait_drained()
    assert report.store.dropped == {"duplicate": 1}
    assert sorted(line.tickets()) == [
        ("Outbreak one", "new"),
        ("Outbreak three", "new"),
        ("Outbreak two", "new"),
    ]

    assert line.post([event(4, "resolved", "one"), event(5, "resolved", "two")], batch) == 202
    report = line.worker.wait_drained()
    assert sorted(line.tickets()) == [
        ("Outbreak one", "resolved"),
        ("Outbreak three", "new"),
        ("Outbreak two", "resolved"),
    ]
    assert (report.store.review, report.store.imbalance) == (0, 0)


def test_a_signed_event_is_taken_and_one_that_was_changed_is_not(line: SourceLine) -> None:
    """The signature is over the body as it was sent, whatever the mode."""
    body = json.dumps(event(1, "fired", "one")).encode()
    digest = hmac.new(HMAC_KEY.encode(), body, hashlib.sha256).hexdigest()
    signed = {"Authorization": "", "X-Intops-Signature": f"sha256={digest}"}

    assert line.post(body.replace(b"one", b"two"), signed) == 401
    assert line.post(body, signed) == 202
    line.worker.wait_drained()
    assert line.tickets() == [("Outbreak one", "new")]
