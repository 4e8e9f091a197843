"""What differs between two specs: which field, by what name, and nothing that is secret."""

from __future__ import annotations

from typing import Any

import pytest

from intops_core.differences import MASK, FieldChange, differences, object_changes
from intops_core.findings import Ref
from support.conformance import NAMESPACE, catalogue_and_example, world

MAPPING = Ref("Mapping", NAMESPACE, "alertmanager-to-event")


def paths(before: Any, after: Any) -> list[tuple[str, Any, Any]]:
    return [(one.path, one.before, one.after) for one in differences(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param({"a": 1}, {"a": 1}, [], id="nothing"),
        pytest.param({"a": 1}, {"a": 2}, [("spec.a", 1, 2)], id="a value"),
        pytest.param({"a": 1}, {"a": True}, [("spec.a", 1, True)], id="a number and a truth"),
        pytest.param({}, {"a": {"b": 1}}, [("spec.a", None, {"b": 1})], id="a field that comes"),
        pytest.param({"a": {"b": 1}}, {"a": {}}, [("spec.a.b", 1, None)], id="a field that goes"),
        pytest.param({"a": ["x"]}, {"a": ["x", "y"]}, [("spec.a", ["x"], ["x", "y"])], id="words"),
        pytest.param(
            {"r": [{"name": "a", "v": 1}, {"name": "b", "v": 2}]},
            {"r": [{"name": "new"}, {"name": "a", "v": 1}, {"name": "b", "v": 3}]},
            [("spec.r[0]", None, {"name": "new"}), ("spec.r[2].v", 2, 3)],
            id="one that comes first moves no other",
        ),
        pytest.param(
            {"r": [{"to": "a"}, {"to": "b"}]}, {"r": [{"to": "b"}]},
            [("spec.r[0]", {"to": "a"}, None)], id="one that goes",
        ),
        pytest.param(
            {"r": [{"name": "a"}, {"name": "b"}]}, {"r": [{"name": "b"}, {"name": "a"}]},
            [("spec.r", ["a", "b"], ["b", "a"])], id="another order",
        ),
        pytest.param(
            {"r": [{"to": "a", "v": 1}, {"to": "a", "v": 2}]}, {"r": [{"to": "a", "v": 2}]},
            [("spec.r", [{"to": "a", "v": 1}, {"to": "a", "v": 2}], [{"to": "a", "v": 2}])],
            id="two of one name",
        ),
    ],
)  # fmt: skip
def test_each_field_that_differs_is_told_once(
    before: Any, after: Any, told: list[tuple[str, Any, Any]]
) -> None:
    """With its path, as it stands and as it would stand."""
    assert paths(before, after) == told


def test_what_looks_like_a_credential_or_is_one_is_masked() -> None:
    """S-32: By the name of its field, by its own form, and by the Secrets that lie beside it."""
    before = {"config": {"queue": "Incidents", "token": "first-of-all", "note": "x"}}
    after = {
        "config": {
            "queue": "ask hunter22 for it",
            "token": "second",
            "note": {"password": "third", "user": "agent", "pin": 4, "api_key": 12345678},
            "url": "https://agent:fourth@desk.example.com",
        }
    }
    told = differences(before, after, secrets={"hunter22", "x"})

    assert told == (
        FieldChange("spec.config.queue", "Incidents", f"ask {MASK} for it"),
        FieldChange("spec.config.token", MASK, MASK),
        FieldChange(
            "spec.config.note", "x", {"password": MASK, "user": "agent", "pin": 4, "api_key": MASK}
        ),
        FieldChange("spec.config.url", None, MASK),
    )


def test_objects_that_come_go_and_differ_are_told_and_no_others() -> None:
    """What an absent field means is no difference, however it is written."""

    def written_out(spec: dict[str, Any]) -> None:
        spec["partial"] = False
        spec["fields"][0]["meaning"] = "Said in other words."

    before = catalogue_and_example()
    after = world(("Mapping", MAPPING.name, written_out))[0]
    gone, made = Ref("Connector", NAMESPACE, "helpdesk"), Ref("Pattern", "", "event-to-incident")
    after.remove(gone)
    before.remove(made)
    same = Ref("Mapping", NAMESPACE, "incident-to-helpdesk")

    told = object_changes(before, after, {MAPPING, gone, made, same})

    assert [(one.ref, one.kind) for one in told] == [
        (gone, "removed"), (MAPPING, "changed"), (made, "added"),
    ]  # fmt: skip
    assert [field.path for field in told[1].fields] == ["spec.fields[0].meaning"]
