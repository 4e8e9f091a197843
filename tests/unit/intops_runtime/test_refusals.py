"""A target that demands a field which nobody writes."""

from __future__ import annotations

from typing import Any

import pytest

from intops_runtime.core.classifying import Failure
from intops_runtime.core.compiled import compile_plan
from intops_runtime.core.drift import FORGET_S
from intops_runtime.core.refusals import WITHIN_S, RefusalWatch, refusal_watches
from support.runtime.flows import alerts_to_helpdesk

NOW = 1_800_000_000.0
RECORD = {"title": "db01 is down", "resource": {"node": "db_01"}}


@pytest.fixture
def watch() -> RefusalWatch:
    """The target of the first example."""
    plan = compile_plan(alerts_to_helpdesk("https://desk.example.com"))
    return refusal_watches(plan)["helpdesk"]


def refuse(
    watch: RefusalWatch, words: str, times: int = 3, every_s: float = 1.0, **more: Any
) -> float:
    """The same refusal again and again; when the last one came."""
    failure = Failure(
        more.get("error_class", "validation"),
        f"HTTP 403: {words}",
        "test",
        status=more.get("status", 403),
    )
    for number in range(times):
        watch.note(failure, RECORD, NOW + number * every_s)
    return NOW + (times - 1) * every_s


def test_a_demanded_field_is_told_with_what_to_write(watch: RefusalWatch) -> None:
    """The system was changed; until a person adds the field every record waits."""
    at = refuse(watch, "Data Policy Exception: u_site is mandatory")
    (found,) = watch.findings(at)

    assert (found.reason, found.severity, found.count) == ("FieldDemanded", "critical", 3)
    assert 'names u_site, which Mapping "incident-to-helpdesk" does not write' in found.message
    assert "declare it in the class" in found.message
    assert list(watch.findings(at + FORGET_S)) == []


def test_a_field_that_the_class_declares_needs_only_a_rule(watch: RefusalWatch) -> None:
    """A plain word is taken for a field where the class has it."""
    (found,) = watch.findings(refuse(watch, "Owner: this field is required"))

    assert "names Owner" in found.message
    assert "declare" not in found.message


@pytest.mark.parametrize(
    ("words", "how"),
    [
        ("u_site is mandatory", {"times": 2}),
        ("u_site is mandatory", {"every_s": WITHIN_S}),
        ("Subject must not be empty", {}),
        ("the value is not allowed", {}),
        ("db_01 must be a known host", {}),
        ("svc_intops may not do that", {}),
        ("DB01_is_down is required", {}),
        ("u_site is required", {"error_class": "conflict"}),
        ("u_site is required", {"status": None}),
    ],
    ids=[
        "too rare", "too far apart", "a field that is written", "no field is named",
        "a word of the record itself", "an unknown word that is not demanded",
        "a word made of the record", "another kind of error",
        "nothing that the system said",
    ],
)  # fmt: skip
def test_what_is_no_new_demand_is_not_told(
    watch: RefusalWatch, words: str, how: dict[str, Any]
) -> None:
    """A finding that is often wrong is never read, and data of a record is never told."""
    assert list(watch.findings(refuse(watch, words, **how))) == []
