"""Which items of a listing are lost webhooks, and what is said of them."""

from __future__ import annotations

import pytest

from intops_runtime.core.gates import Gate
from intops_runtime.core.limits import kept_headers
from intops_runtime.core.listing import (
    FORGET_S,
    HEADERS,
    Listed,
    PollCounts,
    Unusable,
    items_in,
    only,
)

NOW = 1_800_000_000.0


def test_what_has_just_begun_is_left_to_its_webhook() -> None:
    """Senders group and wait; only what was listed through all that time is late."""
    listed = Listed()

    assert listed.late(["a"], 0.0, 60.0) == []
    assert listed.late(["b", "a"], 59.0, 60.0) == []
    assert listed.late(["b", "a"], 60.0, 60.0) == [1]


def test_what_is_listed_no_more_has_its_time_again_when_it_comes_back() -> None:
    """An alert that comes and goes faster than its webhook is not lost."""
    listed = Listed()
    listed.late(["a"], 0.0, 60.0)
    listed.late([], 30.0, 60.0)

    assert listed.late(["a"], 60.0, 60.0) == []


def test_what_was_brought_once_is_not_brought_with_every_listing() -> None:
    """A lasting outage of a hundred alerts is not a hundred copies every five minutes."""
    listed = Listed()
    listed.late(["a"], 0.0, 0.0)
    listed.brought.add("a")

    assert listed.late(["a", "b"], 1.0, 0.0) == [1]
    listed.late([], 2.0, 0.0)
    assert listed.late(["a"], 3.0, 0.0) == [0]


def test_an_item_without_a_name_is_never_brought() -> None:
    """Its copies could not be told, so each listing would make another message."""
    assert Listed().late([None], 0.0, 0.0) == []


def test_a_body_keeps_all_but_the_items_that_are_left_out() -> None:
    """The same Mapping reads it as it reads a webhook."""
    body = {"version": "4", "data": {"alerts": ["a", "b", "c"], "more": 1}}

    assert only(body, "data.alerts", [0, 2]) == {
        "version": "4",
        "data": {"alerts": ["a", "c"], "more": 1},
    }
    assert items_in(body, "data.alerts") == ["a", "b", "c"]
    with pytest.raises(Unusable, match=r"capture\.poll\.body gives no list at alerts"):
        items_in(body, "alerts")


def test_a_loss_is_told_for_a_day_and_a_failure_until_a_listing_comes() -> None:
    """Both are words for a person, and neither has a count that would flicker in a status."""
    counts = PollCounts("prometheus")
    assert counts.findings(Gate(), NOW) == []

    counts.brought(3, NOW)
    counts.missed("timeout: no answer", NOW)
    lost, failing = counts.findings(Gate(), NOW)
    assert (lost.reason, lost.count) == ("WebhooksLost", 3)
    assert (failing.reason, "timeout: no answer" in failing.message) == ("PollFailing", True)

    counts.listed()
    assert [f.reason for f in counts.findings(Gate(), NOW)] == ["WebhooksLost"]
    assert counts.findings(Gate(), NOW + FORGET_S) == []


def test_nobody_outside_can_say_that_a_delivery_came_by_asking() -> None:
    """The word of a sender would make lost webhooks of ordinary ones."""
    assert kept_headers(HEADERS) == {"content-type": "application/json"}
