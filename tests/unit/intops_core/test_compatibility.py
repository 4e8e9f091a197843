"""Which change of a model is compatible, risky or breaking: the table, row by row."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from intops_api.canonical_model import CanonicalModelSpec
from intops_core.compatibility import (
    TABLE,
    Uses,
    compare_models,
    compatibility_findings,
    may_matter,
)
from intops_core.findings import Ref
from intops_core.model_deltas import DELTA_KINDS
from intops_core.model_uses import uses_of
from intops_core.planning import plan_flow
from support.conformance import catalogue_and_example, flow_of

MODEL = Ref("CanonicalModel", "", "lamp")
OF_V1 = frozenset({"v1"})

Fields = dict[str, dict[str, Any]]
Spec = dict[str, Any]


def lamp() -> Spec:
    """A model with one field of each sort."""
    return {
        "description": "A lamp.",
        "versions": [
            {
                "name": "v1",
                "identity": ["serial"],
                "fields": {
                    "serial": {"required": True, "meaning": "What is stamped on it."},
                    "room": {"meaning": "Where it hangs.", "maxLength": 20, "personal": True},
                    "watts": {"type": "integer", "default": 5, "meaning": "What it draws."},
                    "tags": {"type": "list", "meaning": "Free words."},
                    "state": {
                        "required": True,
                        "enum": ["on", "off", "dim"],
                        "meanings": {"on": "It shines."},
                    },
                },
                "transitions": {"on": ["off", "dim"]},
            }
        ],
    }


def fields(change: Callable[[Fields], object]) -> Callable[[Spec], object]:
    return lambda spec: change(spec["versions"][0]["fields"])


def edition(change: Callable[[Spec], object]) -> Callable[[Spec], object]:
    return lambda spec: change(spec["versions"][0])


def rename(old: str, new: str) -> Callable[[Spec], object]:
    return fields(lambda f: f.update({new: f.pop(old)}))


# kind, change, place below spec, and the grades: the field is used, it is not, no Flow uses the edition.
ROWS: list[tuple[str, Callable[[Spec], object], str, str, str]] = [
    ("edition added", lambda s: s["versions"].append({**s["versions"][0], "name": "v2"}),
     "versions[1]", "compatible", "compatible"),
    ("edition removed", lambda s: s.update(versions=[{**s["versions"][0], "name": "v2"}]),
     "versions[0]", "breaking", "breaking"),
    ("edition no longer served", edition(lambda v: v.update(served=False)),
     "versions[0].served", "compatible", "compatible"),
    ("optional field added", fields(lambda f: f.update(colour={})),
     "versions[0].fields.colour", "compatible", "compatible"),
    ("required field added", fields(lambda f: f.update(colour={"required": True})),
     "versions[0].fields.colour", "breaking", "breaking"),
    ("required field with a default added",
     fields(lambda f: f.update(colour={"required": True, "default": "white"})),
     "versions[0].fields.colour", "compatible", "compatible"),
    ("optional field removed", fields(lambda f: f.pop("tags")),
     "versions[0].fields.tags", "breaking", "risky"),
    ("required field removed", fields(lambda f: f.pop("serial")),
     "versions[0].fields.serial", "breaking", "breaking"),
    ("field renamed", rename("tags", "words"), "versions[0].fields.tags", "breaking", "risky"),
    ("optional became required", fields(lambda f: f["tags"].update(required=True)),
     "versions[0].fields.tags.required", "breaking", "breaking"),
    ("required field with a default added", fields(lambda f: f["watts"].update(required=True)),
     "versions[0].fields.watts.required", "compatible", "compatible"),
    ("required became optional", fields(lambda f: f["serial"].update(required=False)),
     "versions[0].fields.serial.required", "risky", "risky"),
    ("type widened", fields(lambda f: f["watts"].update(type="number")),
     "versions[0].fields.watts.type", "risky", "risky"),
    ("type widened", fields(lambda f: f["tags"].update(of="any")),
     "versions[0].fields.tags.of", "risky", "risky"),
    ("type widened", fields(lambda f: f["room"].update(maxLength=30)),
     "versions[0].fields.room.maxLength", "risky", "risky"),
    ("type widened", fields(lambda f: f["room"].pop("maxLength")),
     "versions[0].fields.room.maxLength", "risky", "risky"),
    ("type narrowed", fields(lambda f: f["room"].update(maxLength=10)),
     "versions[0].fields.room.maxLength", "breaking", "risky"),
    ("type narrowed", fields(lambda f: f["room"].update(enum=["hall"])),
     "versions[0].fields.room.enum", "breaking", "risky"),
    ("type changed", fields(lambda f: f["tags"].update(type="string")),
     "versions[0].fields.tags.type", "breaking", "risky"),
    ("value added", fields(lambda f: f["state"]["enum"].append("broken")),
     "versions[0].fields.state.enum", "compatible", "compatible"),
    ("value removed", fields(lambda f: f["state"]["enum"].remove("dim")),
     "versions[0].fields.state.enum", "breaking", "risky"),
    ("default changed", fields(lambda f: f["watts"].update(default=7)),
     "versions[0].fields.watts.default", "risky", "compatible"),
    ("meaning changed", fields(lambda f: f["state"]["meanings"].update(on="It hums.")),
     "versions[0].fields.state", "risky", "compatible"),
    ("meaning changed", fields(lambda f: f["room"].update(meaning="Where it stands.")),
     "versions[0].fields.room", "risky", "compatible"),
    ("identity changed", edition(lambda v: v.update(identity=["room"])),
     "versions[0].identity", "breaking", "breaking"),
    ("transition added", edition(lambda v: v["transitions"].update(off=["on"])),
     "versions[0].transitions", "compatible", "compatible"),
    ("transition removed", edition(lambda v: v["transitions"]["on"].remove("dim")),
     "versions[0].transitions", "breaking", "risky"),
    ("no longer personal", fields(lambda f: f["room"].update(personal=False)),
     "versions[0].fields.room.personal", "risky", "risky"),
    ("words changed", lambda s: s.update(description="A light."), "description", "compatible", "compatible"),
]  # fmt: skip


def model(change: Callable[[Spec], object] = lambda _: None) -> CanonicalModelSpec:
    """The lamp, changed."""
    spec = copy.deepcopy(lamp())
    change(spec)
    return CanonicalModelSpec.model_validate(spec)


@pytest.mark.parametrize(("kind", "change", "path", "used", "unused"), ROWS)
def test_each_row_of_the_table_is_what_it_says(
    kind: str, change: Callable[[Spec], object], path: str, used: str, unused: str
) -> None:
    """A field that live Flows use, one that they do not, and an edition that nobody uses."""
    every = frozenset(("v1", name) for name in lamp()["versions"][0]["fields"])

    def graded(uses: Uses) -> list[tuple[str, str, str]]:
        found = compare_models(model(), model(change), uses)
        return [(one.kind, one.path, one.grade) for one in found if one.kind == kind]

    assert graded(Uses(OF_V1, every)) == [(kind, f"spec.{path}", used)]
    assert graded(Uses(OF_V1)) == [(kind, f"spec.{path}", unused)]
    assert graded(Uses()) == [(kind, f"spec.{path}", "compatible")]


def test_a_required_field_that_loses_its_default_is_required_anew() -> None:
    """Records without it were filled, and would be refused."""
    before = model(fields(lambda f: f["watts"].update(required=True)))
    after = model(fields(lambda f: f["watts"].update(required=True, default=None)))

    (found,) = compare_models(before, after, Uses(OF_V1))

    assert (found.kind, found.grade) == ("optional became required", "breaking")
    assert found.path == "spec.versions[0].fields.watts.default"


def test_every_row_of_the_table_is_tried() -> None:
    """A row that nobody tries says what it likes."""
    assert {row[0] for row in ROWS} == set(TABLE) == set(DELTA_KINDS)


def test_what_breaks_is_a_major_step_and_what_is_compatible_is_none() -> None:
    """The step that a change demands follows from what it does: patch, minor, or a new edition."""
    for kind, row in TABLE.items():
        grades = {row.used, row.unused}
        if "breaking" in grades:
            assert row.step == "major", kind
        elif grades == {"compatible"}:
            assert row.step in ("patch", "minor"), kind


def test_nothing_is_told_of_a_model_that_stays_as_it_is() -> None:
    """No change is no delta."""
    assert compare_models(model(), model(), Uses(OF_V1)) == ()
    assert not may_matter(model(), model(lambda s: s.update(description="A light.")))
    assert may_matter(model(), model(fields(lambda f: f.pop("tags"))))


def test_a_breaking_change_is_refused_with_the_edition_to_write_and_a_risky_one_warns() -> None:
    """The author learns what to do, not only what is wrong."""

    def both(spec: Spec) -> None:
        spec["versions"][0]["fields"].pop("serial")
        spec["versions"][0]["fields"]["watts"]["type"] = "number"

    before, after = model(), model(both)
    deltas = compare_models(before, after, Uses(OF_V1))
    denied, warned = compatibility_findings(MODEL, deltas, before, after)

    assert (denied.severity, warned.severity) == ("deny", "warn")
    assert denied.message == (
        'In edition v1, which live Flows use, "serial" is removed. Every record had it, so anybody may rely on it. '
        "Leave v1 as it was, and write the change as edition v2 beside it."
    )
    assert '"watts" is number instead of integer' in warned.message


def test_a_change_in_a_new_edition_beside_the_old_one_is_no_break() -> None:
    """That is how a breaking change is made: both are served until nobody uses the old one."""

    def second(spec: Spec) -> None:
        fresh = copy.deepcopy(spec["versions"][0])
        fresh["name"] = "v2"
        del fresh["fields"]["serial"]
        spec["versions"].append(fresh)

    assert {one.grade for one in compare_models(model(), model(second), Uses(OF_V1))} == {
        "compatible"
    }


def test_what_a_live_flow_uses_of_a_model_is_read_from_its_plan() -> None:
    """Mappings that fill or read it, routes that ask for it; and not what merely exists."""
    resources = catalogue_and_example()
    plan = plan_flow(flow_of(resources), resources).plan
    assert plan is not None

    event, incident = uses_of("event", [plan]), uses_of("incident", [plan])

    assert event.editions == incident.editions == {"v1"}
    assert {("v1", "severity"), ("v1", "resource.node"), ("v1", "resource")} <= event.fields
    assert {("v1", "service"), ("v1", "assignmentGroup")} <= incident.fields
    assert ("v1", "labels.severity") not in event.fields
    assert uses_of("lamp", [plan]) == Uses()
    assert uses_of("event", []) == Uses()
