"""FlowPlans for tests, made from the examples by the product's own rules and planning."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from intops_api.plan import FlowPlan
from intops_core.catalog import shipped
from intops_core.conformance import judge
from intops_core.planning import plan_flow
from intops_core.resources import Resource, Resources, parse_resource

REPOSITORY = Path(__file__).resolve().parents[3]
EXAMPLE = REPOSITORY / "examples" / "01-alerts-to-helpdesk"
NAMESPACE = "itsm"

Change = Callable[[dict[str, Any]], None]


def example_manifests(folder: Path = EXAMPLE) -> list[dict[str, Any]]:
    """The intops manifests of an example, in a namespace of their own."""
    manifests = []
    for file in sorted(folder.glob("*.yaml")):
        for raw in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            if isinstance(raw, dict) and str(raw.get("apiVersion", "")).startswith("intops.io/"):
                raw["metadata"]["namespace"] = NAMESPACE
                manifests.append(raw)
    return manifests


def change(manifests: list[dict[str, Any]], kind: str, name: str, how: Change) -> None:
    """Change one manifest of a list in place."""
    for raw in manifests:
        if raw["kind"] == kind and raw["metadata"]["name"] == name:
            how(raw["spec"])
            return
    raise KeyError(f"{kind} {name}")


def put_on_trial(
    manifests: list[dict[str, Any]], mapping: str, how: Change, *, name: str = "candidate"
) -> None:
    """Add a changed copy of a Mapping, as the shadow of the bindings that use it; in place."""
    (raw,) = [m for m in manifests if m["kind"] == "Mapping" and m["metadata"]["name"] == mapping]
    candidate = copy.deepcopy(raw)
    candidate["metadata"]["name"] = name
    candidate["spec"].pop("examples", None)  # they are about the rules as they were
    how(candidate["spec"])
    manifests.append(candidate)
    for flow in (m for m in manifests if m["kind"] == "Flow"):
        for bindings in flow["spec"]["roles"].values():
            for binding in bindings:
                if binding.get("mapping") == mapping:
                    binding["shadow"] = name


def rule_of(spec: dict[str, Any], to: str) -> dict[str, Any]:
    """The rule of a Mapping that fills a field."""
    rule: dict[str, Any] = next(one for one in spec["fields"] if one["to"] == to)
    return rule


def unplaced_severity_goes_on(manifests: list[dict[str, Any]]) -> None:
    """In the first example, a severity that nobody has placed keeps no alert from its ticket any more."""

    def how(spec: dict[str, Any]) -> None:
        (rule,) = [rule for rule in spec["fields"] if rule["to"] == "severity"]
        rule.update(onUnmapped="continue")
        spec["examples"] = [e for e in spec["examples"] if e.get("outcome") != "review"]

    change(manifests, "Mapping", "alertmanager-to-event", how)


def make_plan(manifests: list[dict[str, Any]]) -> FlowPlan:
    """The plan of the only Flow among the manifests; fails where a rule would refuse it."""
    resources = Resources()
    flows = []
    own = []
    for raw in [*shipped(), *copy.deepcopy(manifests)]:
        parsed = parse_resource(raw)
        assert isinstance(parsed, Resource), parsed
        resources.add(parsed)
        if raw in manifests or raw.get("metadata", {}).get("namespace") == NAMESPACE:
            own.append(parsed)
        if parsed.ref.kind == "Flow":
            flows.append(parsed)
    for resource in own:
        denied = [f for f in judge(resource, resources) if f.severity == "deny"]
        assert not denied, denied
    planned = plan_flow(flows[0], resources)
    assert planned.plan is not None, planned
    return planned.plan


def alerts_to_helpdesk(
    endpoint: str,
    *,
    settle: str = "2s",
    timeout: str = "1s",
    concurrency: int = 4,
    requests_per_second: float = 10000.0,
    ca_secret: str | None = None,
    answer_within: str | None = None,
    edit: Callable[[list[dict[str, Any]]], None] | None = None,
) -> FlowPlan:
    """The first example against a desk at `endpoint`, with times fit for a test.

    `edit` changes the manifests in place before anything else does.
    """
    manifests = example_manifests()
    if edit is not None:
        edit(manifests)

    def at(spec: dict[str, Any]) -> None:
        spec["endpoint"] = endpoint
        spec["class"] = "test-desk"
        if ca_secret is not None:
            spec["tls"] = {"caSecretName": ca_secret}
        spec["limits"] = {"concurrency": concurrency, "requestsPerSecond": requests_per_second}

    change(manifests, "Connector", "helpdesk", at)
    if answer_within is not None:

        def answers(spec: dict[str, Any]) -> None:
            spec["roles"]["source"][0]["answerWithin"] = answer_within

        change(manifests, "Flow", "alerts-to-helpdesk", answers)
    change(
        manifests,
        "Mapping",
        "incident-to-helpdesk",
        lambda spec: spec["to"].update({"class": "test-desk"}),
    )
    desk = copy.deepcopy(
        next(raw for raw in shipped() if raw["metadata"]["name"] == "request-tracker")
    )
    desk["metadata"]["name"] = "test-desk"
    desk["spec"]["mappings"] = {}
    desk["spec"]["limits"] = {"requestsPerSecond": requests_per_second, "concurrency": concurrency}
    for operation in desk["spec"]["operations"].values():
        operation["timeout"] = timeout
    desk["spec"]["operations"]["lookupByCorrelation"]["settle"] = settle
    return make_plan([*manifests, desk])


def asked(plan: FlowPlan, *, every: str = "1s", patience: str = "2s") -> FlowPlan:
    """The plan with its sources asked more often than a class may say, so that a test need not wait."""
    classes = {}
    for name, blob in plan.blobs.classes.items():
        capture = blob.spec.capture
        if capture is not None and capture.poll is not None:
            often = capture.poll.model_copy(update={"every": every, "patience": patience})
            capture = capture.model_copy(update={"poll": often})
            spec = blob.spec.model_copy(update={"capture": capture})
            classes[name] = blob.model_copy(update={"spec": spec})
        else:
            classes[name] = blob
    blobs = plan.blobs.model_copy(update={"classes": classes})
    return plan.model_copy(update={"blobs": blobs, "hash": f"{plan.hash}-{every}-{patience}"})
