"""What README and docs tell people to type exists, and every example holds."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from intops_api.names import CAPTURE_PATH
from intops_cli.__main__ import main, parser
from intops_cli.manifests import read_folder

TREE = Path(__file__).resolve().parents[3]
PAGES = [TREE / "README.md", *sorted((TREE / "docs").glob("*.md"))]
EXAMPLES = sorted(
    folder
    for folder in (TREE / "examples").iterdir()
    if folder.is_dir() and folder.name != "invalid"
)

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Programs of others; of their arguments only what lies in this tree is looked at.
_OTHERS = {"helm", "kubectl", "git", "curl", "docker", "podman", "cd"}
_FOLDERS = tuple(f"{path.name}/" for path in TREE.iterdir() if path.is_dir())


def blocks(language: str) -> list[Any]:
    found = [
        pytest.param(match[2], id=f"{page.name}:{text.count(chr(10), 0, match.start()) + 1}")
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for match in _BLOCK.finditer(text)
        if match[1] == language
    ]
    assert found, f"no page has a block of {language}"
    return found


def commands(block: str) -> Iterator[list[str]]:
    """Words of each command of a block, without comments."""
    for line in block.replace("\\\n", " ").splitlines():
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words:
                yield words


def wrong(words: list[str]) -> str | None:
    """What a command names that does not exist; None where all of it does."""
    program, *arguments = words
    match program:
        case "make":
            lines = (TREE / "Makefile").read_text(encoding="utf-8")
            missing = [a for a in arguments if "=" not in a and f"\n{a}:" not in lines]
            return f"no target {missing}" if missing else None
        case "intops" | ".venv/bin/intops":
            try:
                parser().parse_args(arguments)
            except SystemExit:
                return f"`intops {shlex.join(arguments)}` is wrong use"
        case _ if program not in _OTHERS:
            return f"no program {program}"
    paths = [a for a in arguments if a.startswith(_FOLDERS)]
    gone = [path for path in paths if not (TREE / path).exists()]
    return f"no file {gone}" if gone else unknown_values(words)


def unknown_values(words: list[str]) -> str | None:
    """Values that a `helm --set` sets and the chart does not have."""
    values = yaml.safe_load((TREE / "helm/intops/values.yaml").read_text(encoding="utf-8"))
    for flag, text in pairwise(words):
        if flag == "--set":
            place: Any = values
            for part in text.partition("=")[0].split("."):
                if not isinstance(place, dict) or part not in place:
                    return f"the chart has no value {text}"
                place = place[part]
    return None


@pytest.mark.parametrize("block", blocks("sh"))
def test_every_command_that_is_told_exists(block: str) -> None:
    """Whoever copies a command from a page gets what the page says."""
    assert [reason for words in commands(block) if (reason := wrong(words))] == []


@pytest.mark.parametrize(
    "line",
    [
        "make nothing", "intops fly", ".venv/bin/intops get pods", "kubectl apply -f examples/none",
        "helm install x helm/intops --set image.colour=red", "frobnicate examples",
    ],
)  # fmt: skip
def test_the_look_at_commands_can_fail(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command that does not exist is found."""
    assert [wrong(words) for words in commands(line)] != [None]
    capsys.readouterr()


@pytest.mark.parametrize("block", blocks("yaml"))
def test_every_address_in_a_yaml_block_is_one_of_an_example(block: str) -> None:
    """A receiver that is copied from a page delivers to a Flow that is there."""
    yaml.safe_load(block)

    told = set(re.findall(r"https?://[^/\s]+(/in/[^\s\"']+)", block))
    there = {
        CAPTURE_PATH.format(
            namespace="default", flow=raw["metadata"]["name"], binding=source["name"]
        )
        for folder in EXAMPLES
        for raw in (manifest.raw for manifest in read_folder(folder).manifests)
        if raw["kind"] == "Flow"
        for source in raw["spec"]["roles"]["source"]
    }
    assert told <= there


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    """A reader who follows a link arrives."""
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)

    assert [x for x in links if "://" not in x and not (page.parent / x).exists()] == []


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_a_cluster_would_take_every_example(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Examples are what people start from: not even a warning."""
    with pytest.raises(SystemExit) as ended:
        main(["validate", str(folder)])

    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (0, "")
    assert "0 warnings" in said.err


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_every_case_and_every_mapping_example_holds(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What goes in makes the requests that the case says."""
    with pytest.raises(SystemExit) as ended:
        main(["test", str(folder)])

    said = capsys.readouterr()
    assert ended.value.code == 0, said.out
    assert "Flow/" in said.out
    assert "FAILED" not in said.out
