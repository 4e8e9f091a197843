"""What older versions of intops write and read, by their own code: plans, manifests and reports cross versions.

Older versions are commits of this repository (support/cluster/older.py). Here their code only reads and writes data;
tests/cluster/test_upgrade.py runs them.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from intops_core.planning import PlanError, decode_plan, encode_plan
from intops_operator.edges.reports import parse_report
from support.cluster import older
from support.runtime.flows import EXAMPLE, example_manifests, make_plan

EXAMPLES = (EXAMPLE, EXAMPLE.parent / "02-alerts-to-roundup")
VERSIONS = (older.BEFORE_SCHEMA_6, older.SAME_SCHEMA, older.ENDS_SLOWLY)
LAYERS = ("crds", "core", "operator", "runtime", "cli", "tests")

WRITE = """
import sys
from intops_core.planning import encode_plan
from support.runtime.flows import example_manifests, make_plan
from pathlib import Path
sys.stdout.buffer.write(encode_plan(make_plan(example_manifests(Path(sys.argv[1])))))
"""
READ = """
import sys
from intops_core.planning import decode_plan
from intops_runtime.core.compiled import compile_plan
plan = compile_plan(decode_plan(sys.stdin.buffer.read())).plan
print(plan.flow.name, plan.hash)
"""
REPORT = """
import sys
from intops_api.report import FlowReport, PlanReport, StoreReport, RateReport, ConnectorReport, ReportFlow
plan = PlanReport(
    flow=ReportFlow(namespace="itsm", name="alerts"), active="abc", store=StoreReport(received=3, done=3),
    rates=RateReport(delivered_per_hour=3), variants={"prometheus": {"v4": 3}},
    connectors=[ConnectorReport(name="desk", connector="helpdesk", role="target", state="held")])
report = FlowReport(worker="w", started_at="2026-01-01T00:00:00Z", at="2026-01-01T00:00:00Z", plans=[plan])
print(report.model_dump_json(by_alias=True, exclude_none=True))
"""


def run(
    tree: Path, code: str, *arguments: str, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run code with the packages of another tree."""
    places = os.pathsep.join(str(tree / layer) for layer in LAYERS)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        input=given, capture_output=True, check=False, cwd=tree,
        env={**os.environ, "PYTHONPATH": places},
    )  # fmt: skip


def where(tree: Path) -> str:
    """Which packages such code gets."""
    done = run(tree, "import intops_api; print(intops_api.__file__)")
    return done.stdout.decode().strip()


@pytest.mark.parametrize("version", VERSIONS)
def test_f79_an_older_worker_runs_the_plans_of_this_operator(version: str) -> None:
    """F79: as long as nothing new is used, so that images may follow later."""
    tree = older.tree_of(version)
    assert where(tree).startswith(str(tree)), "the control: it is the older code"
    for example in EXAMPLES:
        plan = make_plan(example_manifests(example))

        done = run(tree, READ, given=encode_plan(plan))

        assert done.stdout.decode().split() == [plan.flow.name, plan.hash], done.stderr.decode()


@pytest.mark.parametrize("version", VERSIONS)
def test_f79_this_worker_runs_the_plans_of_an_older_operator(version: str) -> None:
    """F79: after a rollback of the operator the workers go on."""
    tree = older.tree_of(version)
    for example in EXAMPLES:
        done = run(tree, WRITE, str(tree / "examples" / example.name))

        assert done.returncode == 0, done.stderr.decode()
        assert decode_plan(done.stdout).flow.name == make_plan(example_manifests(example)).flow.name


@pytest.mark.parametrize("version", VERSIONS)
def test_f78_manifests_of_an_older_version_are_still_taken(version: str) -> None:
    """F78: nobody has to change a manifest for an upgrade."""
    tree = older.tree_of(version)
    for example in EXAMPLES:
        make_plan(example_manifests(tree / "examples" / example.name))


@pytest.mark.parametrize("version", VERSIONS)
def test_f79_this_operator_reads_the_reports_of_an_older_worker(version: str) -> None:
    """F79: until its image is there, too."""
    done = run(older.tree_of(version), REPORT)

    (plan,) = parse_report(done.stdout).plans
    assert (plan.active, plan.store.done, plan.connectors[0].state) == ("abc", 3, "held")


def test_a_plan_with_something_new_is_told_by_an_older_worker() -> None:
    """The control: a field that a version does not know is not passed over."""
    plan = make_plan(example_manifests())
    raw: dict[str, Any] = json.loads(plan.model_dump_json(by_alias=True, exclude_none=True))

    done = run(
        older.tree_of(older.ENDS_SLOWLY), READ,
        given=encode_plan(plan.model_copy(update={"hash": "changed"})),
    )  # fmt: skip
    assert done.stdout.decode().split()[1] == "changed"

    raw["pace"] = "slow"
    with pytest.raises(PlanError, match=r"plan\.pace"):
        decode_plan(_packed(raw))
    done = run(older.tree_of(older.ENDS_SLOWLY), READ, given=_packed(raw))
    assert "plan.pace" in done.stderr.decode()


def _packed(raw: dict[str, Any]) -> bytes:

    return gzip.compress(json.dumps(raw).encode())
