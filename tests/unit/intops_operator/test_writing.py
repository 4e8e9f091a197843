"""When a status is written: conditions at once, counters rarely, nothing when idle."""

from __future__ import annotations

from typing import Any

import pytest

from intops_operator.core.writing import Bucket, Cause, Keep, Wait, Write, decide


def status(*, message: str = "all fine", reason: str = "Healthy", **counts: Any) -> dict[str, Any]:
    """A status with one condition."""
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    return {"observedGeneration": 1, "conditions": [condition], **counts}


@pytest.mark.parametrize(
    ("before", "after", "since_s", "verdict"),
    [
        pytest.param(status(), status(), 5.0, Keep(), id="nothing changed"),
        pytest.param(None, status(), None, Write(Cause.CONDITION), id="never written"),
        pytest.param(
            status(), status(reason="Late"), 1.0, Write(Cause.CONDITION), id="another reason"
        ),
        pytest.param(
            status(message='Mapping "a" is missing'),
            status(message='Mapping "b" is missing'),
            1.0,
            Write(Cause.CONDITION),
            id="the same reason about something else",
        ),
        pytest.param(
            status(message="148 wait"),
            status(message="149 wait"),
            10.0,
            Wait(50.0),
            id="only a number in a sentence",
        ),
        pytest.param(
            status(backlog=0), status(backlog=1), 1.0, Write(Cause.ZERO), id="a first message waits"
        ),
        pytest.param(
            status(review=2), status(review=0), 1.0, Write(Cause.ZERO), id="the last one is decided"
        ),
        pytest.param(status(done=1), status(done=2), 20.0, Wait(40.0), id="counters soon after"),
        pytest.param(
            status(shadows=[{"binding": "a", "compared": 1}]),
            status(shadows=[{"binding": "a", "compared": 2}]),
            20.0,
            Wait(40.0),
            id="a trial goes on",
        ),
        pytest.param(
            status(done=1), status(done=2), 60.0, Write(Cause.COUNTERS), id="counters a minute on"
        ),
    ],
)
def test_what_changed_decides_when_it_is_written(
    before: dict[str, Any] | None, after: dict[str, Any], since_s: float | None, verdict: object
) -> None:
    """Each row is one kind of change."""
    assert decide(before, after, since_write_s=since_s, counters_interval_s=60.0) == verdict


def test_the_bucket_gives_its_burst_and_then_its_rate() -> None:
    """Four a second for the whole operator, whatever happens."""
    bucket = Bucket(rate=4.0, burst=2, now=0.0)

    assert [bucket.take(0.0), bucket.take(0.0)] == [0.0, 0.0]
    assert bucket.take(0.0) == pytest.approx(0.25)
    assert bucket.take(0.25) == 0.0
    assert [bucket.take(100.0), bucket.take(100.0)] == [0.0, 0.0]
    assert bucket.take(100.0) > 0
