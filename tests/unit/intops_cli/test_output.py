"""How answers look."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from intops_api.kinds import FLOW
from intops_cli.columns import object_table, value_at
from intops_cli.output import Table, age, render, show, uses_colour

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TABLE = Table(["NAME", "READY", "OWNER"], [["a", "True", "x"], ["long", "", "y"]], wide_from=2)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that wants colour, whoever runs the test."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_columns_stand_three_spaces_apart_as_those_of_kubectl() -> None:
    """Tools that cut kubectl's tables cut these too; no line ends in spaces."""
    assert render(TABLE.cut(wide=False)) == "NAME   READY\na      True\nlong"
    assert render(TABLE.cut(wide=True)).splitlines()[0] == "NAME   READY   OWNER"


def test_colour_marks_states_and_changes_no_width() -> None:
    """Only True, False and Unknown are coloured, never a heading."""
    lines = render(TABLE.cut(wide=True), colour=True).splitlines()

    assert lines == ["NAME   READY   OWNER", "a      \x1b[32mTrue \x1b[0m   x", "long           y"]


@pytest.mark.parametrize(
    ("stream", "variable", "wanted"),
    [
        (Terminal(), None, True), (io.StringIO(), None, False), (Terminal(), ("NO_COLOR", "1"), False),
        (Terminal(), ("NO_COLOR", ""), False), (Terminal(), ("TERM", "dumb"), False),
    ],
    ids=["a terminal", "a file", "NO_COLOR", "NO_COLOR empty", "a dumb terminal"],
)  # fmt: skip
def test_colour_is_for_terminals_that_want_it(
    stream: io.StringIO,
    variable: tuple[str, str] | None,
    wanted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pipe never gets terminal codes; NO_COLOR is obeyed whatever its value is."""
    if variable is not None:
        monkeypatch.setenv(*variable)

    assert uses_colour(stream) is wanted


def test_json_and_yaml_are_the_same_data() -> None:
    """A script may choose."""
    data = {"kind": "FlowList", "items": [{"a": "ü", "n": None}]}
    as_json, as_yaml = io.StringIO(), io.StringIO()

    show(data, TABLE, "json", stream=as_json)
    show(data, TABLE, "yaml", stream=as_yaml)

    assert json.loads(as_json.getvalue()) == yaml.safe_load(as_yaml.getvalue()) == data


def test_an_empty_table_says_so_beside_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output stays empty for scripts."""
    show([], Table(["A"], []), "table")

    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "Nothing found.\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (172_800, "2d"),
        (-5, "0s"),
    ],
)
def test_ages_are_written_as_kubectl_does(seconds: int, text: str) -> None:
    """A clock that is a little ahead gives no negative age."""
    stamp = (NOW - timedelta(seconds=seconds)).isoformat()

    assert age(stamp, NOW) == text


def test_a_table_of_flows_takes_cells_from_the_status() -> None:
    """The columns are those of the CRD; what is not known is empty."""
    flow = {
        "metadata": {"name": "f", "creationTimestamp": "2026-11-25T12:00:00Z"},
        "spec": {"pattern": "event-to-incident"},
        "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "SecretMissing"}]},
    }

    table = object_table(FLOW, [flow], ages=False)
    row = dict(zip(table.headings, table.rows[0], strict=True))

    assert (row["NAME"], row["READY"], row["REASON"]) == ("f", "False", "SecretMissing")
    assert row["PATTERN"] == "event-to-incident"
    assert "AGE" not in row


@pytest.mark.parametrize(
    ("path", "value"),
    [(".a.b", 1), (".a.none.c", None), (".l[*].n", [1, 2]), ('.l[?(@.n=="2")].m', None)],
)
def test_printer_column_paths_are_followed(path: str, value: object) -> None:
    """The forms of path that the kinds use, and no error for what is absent."""
    assert value_at({"a": {"b": 1}, "l": [{"n": 1}, {"n": 2, "m": 3}]}, path) == value
