"""What a started plane has in memory: import contracts judge the text, these judge the process.

`make check` runs it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after one import statement."""
    script = f"{statement}\nimport json, sys\nprint(json.dumps([*sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_the_worker_starts_without_anything_of_kubernetes() -> None:
    """The runtime image holds no kopf and no Kubernetes client; a worker needs no API server."""
    loaded = modules_after("import intops_runtime.__main__")
    assert "intops_runtime" in loaded
    assert loaded & {"kopf", "kubernetes", "intops_operator", "intops_cli"} == set()


def test_the_operator_starts_without_the_data_plane() -> None:
    """The planes meet in data only; the operator image holds no store."""
    loaded = modules_after("import intops_operator.__main__")
    assert "intops_operator" in loaded
    # kopf loads the typed client where it finds one; the operator's own lock has none to find.
    lock = (ROOT / "constraints" / "operator.txt").read_text(encoding="utf-8")
    assert "\nkubernetes==" not in lock
    assert loaded & {"apsw", "intops_runtime", "intops_cli"} == set()


@pytest.mark.parametrize("module", ["intops_api.kinds", "intops_api.plan", "intops_api.report"])
def test_the_kinds_need_nothing_but_pydantic(module: str) -> None:
    """`pip install intops` without extras is enough for the models."""
    loaded = modules_after(f"import {module}")
    extras = {
        "aiohttp",
        "apsw",
        "cel_expr_python",
        "google",
        "kopf",
        "kubernetes",
        "orjson",
        "yaml",
    }
    assert loaded & extras == set()
