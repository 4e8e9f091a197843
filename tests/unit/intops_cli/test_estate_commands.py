"""`intops impact`, `graph` and `complexity`: exit codes, what is read, and what a wrong use is told."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from intops_cli.__main__ import main
from intops_core.catalog import shipped
from support.conformance import EXAMPLE, Raw

CHATTY = '"a<b>&'


def ran(*words: str | Path) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(str(ended.value.code))


def mapping(change: Callable[[Raw], object]) -> str:
    """The example's first Mapping, changed, as it stands in a file."""
    (raw, *_) = yaml.safe_load_all((EXAMPLE / "mappings.yaml").read_text(encoding="utf-8"))
    change(raw)
    return yaml.safe_dump(raw)


def another_meaning(raw: Raw) -> None:
    raw["spec"]["fields"][0]["meaning"] = "Said in other words."


def no_fields(raw: Raw) -> None:
    raw["spec"]["fields"] = []


def no_severity(raw: Raw) -> None:
    raw["spec"]["fields"] = [r for r in raw["spec"]["fields"] if r["to"] != "severity"]
    raw["spec"]["examples"] = []


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda raw: None, 0, "Nothing changes"),
        (another_meaning, 0, "of which none would break"),
        (no_severity, 1, "A cluster would refuse Mapping/alertmanager-to-event. This reaches 1 Flow"),
        (no_fields, 1, "changed.yaml:"),
    ],
)  # fmt: skip
def test_the_exit_code_of_impact_stops_a_pipeline_only_where_something_breaks(
    change: Callable[[Raw], object],
    code: int,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same change as a file and as a folder."""
    file = tmp_path / "new" / "changed.yaml"
    file.parent.mkdir()
    file.write_text(mapping(change), encoding="utf-8")

    for given in (file, file.parent):
        assert ran("impact", EXAMPLE, "-f", given) == code
        told = capsys.readouterr()
        assert words in told.out + told.err


def test_what_changes_together_is_judged_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Flow that names a new Mapping and that Mapping may come in two files."""
    (flow,) = yaml.safe_load_all((EXAMPLE / "flow.yaml").read_text(encoding="utf-8"))
    flow["spec"]["roles"]["source"][0]["mapping"] = "renamed"
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump(flow), encoding="utf-8")
    (tmp_path / "mapping.yaml").write_text(
        mapping(lambda raw: raw["metadata"].update(name="renamed")), encoding="utf-8"
    )

    alone = ran("impact", EXAMPLE, "-f", tmp_path / "flow.yaml")
    told = capsys.readouterr().out
    both = ran("impact", EXAMPLE, "-f", tmp_path / "flow.yaml", "-f", tmp_path / "mapping.yaml")

    assert (alone, both) == (1, 0)
    assert 'Mapping "renamed" does not exist' in told


def test_impact_as_json_names_whom_to_ask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipeline can write to the owners of the Flows that would break."""
    (model,) = [r for r in shipped() if r["metadata"]["name"] == "event"]
    del model["spec"]["versions"][0]["fields"]["service"]
    (tmp_path / "event.yaml").write_text(yaml.safe_dump(model), encoding="utf-8")

    assert ran("impact", EXAMPLE, "-f", tmp_path, "-n", "itsm", "-o", "json") == 1

    found = json.loads(capsys.readouterr().out)
    (flow,) = found["flows"]
    assert (found["breaks"], found["refused"]) == (True, True)
    assert found["changes"][0]["findings"][0]["rule"] == "Compatibility"
    assert (flow["verdict"], flow["planThen"]) == ("breaks", None)
    assert flow["owner"]["contact"] == "service-desk@example.com"
    assert flow["flow"] == {"kind": "Flow", "namespace": "itsm", "name": "alerts-to-helpdesk"}
    assert found["changes"][0]["paths"][0][0] == {"kind": "CanonicalModel", "name": "event"}
    assert flow["findings"][0]["severity"] == "deny"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("impact", EXAMPLE), "-f FILE"),
        (("impact", EXAMPLE, "-f", "nowhere.yaml"), "nowhere.yaml does not exist"),
        (("impact", EXAMPLE, "--remove", "Mapping/nowhere"), "there is no such object"),
        (("impact", EXAMPLE, "--remove", "alertmanager-to-event"), "write KIND/NAME"),
        (("complexity", "nowhere"), "nowhere does not exist"),
        (("complexity", "--systems", "0"), "from 1 to"),
        (("graph", EXAMPLE, "-o", "table"), "invalid choice"),
    ],
)
def test_wrong_use_is_told_with_what_to_write(
    words: tuple[str | Path, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one sentence, no traceback."""
    assert ran(*words) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("command", ["complexity", "graph"])
def test_a_folder_without_a_flow_has_nothing_to_show(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer is no, with a sentence."""
    (tmp_path / "mapping.yaml").write_text(mapping(lambda raw: None), encoding="utf-8")

    assert ran(command, tmp_path) == 1
    assert "holds no Flow" in capsys.readouterr().err


def test_the_folder_is_the_current_one_unless_another_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a repository of manifests the commands need no argument."""
    monkeypatch.chdir(EXAMPLE)

    assert (ran("complexity"), ran("graph")) == (0, 0)
    assert "flowchart LR" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["mermaid", "dot", "svg", "json"])
def test_a_flow_that_could_not_run_is_drawn_all_the_same(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What leads nowhere is told beside the drawing, and odd words break no form."""
    (flow,) = yaml.safe_load_all((EXAMPLE / "flow.yaml").read_text(encoding="utf-8"))
    flow["spec"]["owner"]["team"] = CHATTY
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump(flow), encoding="utf-8")

    assert ran("graph", tmp_path, "-o", form) == 0

    drawn = capsys.readouterr()
    assert "spec.roles.source[0].connector" in drawn.err
    if form == "svg":
        assert CHATTY in "".join(ET.fromstring(drawn.out).itertext())
    elif form == "json":
        assert json.loads(drawn.out)["flows"][0]["owner"] == CHATTY
    else:
        assert {"mermaid": "(#quot;a#lt;b#gt;#amp;)", "dot": r"(\"a<b>&)"}[form] in drawn.out


@pytest.mark.parametrize(
    ("form", "trial", "back"),
    [
        ("mermaid", 's0 -.->|"trial: renamed"| f0_m0', 'f0_m1 -->|"back: incident-to-helpdesk"| s0'),
        ("dot", '[label="trial: renamed", style=dashed]', 'f0_m1 -> s0 [label="back: incident-to-helpdesk"'),
        ("svg", '<path class="arrow shadow"', ">back: incident-to-helpdesk</text>"),
        ("json", '"kind": "shadow"', '"kind": "back"'),
    ],
)  # fmt: skip
def test_a_trial_and_a_way_back_can_be_told_from_the_way_that_decides(
    form: str, trial: str, back: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both bear the name of their Mapping, and arrows point where data goes."""
    for name in ("connectors.yaml", "mappings.yaml"):
        shutil.copy(EXAMPLE / name, tmp_path / name)
    (flow,) = yaml.safe_load_all((EXAMPLE / "flow.yaml").read_text(encoding="utf-8"))
    flow["spec"]["roles"]["source"][0] |= {
        "shadow": "renamed",
        "reverseMapping": "incident-to-helpdesk",
    }
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump(flow), encoding="utf-8")
    (tmp_path / "renamed.yaml").write_text(
        mapping(lambda raw: raw["metadata"].update(name="renamed")), encoding="utf-8"
    )

    assert ran("graph", tmp_path, "-o", form) == 0

    drawn = capsys.readouterr().out
    assert trial in drawn
    assert back in drawn


def test_a_flow_whose_pattern_is_missing_is_an_empty_box(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is known of its models; the drawing still names it."""
    (flow,) = yaml.safe_load_all((EXAMPLE / "flow.yaml").read_text(encoding="utf-8"))
    flow["spec"]["pattern"] = "nowhere"
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump(flow), encoding="utf-8")

    for form in ("mermaid", "dot", "svg", "json"):
        assert ran("graph", tmp_path, "-o", form) == 0
        assert "alerts-to-helpdesk" in capsys.readouterr().out
    assert ran("complexity", tmp_path) == 0
    assert "No Flow moves data" in capsys.readouterr().out
