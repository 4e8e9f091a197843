"""What intops asks of Kubernetes is what docs/support.md says, and no more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from intops_operator.core.children import desired
from support.operator_facts import example_worker

TREE = Path(__file__).resolve().parents[3]
CHART = TREE / "helm" / "intops"
PAGE = (TREE / "docs" / "support.md").read_text(encoding="utf-8")

# Words that stand for a feature where they are keys or kinds. Older than everything supported: list types, int-or-
# string and preserved fields, which came with the first structural schemas.
FEATURES = {
    "x-kubernetes-validations": "1.29",
    "selectableFields": "1.32",
    "ValidatingAdmissionPolicy": "1.30",
    "matchConditions": "1.30",
    "sleep": "1.30",
    "PodDisruptionBudget": "1.21",
    "seccompProfile": "1.19",
}
AS_OLD_AS_KINDS = {
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-preserve-unknown-fields",
}
NEWER = {
    # Not used, and not to come in unseen: fields that an API server before 1.34 drops without a word.
    "trafficDistribution", "resizePolicy", "podReplacementPolicy", "fileKeyRef", "clusterTrustBundle",
    "MutatingAdmissionPolicy", "supplementalGroupsPolicy", "stopSignal", "maxUnavailableReplicas",
}  # fmt: skip


def words(value: Any) -> Iterator[str]:
    """Every key, and the kind, of a manifest."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from words(one)
        if isinstance(value.get("kind"), str):
            yield value["kind"]
    elif isinstance(value, list):
        for one in value:
            yield from words(one)


def used() -> set[str]:
    """What kinds, chart and children of a Flow name."""
    found: set[str] = set()
    for file in (TREE / "crds").glob("*.yaml"):
        found |= set(words(yaml.safe_load(file.read_text(encoding="utf-8"))))
    for child in desired(example_worker()):
        found |= set(words(child))
    for file in CHART.glob("templates/**/*.yaml"):
        if file.parent.name != "crds":  # the same as the kinds
            text = file.read_text(encoding="utf-8")
            found |= set(re.findall(r"^\s*(?:- )?([A-Za-z-]+):", text, re.MULTILINE))
            found |= set(re.findall(r"^kind: (\w+)", text, re.MULTILINE))
            found |= set(re.findall(r"[{,] ?([A-Za-z-]+):", text))
    return found


def minor(version: str) -> int:
    return int(version.split(".")[1])


def test_every_feature_that_is_used_is_documented_with_its_version() -> None:
    """A row of the table for each, with the same number."""
    rows = {line.split("|")[1].strip(): line.split("|")[3].strip() for line in PAGE.splitlines()
            if line.startswith("| ") and line.count("|") == 5}  # fmt: skip

    for feature in FEATURES.keys() & used():
        (since,) = [since for what, since in rows.items() if feature in what]
        assert since == FEATURES[feature], feature
    assert FEATURES.keys() <= used(), "what is no longer used is taken off the page"


def test_nothing_is_used_that_the_oldest_version_lacks() -> None:
    """The chart refuses clusters that are older than what it needs."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    oldest = chart["kubeVersion"].removeprefix(">=").removesuffix(".0-0")

    assert f"| Kubernetes | {oldest} and newer" in PAGE
    assert max(minor(since) for since in FEATURES.values()) <= minor(oldest)
    assert used() & NEWER == set()
    of_schemas = {word for word in used() if word.startswith("x-kubernetes-")}
    assert of_schemas <= AS_OLD_AS_KINDS | FEATURES.keys()


def test_the_table_of_features_can_be_broken() -> None:
    """The control: words are found where they stand."""
    assert {"sleep", "fileKeyRef"} <= set(words({"a": [{"sleep": {"fileKeyRef": 1}}]}))
    assert "MutatingAdmissionPolicy" in set(words([{"kind": "MutatingAdmissionPolicy"}]))
