"""A real API server with a real operator refuses what `intops validate` refuses, for the same reason.

It is put together as the chart does: the CRDs, the policy on FlowActions, the webhook. Each wrong manifest of
examples/invalid and tests/golden/wrong is tried as a new object beside the objects that its folder needs, and
must be refused once, as sentences.txt says. `support.refusals` says what is compared: in our own words
everything; where the API server's schema has words of its own, the field and the kind of fault.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from intops_api.kinds import BY_NAME
from intops_core.conformance import judge
from intops_core.resources import Resources, parse_resource
from intops_operator.admission.review import LONGEST_WARNING
from support.cluster.asking import Answer, Api
from support.cluster.controlplane import ControlPlane
from support.judged import as_new, judged
from support.refusals import refusals
from support.wrong import Promise, Wrong, promises, world, wrong_manifests

pytestmark = pytest.mark.cluster

WRONG = wrong_manifests()
PROMISES = promises()

each_wrong = pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)


@pytest.fixture(scope="module")
def known() -> Resources:
    """What the command line knows."""
    return world()


@pytest.fixture(scope="module")
def api(api_server: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API server that asks an operator; what the manifests name was there before it did."""
    with judged(api_server, tmp_path_factory.mktemp("wrong")) as (made, _):
        yield made


def warnings_of(raw: dict[str, Any], known: Resources) -> list[str]:
    """What the command line warns about, as much of it as the API server passes on."""
    resource = parse_resource(copy.deepcopy(raw))
    found = [] if isinstance(resource, list) else judge(resource, known)
    return [one.message[: LONGEST_WARNING - 60] for one in found if one.severity == "warn"]


def warns_as_the_command_line(answer: Answer, raw: dict[str, Any], known: Resources) -> bool:
    """Whether what was warned about is the same, one by one."""
    expected = warnings_of(raw, known)
    return len(answer.warnings) == len(expected) and all(
        told in said for told, said in zip(expected, answer.warnings, strict=True)
    )


def promised(wrong: Wrong, manifest: dict[str, Any]) -> Promise:
    """The promise for a wrong manifest under the name that it is tried by."""
    promise, kind = PROMISES[wrong.name], manifest["kind"]
    before, now = (f'{kind} "{raw["metadata"]["name"]}"' for raw in (wrong.manifest, manifest))
    return replace(promise, message=promise.message.replace(before, now))


@each_wrong
def test_a_wrong_manifest_is_refused_as_the_command_line_does(api: Api, wrong: Wrong) -> None:
    """One fault, one refusal, and it is the one that people were promised."""
    manifest = as_new(wrong.manifest)

    answer = api.create(manifest)

    promise = promised(wrong, manifest)
    (refusal,) = refusals(answer)
    assert refusal.tells(promise, manifest), (refusal, promise)


@each_wrong
def test_a_twin_is_accepted_with_the_warnings_of_the_command_line(
    api: Api, known: Resources, wrong: Wrong
) -> None:
    """What the sentence says to write is enough for a cluster too."""
    twin = as_new(wrong.twin)

    answer = api.create(twin)

    assert answer.status == 201, answer.message
    assert warns_as_the_command_line(answer, twin, known), answer.warnings


def test_each_who_can_refuse_refuses_something(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    """Schema, rules, policy and webhook are all there, and none of them is asked in vain."""
    spoke = Counter(
        refusal.speaker
        for wrong in WRONG
        for refusal in refusals(api.create(as_new(wrong.manifest)))
    )
    with capsys.disabled():
        told = ", ".join(f"{count} by {speaker}" for speaker, count in sorted(spoke.items()))
        print(f"\n{len(WRONG)} wrong manifests were refused: {told}.")

    assert set(spoke) == {"schema", "rule", "policy", "webhook"}
    assert spoke.total() == len(WRONG)
    assert all(kind in {wrong.manifest["kind"] for wrong in WRONG} for kind in BY_NAME)
