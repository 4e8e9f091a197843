"""`intops diff`: exit codes, what a folder is compared with, and what is never printed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from intops_cli.__main__ import main
from intops_cli.project import lay_over, shipped_resources
from intops_core.acceptance import order_of
from intops_core.impact import impact
from support.conformance import EXAMPLE, REPOSITORY

ESTATE = REPOSITORY / "tests" / "golden" / "estate" / "more.yaml"

SECRET = """\
---
apiVersion: v1
kind: Secret
metadata: {name: helpdesk-token}
stringData: {token: Opensesame1}
"""


def ran(*words: str | Path) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(str(ended.value.code))


def folder(place: Path, *changes: tuple[str, str, str]) -> Path:
    """The first example with texts replaced: file, old, new."""
    place.mkdir()
    for name in ("connectors.yaml", "flow.yaml", "mappings.yaml"):
        shutil.copy(EXAMPLE / name, place / name)
    for name, old, new in changes:
        text = (place / name).read_text(encoding="utf-8")
        assert old in text, old
        (place / name).write_text(text.replace(old, new), encoding="utf-8")
    return place


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        pytest.param((), 0, "Nothing differs", id="nothing"),
        pytest.param(
            (("flow.yaml", "within: 60s", "within: 90s"),), 0, "of which none would break", id="sound",
        ),
        pytest.param(
            (("mappings.yaml", "page: critical", "page: major"),), 1,
            "A cluster would refuse Mapping/alertmanager-to-event", id="refused",
        ),
        pytest.param(
            (("connectors.yaml", "name: helpdesk\n", "name: desk\n"),), 1, "1 would break", id="gone",
        ),
        pytest.param((("flow.yaml", "roles:", "rolls:"),), 1, "flow.yaml:10: deny", id="no shape"),
    ],
)  # fmt: skip
def test_the_exit_code_of_diff_is_that_of_impact(
    changes: tuple[tuple[str, str, str], ...],
    code: int,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A pipeline stops where something that works would not."""
    new, old = folder(tmp_path / "new", *changes), folder(tmp_path / "old")

    assert ran("diff", new, "--against", old) == code

    told = capsys.readouterr()
    assert words in told.out + told.err


def test_what_is_only_in_the_other_folder_would_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both folders are whole estates, so nobody needs to say so."""
    old, new = folder(tmp_path / "old"), folder(tmp_path / "new")
    (new / "flow.yaml").unlink()

    assert ran("diff", new, "--against", old, "-o", "json") == 0

    told = json.loads(capsys.readouterr().out)
    assert [(one["object"]["name"], one["what"]) for one in told["objects"]] == [
        ("alerts-to-helpdesk", "removed")
    ]
    assert [one["verdict"] for one in told["impact"]["flows"]] == ["ends"]


def test_a_value_of_a_secret_in_either_folder_is_never_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever copies a credential into a field reads that something differs, and not what."""
    new = folder(
        tmp_path / "new",
        ("connectors.yaml", "queue: Incidents", "queue: Opensesame1"),
    )
    old = folder(tmp_path / "old")
    with (old / "connectors.yaml").open("a", encoding="utf-8") as file:
        file.write(SECRET)

    for form in ("table", "wide", "json", "yaml"):
        assert ran("diff", new, "--against", old, "-o", form) == 0
        told = capsys.readouterr()
        assert "spec.config.queue" in told.out
        assert "Opensesame1" not in told.out + told.err


def with_the_estate(place: Path, *changes: tuple[str, str, str]) -> Path:
    """The example and the estate beside it, changed."""
    folder(place)
    shutil.copy(ESTATE, place / "more.yaml")
    for name, old, new in changes:
        text = (place / name).read_text(encoding="utf-8")
        assert old in text, old
        (place / name).write_text(text.replace(old, new), encoding="utf-8")
    return place


ANOTHER_OBJECT = (
    ("more.yaml", "    item: {fields:", "    part: {fields:"),
    ("more.yaml", "      object: item", "      object: part"),
)


def test_a_change_that_no_order_can_apply_stops_the_pipeline_though_it_is_sound_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Admission sees one object at a time: class and Mapping are each refused without the other."""
    old = with_the_estate(tmp_path / "old")
    mapping = ("more.yaml", "{class: inventory, object: item}", "{class: inventory, object: part}")
    new = with_the_estate(tmp_path / "new", *ANOTHER_OBJECT, mapping)

    assert ran("diff", new, "--against", old) == 1

    told = capsys.readouterr().out
    assert (
        "ConnectorClass/inventory: refused, because it breaks 1 Flow, whatever of this change is applied first"
        in told
    )
    assert "of which none would break" in told


def test_a_break_that_an_annotation_accepts_lets_the_pipeline_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hash is that of the refusal; any other stops it as before."""
    old = with_the_estate(tmp_path / "old")
    new = with_the_estate(tmp_path / "new", *ANOTHER_OBJECT)
    sides = [shipped_resources(), shipped_resources()]
    for side, place in zip(sides, (old, new), strict=True):
        lay_over(place, side, namespace="default")
    (each,) = order_of(*sides, impact(*sides)).acceptances

    def annotated(name: str, value: str) -> Path:
        meta = f'{{name: inventory, annotations: {{intops.io/accept-impact: "{value}"}}}}'
        return with_the_estate(
            tmp_path / name, *ANOTHER_OBJECT, ("more.yaml", "{name: inventory}", meta)
        )

    codes = [
        ran("diff", place, "--against", old)
        for place in (new, annotated("other", "0" * 16), annotated("right", each.broken.hash))
    ]

    assert codes == [1, 1, 0]
    assert "ConnectorClass/inventory: what it breaks is accepted" in capsys.readouterr().out


def test_a_broken_manifest_of_the_other_folder_stops_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands there may be what this change mends."""
    new = folder(tmp_path / "new")
    old = folder(tmp_path / "old", ("flow.yaml", "roles:", "rolls:"))

    assert ran("diff", new, "--against", old) == 0

    told = capsys.readouterr()
    assert "is compared without these" in told.err
    assert "Flow/alerts-to-helpdesk   added" in told.out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("diff", "nowhere", "--against", EXAMPLE), 2, "nowhere does not exist"),
        (("diff", EXAMPLE, "--against", "nowhere"), 2, "nowhere does not exist"),
        (("diff", EXAMPLE, "--kubeconfig", "nowhere"), 3, "No cluster can be reached"),
    ],
)
def test_what_is_not_there_is_told_without_a_traceback(
    words: tuple[str | Path, ...], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit codes are those of every command."""
    assert ran(*words) == code
    assert told in capsys.readouterr().err
