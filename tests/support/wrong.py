"""The wrong manifests, one fault each, with their corrected twins, and what they are judged against.

They stand in examples/invalid (twins in `corrected/`), and in tests/golden/wrong where they need objects that
no reader of the examples has; there the second document of a file is the correction: `fix`, a map of paths
such as `spec/routes/0/when` to values, where null removes.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from intops_core.conformance import judge
from intops_core.findings import Finding
from intops_core.resources import Resources, parse_resource
from support.conformance import NAMESPACE, REPOSITORY, Raw, manifests, parsed, read

EXAMPLES = REPOSITORY / "examples" / "invalid"
GOLDEN = REPOSITORY / "tests" / "golden" / "wrong"
WORLD = GOLDEN / "world" / "world.yaml"
SENTENCES = GOLDEN / "sentences.txt"
# Refused by a policy of the cluster that knows who asks; nobody else can know.
NEEDS_THE_USER = frozenset({"action-in-another-name"})


@dataclass(frozen=True, slots=True)
class Wrong:
    """One wrong manifest and its twin, in the namespace of the tests."""

    name: str
    manifest: Raw
    twin: Raw


@dataclass(frozen=True, slots=True)
class Promise:
    """The one refusal that people were promised for a wrong manifest."""

    rule: str
    path: str
    message: str


def wrong_manifests() -> list[Wrong]:
    """All of them, by name."""
    found = [_example(file) for file in EXAMPLES.glob("*.yaml") if file.stem not in NEEDS_THE_USER]
    found += [_golden(file) for file in GOLDEN.glob("*.yaml")]
    return sorted(found, key=lambda wrong: wrong.name)


def world() -> Resources:
    """Catalogue, first example, and what the wrong manifests name beside them."""
    resources = Resources()
    for raw in [*manifests(), *read(WORLD)]:
        resources.add(parsed(raw))
    return resources


def sentences() -> dict[str, str]:
    """The text of sentences.txt, by manifest."""
    parts = re.split(r"^(?=\S+: )", SENTENCES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {part.partition(": ")[0]: part for part in parts if part}


def promises() -> dict[str, Promise]:
    """sentences.txt as values, by manifest."""
    found = {}
    for name, text in sentences().items():
        head, message = text.rstrip("\n").split("\n  ")
        rule, path = head.removeprefix(f"{name}: ").split(" ")
        found[name] = Promise(rule, path, message)
    return found


def denials(raw: Raw, resources: Resources) -> list[Finding]:
    """What `intops validate` refuses a manifest for."""
    resource = parse_resource(copy.deepcopy(raw))
    found = resource if isinstance(resource, list) else judge(resource, resources)
    return [finding for finding in found if finding.severity == "deny"]


def _example(file: Path) -> Wrong:
    (wrong,), (twin,) = read(file), read(file.parent / "corrected" / file.name)
    return Wrong(file.stem, wrong, twin)


def _golden(file: Path) -> Wrong:
    _, correction = yaml.safe_load_all(file.read_text(encoding="utf-8"))
    (placed,) = read(file)
    assert placed["metadata"].get("namespace", NAMESPACE) == NAMESPACE
    twin = copy.deepcopy(placed)
    for path, value in correction["fix"].items():
        _put(twin, path, value)
    assert twin != placed, file.name
    return Wrong(file.stem, placed, twin)


def _put(document: Raw, path: str, value: Any) -> None:
    *above, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place: Any = document
    for part in above:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
