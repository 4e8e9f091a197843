"""`intops new`: any payload gives a draft that validate understands, and a filled draft runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intops_cli.__main__ import main
from intops_cli.project import open_project
from intops_core.drafts.marks import MARK
from intops_core.drafts.masking import masked

SAMPLES = Path(__file__).resolve().parents[2] / "golden" / "new" / "samples"
# Names that match fields of the model, and names and values that readers stumble over.
NAMES = st.sampled_from(
    [
        "id",
        "status",
        "severity",
        "title",
        "host",
        "startsAt",
        "labels",
        "alerts",
        "data",
        "payload",
        "version",
        "message",
        "in",
        "true",
        "a.b",
        "a-b",
        "x`y",
        "FILL-IN",
        "to",
        "from",
        "1",
        "é",
    ]
) | st.text(max_size=6)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["firing", "RESOLVED", "critical", "2026-11-23T20:23:39Z", "1795378419", "https://a.example.com/x",
         "db01:9100", "FILL-IN", "# no comment",
         "a: b", "'\"", "{{x}}", "- a", "\ud800", "\u2028", "4", "no", "~", "%"]
    )
)  # fmt: skip
JSON = st.recursive(
    VALUES,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=5),
    max_leaves=25,
)
PAYLOADS = st.dictionaries(NAMES, JSON, min_size=1, max_size=8) | st.lists(
    st.dictionaries(NAMES, JSON, min_size=1, max_size=4), min_size=1, max_size=3
)


def ran(*words: str | Path) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(str(ended.value.code))


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(payload=PAYLOADS)
def test_whatever_a_tool_sends_validate_asks_only_for_what_is_marked(
    payload: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Class and Mapping of any JSON are YAML, and nothing about them is wrong but the marks."""
    folder = tmp_path_factory.mktemp("draft")
    sample = folder / "sample.json"
    sample.write_text(
        json.dumps(payload, allow_nan=False, default=str) if _finite(payload) else "{}",
        encoding="utf-8",
    )
    out = folder / "out"

    made = ran("new", "connector-class", "tool", "--from-sample", sample, "-o", out)
    if made != 0:
        assert made == 2
        assert not out.exists()
        return
    mapped = ran(
        "new", "mapping", "tool-to-event", "--from-sample", sample, "--class", "tool", "-o", out
    )

    assert mapped == 0
    project = open_project(out, namespace="default")
    assert [f.sentence() for f in project.findings if f.finding.rule != "Draft"] == []
    for file in out.glob("*.yaml"):
        assert yaml.safe_load(file.read_text(encoding="utf-8"))["metadata"]["name"].startswith(
            "tool"
        )


def _finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def test_a_second_tool_runs_after_its_marks_are_filled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From two payloads to a Flow whose examples and case hold: only marked lines were written by hand."""
    folder = tmp_path / "shop"
    samples = [SAMPLES / "metrics-01.json", SAMPLES / "metrics-02.json"]
    with_samples = [word for sample in samples for word in ("--from-sample", sample)]
    who = ("--team", "shop", "--contact", "shop@example.com")
    desk = ("--endpoint", "https://desk.example.com")
    assert ran("new", "connector-class", "shop-metrics", *with_samples, "-o", folder) == 0
    assert ran("new", "connector", "shop", "--class", "shop-metrics", *who, "-o", folder) == 0
    assert (
        ran("new", "connector", "desk", "--class", "request-tracker", *desk, *who, "-o", folder)
        == 0
    )
    assert ran(
        "new", "mapping", "shop-to-event", "--class", "shop-metrics", *with_samples, *who, "-o", folder
    ) == 0  # fmt: skip
    assert ran(
        "new", "flow", "shop-to-desk", "--source", "shop", "--target", "desk", *who, "-o", folder
    ) == 0  # fmt: skip
    _add_case(folder, samples)

    assert ran("test", folder) == 1
    asked = capsys.readouterr().err
    assert "spec.config.queue" in asked
    assert "spec.reviewBy" in asked
    _fill(
        folder,
        {
            "queue": "Incidents",
            "reviewBy": '"2027-04-30"',
            "escalation": "head@example.com",
            "assignmentGroup": "Incidents",
            "token": "x" * 32,
        },
    )

    assert ran("validate", folder) == 0
    assert capsys.readouterr().out == ""
    assert ran("test", folder) == 0
    assert "2 of 2 hold." in capsys.readouterr().err


def _add_case(folder: Path, samples: list[Path]) -> None:
    """What people would write as well: a case with both payloads."""
    for name in ("cases", "samples"):
        (folder / name).mkdir()
    for sample in samples:
        (folder / "samples" / sample.name).write_bytes(sample.read_bytes())
    case = {
        "name": "an alert becomes a ticket, and its recovery resolves it",
        "flow": "shop-to-desk",
        "source": "shop",
        "deliver": [f"samples/{sample.name}" for sample in samples],
        "requests": [
            {"operation": "create", "body": {"Subject": "CPU is high on web-3"}},
            {"operation": "transition", "body": {"Status": "resolved"}},
        ],
    }
    (folder / "cases" / "case.yaml").write_text(yaml.safe_dump([case]), encoding="utf-8")


def _fill(folder: Path, values: dict[str, str]) -> None:
    """Each mark replaced by the value for its field; what is not asked for is not touched."""
    for file in folder.glob("*.yaml"):
        text = re.sub(
            rf"(\w+): {MARK}",
            lambda found: f"{found[1]}: {values[found[1]]}",
            file.read_text("utf-8"),
        )
        file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"   \n", "is empty"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "is HTML or XML"),
        (b'{"a": 1,}', "this is not JSON"),
        (b"\xff\xfe{}", "is not UTF-8"),
        (b"[" * 5000 + b"]" * 5000, "nest"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nests deeper than 32"),
        (b'"text"', "is a single value"),
        (b"{}", "is an empty object"),
        (b"[1, 2]", "holds no message"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": "' + b"x" * (10 * 2**20) + b'"}', "more than 1,048,576 bytes"),
    ],
    ids=["empty", "blank", "html", "broken", "not-utf-8", "endless", "deep", "scalar", "no-field", "numbers", "nan",
         "ten-megabytes"],
)  # fmt: skip
def test_what_is_no_payload_is_refused_in_one_sentence(
    data: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is named, and what to save instead; nothing is written."""
    sample = tmp_path / "sample.json"
    sample.write_bytes(data)

    assert (
        ran("new", "connector-class", "tool", "--from-sample", sample, "-o", tmp_path / "out") == 2
    )

    said = capsys.readouterr().err
    assert told in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_there_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only with --force: what people changed is worth more than a draft."""
    words = ("new", "connector", "desk", "--class", "servicenow", "-o", tmp_path)
    file = tmp_path / "desk.connector.yaml"
    assert ran(*words) == 0
    file.write_text(
        file.read_text("utf-8").replace(f"endpoint: {MARK}", "endpoint: https://d.example.com"),
        "utf-8",
    )
    changed = file.read_text("utf-8")

    assert ran(*words) == 1
    assert file.read_text("utf-8") == changed
    assert "add --force" in capsys.readouterr().err

    assert ran(*words, "--force") == 0
    assert file.read_text("utf-8") != changed


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (
            ("mapping", "m", "--class", "alertmanger", "--from-sample", "x"),
            1,
            'Did you mean "alertmanager"?',
        ),
        (("mapping", "m", "--from-sample", "x"), 2, "name it with --class"),
        (("mapping", "m", "--class", "alertmanager"), 2, "--from-sample"),
        (
            ("mapping", "m", "--class", "alertmanager", "--model", "evnt", "--from-sample", "x"),
            1,
            '"event"',
        ),
        (
            ("mapping", "m", "--class", "jira", "--from-model", "incident", "--model", "event"),
            2,
            "neither --model",
        ),
        (
            ("mapping", "m", "--class", "alertmanager", "--object", "alrt", "--from-sample", "x"),
            1,
            '"alert"',
        ),
        (("flow", "f", "--pattern", "event-to-incidents"), 1, '"event-to-incident"'),
        (("connector", "Bad_Name", "--class", "jira"), 2, "lower-case"),
        (("connector-class", "c", "--from-sample", "gone.json"), 2, "gone.json cannot be read"),
    ],
)
def test_what_is_not_known_is_told_with_what_is(
    words: tuple[str, ...], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt name costs a second and no search."""
    assert ran("new", *words) == code
    assert told in capsys.readouterr().err


def test_a_sample_may_come_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a captured body can be piped."""
    with (SAMPLES / "bare.json").open(encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert ran("new", "connector-class", "oven", "--from-sample", "-") == 0
    assert "oven.number: {type: integer}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["servicenow", "jira", "request-tracker", "roundup"])
def test_the_way_to_a_shipped_desk_needs_only_an_owner(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its class carries a Mapping, whose examples hold for the copy."""
    who = ("--team", "desk", "--contact", "desk@example.com")
    assert (
        ran(
            "new",
            "mapping",
            "to-desk",
            "--class",
            name,
            "--from-model",
            "incident",
            *who,
            "-o",
            tmp_path,
        )
        == 0
    )
    assert ran("test", tmp_path) == 0


def test_a_desk_without_a_mapping_is_matched_by_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fields, states and lengths are found; the word for a state that the desk lacks is asked for."""
    fields = {
        "external_id": {"type": "string", "required": True, "searchable": True},
        "subject": {"type": "string", "required": True, "maxLength": 80},
        "status": {
            "type": "string",
            "required": True,
            "enum": ["New", "In progress", "Resolved", "Canceled"],
        },
        "urgency": {"type": "string", "enum": ["High", "Medium", "Low"]},
        "site": {"type": "string", "required": True},
    }
    class_: dict[str, Any] = {
        "apiVersion": "intops.io/v1alpha1",
        "kind": "ConnectorClass",
        "metadata": {"name": "shelf"},
        "spec": {"displayName": "Shelf", "objects": {"case": {"fields": fields}}},
    }
    (tmp_path / "class.yaml").write_text(yaml.safe_dump(class_), encoding="utf-8")
    assert (
        ran(
            "new",
            "mapping",
            "to-shelf",
            "--class",
            "shelf",
            "--from-model",
            "incident",
            "-o",
            tmp_path,
        )
        == 0
    )

    raw = yaml.safe_load((tmp_path / "to-shelf.mapping.yaml").read_text("utf-8"))
    rules = {rule["to"]: rule for rule in raw["spec"]["fields"]}
    assert rules["external_id"]["from"] == "correlationKey"
    assert "substring(0, 77)" in rules["subject"]["cel"]
    assert rules["status"]["values"]["in_progress"] == "In progress"
    assert rules["status"]["values"]["cancelled"] == "Canceled"
    assert rules["status"]["values"]["on_hold"] == MARK
    assert rules["urgency"]["values"] == {"high": "High", "medium": "Medium", "low": "Low"}
    assert rules["site"]["from"] == MARK
    assert ran("validate", tmp_path) == 1
    told = capsys.readouterr().out
    assert all(" deny Draft " in line for line in told.splitlines())


def test_a_key_of_a_secret_that_nobody_has_filled_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Secret is judged by nobody else, and FILL-IN would be sent as a password."""
    who = ("--team", "desk", "--contact", "desk@example.com", "--endpoint", "https://d.example.com")
    assert ran("new", "connector", "desk", "--class", "servicenow", *who, "-o", tmp_path) == 0
    assert ran("validate", tmp_path) == 0
    told = capsys.readouterr().out
    assert "warn Draft stringData.username" in told
    assert "warn Draft stringData.password" in told


@pytest.mark.parametrize(
    "read",
    [
        lambda secret: {"password": secret},
        lambda secret: {"headers": {"X-Api-Key": secret}},
        lambda secret: {"credentials": [{"a": {"b": secret}}]},
        lambda secret: {"headers": [{"name": "Authorization", "value": secret}]},
        lambda secret: {"text": f"login failed with password={secret} on db01"},
        lambda secret: {"url": f"https://x.example.com/a?b=1&access_token={secret}#c"},
        lambda secret: {"url": f"https://admin:{secret}@x.example.com/a"},
        lambda secret: {"note": f"sent Bearer {secret}"},
        lambda secret: {"by": f"{secret}@corp.example.com"},
        lambda secret: {f"{secret}@corp.example.com": 1},
    ],
)  # fmt: skip
def test_secrets_and_mail_addresses_of_a_sample_are_masked(read: Callable[[str], Any]) -> None:
    """Wherever they stand: in a field of their own, in a list of headers, in an address, in a sentence, in a name."""
    assert "s3cr3ts3cr3t" not in json.dumps(masked(read("s3cr3ts3cr3t")))
