"""What the operator asks kopf for: raw events of our own kinds and of its children, and nothing about Secrets."""

from __future__ import annotations

import ast
from pathlib import Path

OPERATOR = Path(__file__).parents[2] / "operator" / "intops_operator"
# Each of these writes annotations or finalizers onto objects of people, or copies them into one.
WRITING = {
    "create",
    "update",
    "resume",
    "delete",
    "field",
    "timer",
    "daemon",
    "index",
    "validate",
    "mutate",
}


def uses_of_kopf() -> dict[str, set[str]]:
    """Attributes of kopf and of kopf.on that a file uses, by file."""
    found: dict[str, set[str]] = {}
    for file in OPERATOR.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                path = ast.unparse(node)
                if path.startswith("kopf."):
                    found.setdefault(file.name, set()).add(path)
    return found


def test_s38_s58_nothing_is_written_onto_objects_of_people_by_kopf() -> None:
    """Only raw events are asked for, so no object is copied into an annotation, and none grows."""
    used = {path for paths in uses_of_kopf().values() for path in paths}

    assert "kopf.on.event" in used
    assert [path for path in used if path.rpartition(".")[2] in WRITING] == []


def test_s33_s38_no_file_of_the_operator_but_that_of_its_certificate_asks_for_secrets() -> None:
    """One reads its certificate, one says where the API server has them; a pool notes names of those it mounts."""
    naming = {
        file.relative_to(OPERATOR).as_posix()
        for file in OPERATOR.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in ("secrets", "Secret")
    }
    known = {"edges/certificates.py", "edges/apiserver.py", "core/children/pool.py"}
    assert naming == known
