"""COM-11 by values: what a Flow in both directions needs, and that a Flow in one direction needs none of it."""

from collections.abc import Callable

import pytest

from intops_core.conformance import judge
from support.conformance import NAMESPACE, Raw, flow_of, load, manifests

TARGET = "spec.roles.target[0]"
CAPTURE = {
    "object": "ticket",
    "verify": [{"scheme": "bearer", "key": "token"}],
    "origin": "string(object.Subject)",
}


def ticket_to_incident(model: str = "incident") -> Raw:
    return {
        "apiVersion": "intops.io/v1alpha1",
        "kind": "Mapping",
        "metadata": {"name": "back", "namespace": NAMESPACE},
        "spec": {
            "owner": {"team": "desk", "contact": "desk@example.com"},
            "from": {"class": "request-tracker", "object": "ticket"},
            "to": {"model": model, "version": "v1"},
            "fields": [
                {
                    "to": "title",
                    "from": "Subject",
                    "meaning": "The desk's headline is what people see.",
                }
            ],
        },
    }


def found(
    *,
    mode: str = "bidirectional",
    capture: Raw | None = None,
    binding: Raw | None = None,
    back: Callable[[], Raw] = ticket_to_incident,
) -> list[tuple[str, str]]:
    """Severity and place of each finding of COM-11."""
    raws = [*manifests(), back()]
    for raw in raws:
        if raw["kind"] == "Flow":
            raw["spec"]["sync"] = {"mode": mode}
            raw["spec"]["roles"]["target"][0] |= binding or {}
        elif raw["metadata"]["name"] == "request-tracker" and capture is not None:
            raw["spec"]["capture"] = capture
    resources = load(raws)[0]
    return [
        (f.severity, f.path) for f in judge(flow_of(resources), resources) if f.rule == "COM-11"
    ]


NOT_YET = ("warn", "spec.sync.mode")


@pytest.mark.parametrize(
    ("capture", "binding", "refused"),
    [
        pytest.param(None, {}, [f"{TARGET}.connector"], id="nobody learns of changes"),
        pytest.param(
            {k: v for k, v in CAPTURE.items() if k != "origin"},
            {"reverseMapping": "back"},
            [f"{TARGET}.connector"],
            id="echoes are not known",
        ),
        pytest.param(CAPTURE, {}, [TARGET], id="nobody translates"),
        pytest.param(
            CAPTURE,
            {"reverseMapping": "incident-to-helpdesk"},
            [f"{TARGET}.reverseMapping"],
            id="the wrong way round",
        ),
        pytest.param(CAPTURE, {"reverseMapping": "back"}, [], id="sound"),
    ],
)
def test_both_directions_need_a_way_back_that_knows_its_own_echo(
    capture: Raw | None, binding: Raw, refused: list[str]
) -> None:
    """Each thing that lacks is told once, and that nothing is moved back yet is told always."""
    assert found(capture=capture, binding=binding) == [
        *(("deny", path) for path in refused),
        NOT_YET,
    ]


def test_the_way_back_ends_at_the_model_that_goes_out() -> None:
    """A ticket that became an event would begin the way anew."""
    wrong = lambda: ticket_to_incident("event")  # noqa: E731

    assert found(capture=CAPTURE, binding={"reverseMapping": "back"}, back=wrong) == [
        ("deny", f"{TARGET}.reverseMapping"),
        NOT_YET,
    ]


def test_one_direction_needs_nothing_of_it() -> None:
    """A first Flow says nothing about sync."""
    assert found(mode="toTarget") == []
