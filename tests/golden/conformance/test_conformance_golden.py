"""Folders of manifests in, findings out, word by word.

After a wanted change of a sentence, run `python tests/golden/conformance/test_conformance_golden.py` and read
the difference.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))

import pytest

from intops_core.conformance import judge
from intops_core.resources import Resource, parse_resource
from support.conformance import catalogue_and_example, read

CASES = sorted(folder for folder in HERE.iterdir() if (folder / "findings.txt").exists())


def findings_of(folder: Path) -> str:
    resources = catalogue_and_example()
    raws = [raw for file in sorted(folder.glob("*.yaml")) for raw in read(file)]
    own = [parse_resource(raw) for raw in raws]
    for resource in own:
        if isinstance(resource, Resource):
            resources.add(resource)
    lines = []
    for resource, raw in zip(own, raws, strict=True):
        lines.append(f'{raw["kind"]} "{raw["metadata"].get("name", "")}"')
        found = judge(resource, resources) if isinstance(resource, Resource) else resource
        lines += [
            f"  {f.severity} {f.rule} {f.path}{' (missing)' if f.missing else ''}\n    {f.message}"
            for f in found
        ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("folder", [pytest.param(folder, id=folder.name) for folder in CASES])
def test_a_folder_of_manifests_gives_these_findings(folder: Path) -> None:
    """Rule, severity, field and sentence of every finding are what people were promised."""
    assert findings_of(folder) == (folder / "findings.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    for case in sorted(entry for entry in HERE.iterdir() if any(entry.glob("*.yaml"))):
        (case / "findings.txt").write_text(findings_of(case), encoding="utf-8")
