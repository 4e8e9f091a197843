"""What a scanner of manifests finds in what the chart and the operator make: nothing that is not answered."""

from __future__ import annotations

import copy

import pytest

from intops_operator.core.children import desired
from support.chart import Manifest, render
from support.operator_facts import example_worker
from support.scanners import ANSWERED, answer, findings

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("scanner")]


@pytest.fixture(scope="module")
def scanner(request: pytest.FixtureRequest) -> None:
    """Helm, which `api_server` sees to, and kube-score."""
    request.getfixturevalue("api_server")


def scanned() -> list[Manifest]:
    """Everything of the chart that is on by default or advised, and the children of a Flow."""
    chart = render(networkPolicy={"enabled": True}, crds={"install": False})
    return [*chart, *desired(example_worker())]


def test_s48_kube_score_finds_nothing_that_is_not_answered() -> None:
    """Each answer says why the finding stays, and one that nothing needs any more has to go."""
    found = findings(scanned())

    assert [one for one in found if answer(one) is None] == []
    assert {answer(one) for one in found} == set(ANSWERED)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("readOnlyRootFilesystem", False, "writable root filesystem"),
        ("runAsUser", 1000, "low user id"),
        ("privileged", True, "privileged"),
    ],
)
def test_s48_a_weaker_fence_is_found(field: str, value: bool | int, words: str) -> None:
    """The control."""
    weaker = copy.deepcopy(list(desired(example_worker())))
    (deployment,) = [m for m in weaker if m["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["securityContext"][field] = value

    news = set(findings(weaker)) - set(findings(list(desired(example_worker()))))
    assert any(words in said.lower() for _, said in news), news
