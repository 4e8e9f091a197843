"""A path that is no longer sent, and the path under which its value comes now."""

from __future__ import annotations

from typing import Any

import pytest

from intops_api.common import FieldSchema
from intops_api.mapping import MappingBody
from intops_api.report import Finding
from intops_core.mapping import Mapped
from intops_runtime.core.drift import DriftWatch
from intops_runtime.core.vanished import RECENT

NOW = 1_800_000_000.0
DECLARED = {
    "username": FieldSchema(),
    "request.user": FieldSchema(),
    "data.name": FieldSchema(required=True),
}


class Watched:
    """One source whose Mapping reads the actor from some paths."""

    def __init__(self, *paths: str, declared: tuple[str, ...] = tuple(DECLARED)) -> None:
        body = MappingBody.model_validate(
            {
                "from": {"class": "inventory", "object": "change"},
                "to": {"model": "event", "version": "v1"},
                "fields": [{"to": "actor", "from": list(paths), "meaning": "Who did it."}],
            }
        )
        fields = {path: DECLARED[path] for path in declared}
        self.watch = DriftWatch("inventory", "inventory-to-event", body, fields, {})
        self.at = NOW

    def send(self, item: dict[str, Any], times: int = RECENT) -> None:
        for _ in range(times):
            self.at += 0.01
            self.watch.observe(item, item, Mapped({}, None), self.at)

    def vanished(self) -> list[Finding]:
        return [f for f in self.watch.findings(self.at) if f.reason == "FieldVanished"]


OLD = {"username": "anna", "data": {"name": "sw-01"}}
NEW = {"request": {"user": "anna"}, "data": {"name": "sw-01"}}
BOTH = OLD | NEW


@pytest.mark.parametrize(
    "declared", [("username", "data.name"), tuple(DECLARED)], ids=["new", "known to the class"]
)
def test_a_field_that_moved_below_another_is_found_by_its_value(declared: tuple[str, ...]) -> None:
    """Sent under both paths for a while, with the same value: that is a rename, and a sure one."""
    source = Watched("username", declared=declared)
    source.send(OLD)
    source.send(BOTH)
    assert source.vanished() == []
    source.send(NEW)
    (found,) = source.vanished()

    assert (found.kind, found.severity) == ("proposal", "critical")
    assert "renamed to request.user (confidence 0.95: both had the same value" in found.message
    assert "Write spec.fields[0].from: [request.user, username]" in found.message
    assert ("declare request.user in its class" in found.message) == (len(declared) == 2)


def test_a_field_that_moved_overnight_is_proposed_by_its_name_alone() -> None:
    """Nobody has seen both, so the proposal is less sure and says why."""
    source = Watched("username", declared=("username", "data.name"))
    source.send(OLD, 2 * RECENT)
    source.send(NEW)
    (found,) = source.vanished()

    assert "request.user (confidence 0.6: their names are alike)" in found.message


def test_a_field_of_another_value_is_no_heir() -> None:
    """A name that is alike proves nothing where both were sent and differed."""
    source = Watched("username", declared=("username", "data.name"))
    source.send({**BOTH, "request": {"user": "a robot"}}, 2 * RECENT)
    source.send({**NEW, "request": {"user": "a robot"}})
    (found,) = source.vanished()

    assert found.kind == "drift"
    assert "renamed" not in found.message


def test_a_rename_that_the_mapping_knows_already_is_told_without_alarm() -> None:
    """The next path of `from` is taken; the message says when the old one can go."""
    source = Watched("request.user", "username")
    source.send(OLD)
    source.send(BOTH)
    source.send(NEW)
    (found,) = source.vanished()

    assert (found.kind, found.severity) == ("proposal", "info")
    assert "username → request.user (confidence 0.95" in found.message
    assert "take username out of spec.fields[0].from" in found.message


def test_no_value_of_a_message_is_told() -> None:
    """Values are compared, and neither kept nor shown."""
    source = Watched("username", declared=("username", "data.name"))
    source.send(OLD)
    source.send(BOTH)
    source.send(NEW)

    assert "anna" not in "".join(f.model_dump_json() for f in source.watch.findings(source.at))


@pytest.mark.parametrize("name", ["", "a..b", "`", ".", "a`b"])
def test_a_name_that_no_path_can_hold_harms_nothing(name: str) -> None:
    """JSON allows any text as a name."""
    source = Watched("username", declared=("username", "data.name"))
    source.send({**OLD, name: {name: "anna"}}, 3)

    assert source.vanished() == []
