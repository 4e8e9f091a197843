"""Plan in, manifests out, word by word.

After a wanted change, run `PYTHONPATH=tests python tests/golden/operator/test_operator_golden.py` and
read the difference.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from intops_api import names
from intops_api.flow import PostgresStore, Replicas, Runtime, Store
from intops_operator.core.children import desired
from intops_operator.core.children.pool import Pool, desired_pool, needs_of
from intops_operator.core.children.worker import Manifest, Slot, Worker, WorkerSettings
from support.operator_facts import example_worker


def postgres() -> Worker:
    """The same Flow with a database and two workers, from a private image."""
    worker = example_worker(store=Store(postgres=PostgresStore(secret_name="database")))
    settings = WorkerSettings(
        "example.com/private/worker:1", "Always", ("registry-login",), "high-priority"
    )
    return replace(worker, runtime=Runtime(replicas=Replicas(min=2, max=4)), settings=settings)


def pooled() -> list[Manifest]:
    """The same Flow in a pool: what is its own, and what it shares."""
    worker = replace(example_worker(), slot=Slot("quiet", 7))
    pool = Pool("itsm", "quiet", (needs_of(worker),), worker.settings)
    return [*desired(worker), *desired_pool(pool)]


HERE = Path(__file__).resolve().parent
CASES: dict[str, Callable[[], list[Manifest]]] = {
    "embedded": lambda: desired(example_worker()),
    "postgres": lambda: desired(postgres()),
    "pooled": pooled,
}


def manifests(children: list[Manifest]) -> str:
    """All children as YAML; the plan itself is core's business and is left out, and the places of a pool are many."""
    shown: list[dict[str, Any]] = []
    for manifest in children:
        if manifest["kind"] == "ConfigMap":
            manifest["binaryData"] = {names.PLAN_KEY: "(the plan)"}
            manifest["metadata"]["annotations"][names.ANNOTATION_PLAN_HASH] = "(its hash)"
        if manifest["kind"] == "Deployment":
            plans = manifest["spec"]["template"]["spec"]["volumes"][0]
            if "projected" in plans:
                plans["projected"]["sources"][1:-1] = ["(98 more)"]
        shown.append(manifest)
    return yaml.safe_dump_all(shown, sort_keys=False, width=100)


@pytest.mark.parametrize("name", CASES)
def test_a_plan_gives_these_manifests(name: str) -> None:
    """A change here restarts every worker of every user, or changes what it may do."""
    assert manifests(CASES[name]()) == (HERE / f"{name}.yaml").read_text(encoding="utf-8")


if __name__ == "__main__":
    for case, build in CASES.items():
        (HERE / f"{case}.yaml").write_text(manifests(build()), encoding="utf-8")
