"""What a new leader reads back from a Deployment is what the last one noted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from intops_api import names
from intops_operator.core.deployed import Deployed, deployed, roll_note, size_note
from intops_operator.core.rolling import Before, Release, Roll
from intops_operator.core.scaling import Size

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


def body(
    *, replicas: int = 2, notes: dict[str, str] | None = None, **status: int
) -> dict[str, Any]:
    """A Deployment as the API server shows it."""
    containers = [{"name": "worker", "image": "worker:1"}]
    return {
        "metadata": {"annotations": notes or {}, "generation": 4},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": containers}}},
        "status": {"observedGeneration": 4, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2,
                   **status},
    }  # fmt: skip


@pytest.mark.parametrize(
    "roll",
    [
        Roll(Release("worker:1", "abc"), "def"),
        Roll(Release("worker:2", "abc"), "def", NOW, ready=False, review=7),
        Roll(Release("worker:2", "abc"), "def", NOW, ready=True, review=0, proved=True),
        Roll(
            Release("worker:2", "abc"), "def", NOW, flows=(Before("a", True, 3), Before("b", False))
        ),
    ],
)
def test_what_was_noted_about_a_roll_is_read_back(roll: Roll) -> None:
    """Or a new leader would begin the roll-out anew."""
    found = deployed(body(notes=roll_note(roll))).roll

    assert found is not None
    assert roll_note(found) == roll_note(roll)
    assert roll.at is None or found == roll


@pytest.mark.parametrize("size", [Size(3, NOW, 12.5), Size(2, NOW)])
def test_what_was_noted_about_a_size_is_read_back(size: Size) -> None:
    """Or a new leader would jump to the least."""
    assert deployed(body(notes=size_note(size))).size == size


def test_a_size_that_no_backlog_changed_is_not_noted() -> None:
    """The Flow's own number says it."""
    assert size_note(Size(2)) == {}
    found = deployed(body())
    assert found == Deployed(2, 2, True, "worker:1", None, None, template=found.template)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"replicas":0,"at":"2026-11-25T12:00:00Z"}', '{"replicas":"3"}',
     '{"replicas":true,"at":"2026-11-25T12:00:00Z"}', '{"replicas":3,"at":"yesterday"}',
     '{"replicas":3,"at":7}', '{"image":7}', '{"image":""}'],
)  # fmt: skip
def test_what_somebody_wrote_over_a_note_counts_as_not_noted(text: str) -> None:
    """Annotations are open to everybody who may edit a Deployment."""
    found = deployed(body(notes={names.ANNOTATION_SCALE: text, names.ANNOTATION_ROLLOUT: text}))

    assert (found.size, found.roll) == (None, None)


@pytest.mark.parametrize(
    ("flows", "read"),
    [
        ('{"a":[true,2]}', (Before("a", True, 2),)),
        ('{"a":7,"b":[true],"c":["true","2"]}', tuple(Before(name, False) for name in "abc")),
        ("[]", ()),
        ("7", ()),
    ],
)
def test_a_flow_of_a_pool_whose_note_somebody_broke_counts_as_ill_before(
    flows: str, read: tuple[Before, ...]
) -> None:
    """Then nothing can be worse: it halts nobody."""
    note = f'{{"image":"worker:2","at":"2026-11-25T12:00:00Z","ready":true,"flows":{flows}}}'
    roll = deployed(body(notes={names.ANNOTATION_ROLLOUT: note})).roll

    assert roll is not None
    assert roll.flows == read


@pytest.mark.parametrize(
    "status",
    [
        {"observedGeneration": 3},
        {"replicas": 3},
        {"updatedReplicas": 1},
        {"readyReplicas": 1},
    ],
)
def test_a_deployment_is_settled_only_when_every_pod_is_ready_and_of_its_template(
    status: dict[str, int],
) -> None:
    """A pod of the last template, one that starts, and a status of before the change are not."""
    assert deployed(body()).settled
    assert not deployed(body(**status)).settled
    assert not deployed(body(replicas=3)).settled


def made_of(image: str, *, notes: dict[str, str] | None = None, **status: int) -> dict[str, Any]:
    """A Deployment of this image."""
    found = body(notes=notes, **status)
    found["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return found


def test_a_new_template_counts_from_the_moment_in_which_it_is_written() -> None:
    """Long before its controller has seen it and the old pods go."""
    old = deployed(made_of("worker:1"))
    assert old.current

    written = deployed(made_of("worker:2", observedGeneration=3), old)
    assert not written.current
    assert not deployed(made_of("worker:2", updatedReplicas=0), written).current
    assert deployed(made_of("worker:2", updatedReplicas=1), written).current


def test_a_note_that_changes_no_pod_leaves_a_deployment_as_current_as_it_was() -> None:
    """It raises the generation too, and a Flow that is well would go to and fro with every note."""
    old = deployed(made_of("worker:1"))
    noted = made_of("worker:1", notes=size_note(Size(3, NOW)), observedGeneration=3)

    assert deployed(noted, old).current
    assert not deployed(noted).current
    assert not deployed(noted, replace(old, current=False)).current
