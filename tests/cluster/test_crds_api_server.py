"""A real API server takes the kinds, refuses what they forbid, and says why in our words."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from intops_api import names
from intops_api.kinds import BY_NAME, KINDS, Kind
from intops_api.rules import RULES
from intops_api.schema.crd import crd
from intops_api.schema.generate import crd_file
from intops_api.schema.policies import flow_action_policy
from support.cluster.asking import Api, Manifest, api_of
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until

pytestmark = pytest.mark.cluster

TREE = Path(__file__).resolve().parents[2]
INVALID = TREE / "examples" / "invalid"
REFUSED = sorted(INVALID.glob("*.yaml"))
SHIPPED = sorted((TREE / "core" / "intops_core" / "catalog").rglob("*.yaml"))
NAMESPACE = "crds"
# The actor of the FlowActions among the examples.
USER = "alice@example.com"


def first_of(path: Path) -> Manifest:
    loaded: Manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def corrected(example: str, name: str | None = None) -> Manifest:
    """The corrected twin of an invalid example, under its own or another name."""
    twin = first_of(INVALID / "corrected" / f"{example}.yaml")
    twin["metadata"]["name"] = name or twin["metadata"]["name"]
    return twin


def is_for_kubernetes(path: Path) -> bool:
    """Whether a file holds objects; beside them lie cases and samples for other tools."""
    return all("apiVersion" in (one or {}) for one in yaml.safe_load_all(path.read_text("utf-8")))


VALID = sorted(
    path
    for path in (TREE / "examples").rglob("*.yaml")
    if INVALID not in path.parents and is_for_kubernetes(path)
)


@pytest.fixture(scope="module")
def api(api_server: ControlPlane) -> Iterator[Api]:
    """An API server with the CRDs as they are shipped, and the policy on FlowActions."""
    kubectl = api_server.kubectl
    files = [argument for kind in KINDS for argument in ("-f", str(TREE / "crds" / crd_file(kind)))]
    kubectl.run("apply", "--server-side", *files)
    kubectl.run(
        "wait", "--for=condition=Established", "crd", *(crd(k)["metadata"]["name"] for k in KINDS)
    )
    kubectl.apply(
        *flow_action_policy(),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    )
    made = api_of(api_server, NAMESPACE, USER)
    # An established CRD is served, and a policy enforced, a moment later.
    until(
        lambda: all(made.ask("GET", made.collection(kind)).status == 200 for kind in KINDS),
        "every kind to be served",
    )
    another = first_of(INVALID / "action-in-another-name.yaml")
    until(lambda: made.create(another).status == 403, "the policy on FlowActions to be enforced")
    yield made
    kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_is_established_without_complaint(api: Api, kind: Kind) -> None:
    """The API server serves the kind and finds its schema structural."""
    found = api.plane.kubectl.get("crd", f"{kind.plural}.{names.GROUP}")
    conditions = {one["type"]: one["status"] for one in found["status"]["conditions"]}

    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize(
    "file", [*SHIPPED, *VALID], ids=lambda file: f"{file.parent.name}/{file.name}"
)
def test_a_shipped_manifest_is_accepted(api: Api, file: Path) -> None:
    """Whatever is shipped as an example or in the catalogue passes the API server as it is."""
    # Another file of tests may have had an operator apply the catalogue already.
    api.plane.kubectl.run(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "-n",
        NAMESPACE,
        "-f",
        str(file),
    )


@pytest.mark.parametrize("file", REFUSED, ids=lambda file: file.stem)
def test_an_invalid_example_is_refused_in_the_words_it_announces(api: Api, file: Path) -> None:
    """Faults of one object are refused here; faults that need others pass, for admission to find."""
    _, who, text = file.read_text(encoding="utf-8").splitlines()[0].split(": ", 2)

    answer = api.create(first_of(file))

    if who == "schema":
        assert answer.status in {400, 403, 422}, answer.message
        assert text in answer.message
    else:
        assert answer.status == 201, answer.message


@pytest.mark.parametrize("file", REFUSED, ids=lambda file: file.stem)
def test_a_corrected_twin_is_accepted(api: Api, file: Path) -> None:
    """The repair that the twin shows is all that was missing."""
    answer = api.create(corrected(file.stem))

    assert answer.status == 201, answer.message


CHANGES = [
    pytest.param(
        "flow-without-owner",
        {"pattern": "configuration-sync"},
        "The pattern of a Flow cannot be changed",
        id="a Flow keeps its pattern",
    ),
    pytest.param(
        "flow-without-owner",
        {"runtime": {"pool": "quiet"}},
        "A running Flow cannot move to another pool",
        id="a running Flow keeps its pool",
    ),
    pytest.param(
        "flow-without-owner",
        {"suspend": True, "runtime": {"pool": "quiet"}},
        "A running Flow cannot move to another pool",
        id="a Flow is suspended before it moves, not while it moves",
    ),
    pytest.param(
        "flow-replicas-share-an-embedded-store",
        {"runtime": {"replicas": {"max": 1}, "store": {"postgres": None}}},
        "A running Flow cannot change between an embedded store and PostgreSQL",
        id="a running Flow keeps its kind of store",
    ),
    pytest.param(
        "flow-replicas-share-an-embedded-store",
        {"runtime": {"pool": "quiet", "replicas": {"max": 1}, "store": {"postgres": None}}},
        "runtime.pool and the kind of runtime.store change at once",
        id="a Flow changes its worker or its kind of store, one at a time",
    ),
    pytest.param(
        "connector-limit-of-zero",
        {"class": "generic-webhook"},
        "The class of a Connector cannot be changed",
        id="a Connector keeps its class",
    ),
    pytest.param(
        "action-edit-without-patch",
        {"reason": "Another one."},
        "A decision cannot be changed once it is made",
        id="a decision keeps its reason",
    ),
    pytest.param(
        "action-edit-without-patch",
        {"patch": [{"path": "service", "value": "shop"}]},
        "A decision cannot be changed once it is made",
        id="a decision keeps even the values that no schema knows",
    ),
]


@pytest.mark.parametrize(("example", "change", "text"), CHANGES)
def test_what_must_not_change_is_refused(
    api: Api, example: str, change: Manifest, text: str, request: pytest.FixtureRequest
) -> None:
    """A change that would pull the ground from under messages is refused with a way out."""
    number = [one.id for one in CHANGES].index(request.node.callspec.id)
    kept = corrected(example, name=f"kept-{number}")
    assert api.create(kept, keep=True).status == 201

    answer = api.change(kept, change)

    assert answer.status == 422
    assert text in answer.message


def test_every_rule_about_a_change_is_tried() -> None:
    """The table of changes misses no rule."""
    tried = [str(one.values[2]) for one in CHANGES]
    rules = [rule for rules in RULES.values() for rule in rules if rule.compares_with_before]

    assert [r.message for r in rules if not any(text in r.message for text in tried)] == []


def test_a_suspended_flow_may_move_to_another_pool(api: Api) -> None:
    """The way out that the refusal names is open."""
    flow = corrected("flow-without-owner", name="movable")
    flow["spec"]["suspend"] = True
    assert api.create(flow, keep=True).status == 201

    assert api.change(flow, {"runtime": {"pool": "quiet"}}).status == 200
    assert api.change(flow, {"suspend": False}).status == 200


def test_a_new_flow_says_that_it_waits(api: Api) -> None:
    """Before any operator has seen it, a Flow is not ready and says what it waits for."""
    assert api.create(corrected("flow-without-owner", name="waiting"), keep=True).status == 201

    shown = api.plane.kubectl.run("get", "iflow", "waiting", "-n", NAMESPACE)
    head, row = (line.split() for line in shown.splitlines())
    wide = api.plane.kubectl.run("get", "iflow", "waiting", "-n", NAMESPACE, "-o", "wide")

    assert head == [
        *("NAME", "PATTERN", "READY", "REASON", "BACKLOG", "OLDEST", "REVIEW", "SLO"),
        *("LAST-DELIVERED", "AGE"),
    ]
    assert row[:4] == ["waiting", "event-to-incident", "Unknown", "Pending"]
    assert wide.splitlines()[1].endswith("Waiting for controller")


def test_a_model_shows_its_newest_edition(api: Api) -> None:
    """`kubectl get` tells which version of a model new Mappings should use."""
    assert (
        api.create(corrected("model-identity-is-no-field", name="shown"), keep=True).status == 201
    )

    shown = api.plane.kubectl.run("get", "imodel", "shown").splitlines()

    assert shown[0].split()[:3] == ["NAME", "NEWEST", "READY"]
    assert shown[1].split()[:3] == ["shown", "v2", "Unknown"]


def test_flows_are_found_by_pattern(api: Api) -> None:
    """A field selector answers which Flows follow a Pattern, without reading them all."""
    assert api.create(corrected("flow-without-owner", name="found"), keep=True).status == 201

    path = api.collection(BY_NAME["Flow"]) + "?fieldSelector=spec.pattern%3D"
    by_its_own = api.ask("GET", path + "event-to-incident").body["items"]
    by_another = api.ask("GET", path + "configuration-sync").body["items"]

    assert "found" in {one["metadata"]["name"] for one in by_its_own}
    assert by_another == []


def test_two_teams_own_bindings_of_one_role(api: Api) -> None:
    """A second manager adds a notifier without taking over, or losing, the first one's."""
    base = corrected("flow-without-owner", name="shared")
    mine, theirs = deepcopy(base), deepcopy(base)
    mine["metadata"]["namespace"] = theirs["metadata"]["namespace"] = NAMESPACE
    mine["spec"]["roles"]["notifier"] = [{"name": "mail", "connector": "ops-mail"}]
    theirs["spec"]["roles"]["notifier"] = [{"name": "chat", "connector": "ops-chat"}]

    api.plane.kubectl.apply(mine, field_manager="us")
    api.plane.kubectl.apply(theirs, field_manager="them")
    both = api.plane.kubectl.get("flow", "shared", "-n", NAMESPACE)["spec"]["roles"]["notifier"]
    mine["spec"]["roles"].pop("notifier")
    api.plane.kubectl.apply(mine, field_manager="us")
    left = api.plane.kubectl.get("flow", "shared", "-n", NAMESPACE)["spec"]["roles"]["notifier"]

    assert [one["name"] for one in both] == ["mail", "chat"]
    assert [one["name"] for one in left] == ["chat"]


@pytest.mark.parametrize(
    "file", [*SHIPPED, *VALID], ids=lambda file: f"{file.parent.name}/{file.name}"
)
def test_applying_again_changes_nothing(api: Api, file: Path) -> None:
    """Defaults that the API server writes are no drift: GitOps sees the same object as before."""
    kubectl, where = api.plane.kubectl, ("-n", NAMESPACE, "-f", str(file))
    kubectl.run("apply", *where)
    again = kubectl.run("apply", *where).splitlines()
    ours = [line for line in again if f".{names.GROUP}/" in line]

    assert [line for line in ours if not line.endswith(" unchanged")] == []
    assert kubectl.try_run("diff", *where).returncode == 0


def test_explain_tells_what_a_field_is_for(api: Api) -> None:
    """`kubectl explain` describes a field and everything below it in sentences."""
    shown = " ".join(api.plane.kubectl.run("explain", "flow.spec.routes").split())

    assert "The first whose `when` is true is taken" in shown
    assert "when <string> CEL over the canonical record" in shown
    assert "name <string> -required- Name of the route." in shown


def test_a_decision_is_made_in_ones_own_name(api: Api) -> None:
    """S-64: The policy knows who is asking, whatever the object says, cluster administrators included."""
    action = corrected("action-in-another-name")
    other = replace(api, user="mallory@example.com")

    assert api.create(action).status == 201
    refused = other.create(action)

    assert refused.status == 403
    assert "spec.actor is alice@example.com, but you are mallory@example.com" in refused.message
