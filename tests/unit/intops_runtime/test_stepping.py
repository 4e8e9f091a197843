"""A record is taken to a state by what it offers, never by a guess."""

from __future__ import annotations

from intops_runtime.core.requests import added
from intops_runtime.core.stepping import Step, next_step, no_way

OPEN = [Step("11", "In Progress"), Step("41", "Canceled")]


def test_the_direct_way_is_preferred() -> None:
    """Though a state on the way is on offer as well."""
    ways = [*OPEN, Step("31", "Done")]

    assert next_step(ways, "Done", ["In Progress"], {"Open"}) == Step("31", "Done")


def test_the_first_named_state_on_offer_is_passed() -> None:
    """In the order in which somebody has named them, not in which they are on offer."""
    assert next_step(OPEN, "Done", ["Waiting", "In Progress"], {"Open"}) == OPEN[0]
    assert next_step(OPEN, "Done", ["Canceled", "In Progress"], {"Open"}) == OPEN[1]


def test_no_state_is_passed_twice() -> None:
    """Two states that lead to each other are no way."""
    back = [Step("51", "In Progress")]

    assert next_step(back, "Done", ["In Progress", "Waiting"], {"In Progress", "Waiting"}) is None


def test_what_nobody_has_named_is_not_taken() -> None:
    """A way that leads elsewhere may end the record for good."""
    assert next_step(OPEN, "Done", [], {"Open"}) is None


def test_a_record_that_cannot_go_on_tells_where_it_stands_and_what_it_offers() -> None:
    """A person decides with what the system said, each state once."""
    words = no_way("OPS-1", "Open", "Done", [*OPEN, Step("42", "Canceled")])

    assert words.startswith('OPS-1 stands at "Open", and no way from there leads to "Done"')
    assert 'on offer: "Canceled", "In Progress".' in words
    assert "on offer: nothing." in no_way("OPS-1", None, "Done", [])


def test_what_is_added_to_a_body_replaces_nothing() -> None:
    """What the class writes itself cannot be overwritten by a Mapping, and a place that is none takes nothing."""
    assert added({"fields": {"a": 1}}, "fields", {"a": 2, "b": 3}) == {"fields": {"a": 1, "b": 3}}
    assert added({}, "x.y", {"b": 3}) == {"x": {"y": {"b": 3}}}
    assert added({"fields": "text"}, "fields", {"b": 3}) == {"fields": "text"}
    assert added({"fields": {}}, "fields", None) == {"fields": {}}
    assert added(["list"], "fields", {"b": 3}) == ["list"]
