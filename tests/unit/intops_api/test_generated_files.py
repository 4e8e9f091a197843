"""CRDs, their copies in the chart and the reference pages say what the models say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from intops_api.conditions import ConditionType, Reason
from intops_api.kinds import KINDS, Kind
from intops_api.schema import generate

TREE = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def made() -> dict[Path, str]:
    """Every generated file; making them takes a second."""
    return generate.outputs()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with freshly generated files."""
    (tmp_path / "crds" / "intops_api").mkdir(parents=True)
    assert generate.main(["--root", str(tmp_path)]) == 0
    return tmp_path


def test_generated_files_are_fresh() -> None:
    """Whoever changes a model has run `make generate`."""
    assert generate.stale(TREE) == []


def test_a_fresh_tree_passes_the_check(tree: Path) -> None:
    """Generating and checking agree."""
    assert generate.main(["--check", "--root", str(tree)]) == 0


@pytest.mark.parametrize("damage", ["changed", "deleted", "left over"])
def test_a_stale_tree_is_told_what_to_run(
    tree: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed, missing or left-over file fails the check with the command that repairs it."""
    page = tree / "crds" / "intops.io_flows.yaml"
    if damage == "changed":
        page.write_text(page.read_text() + "# by hand\n")
    elif damage == "deleted":
        page.unlink()
    else:
        page = tree / "crds" / "intops.io_nothings.yaml"
        page.write_text("{}")

    assert generate.main(["--check", "--root", str(tree)]) == 1
    said = capsys.readouterr().err
    assert f"crds/{page.name}" in said
    assert "make generate" in said

    assert generate.main(["--root", str(tree)]) == 0
    assert generate.main(["--check", "--root", str(tree)]) == 0


def test_generating_outside_the_source_tree_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written into a directory that is not the source tree."""
    assert generate.main(["--root", str(tmp_path)]) == 1
    assert "is not the root of the source tree" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_crd_in_the_chart_survives_uninstalling(made: dict[Path, str], kind: Kind) -> None:
    """The chart's copy is the same CRD, kept by Helm, and can be left out."""
    plain = yaml.safe_load(made[generate.CRDS / generate.crd_file(kind)])
    first, *lines, last = made[generate.CHART / "crds" / f"{kind.plural}.yaml"].splitlines()[1:]
    copy = yaml.safe_load("\n".join(lines).replace('{{ "{{" }}', "{{"))

    assert (first, last) == ("{{- if .Values.crds.install }}", "{{- end }}")
    assert copy["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert copy == plain


def test_the_conditions_page_lists_every_reason(made: dict[Path, str]) -> None:
    """No reason and no condition of a Flow is undocumented."""
    page = made[generate.REFERENCE / "conditions.md"]

    assert [word for word in (*Reason, *ConditionType) if f"`{word}`" not in page] == []
