"""Which policy holds for a class of errors of one target: the narrowest that says something."""

from __future__ import annotations

from typing import Any

from intops_runtime.core.compiled import compile_plan
from support.runtime.flows import change, example_manifests, make_plan


def test_the_class_knows_its_system_and_the_flow_knows_the_business() -> None:
    """Fields are merged one by one over the defaults; the Flow has the last word."""
    manifests = example_manifests()

    def of_flow(spec: dict[str, Any]) -> None:
        spec["errors"] = {"timeout": {"maxAttempts": 3}}

    change(manifests, "Flow", "alerts-to-helpdesk", of_flow)
    plan = make_plan(manifests)
    for blob in plan.blobs.classes.values():
        if blob.name == "request-tracker":
            blob.spec.error_policies["timeout"] = {"maxAge": "2h", "maxAttempts": 9}
    compiled = compile_plan(plan)

    (target,) = compiled.targets.values()
    assert target.policies["timeout"].to_wire() == {
        "strategy": "retry", "maxAttempts": 3, "base": "500ms", "cap": "30s", "maxAge": "2h",
    }  # fmt: skip
    assert target.policies["authDenied"].strategy == "hold"
    assert compiled.policies["timeout"].max_age == "24h"
