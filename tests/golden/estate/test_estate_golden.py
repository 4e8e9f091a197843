"""What `intops complexity`, `graph`, `impact` and `diff` say of an estate, word for word.

The estate is example 01 with more.yaml beside it; a second folder holds it with changes. Run as a script, this
rewrites the files.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))

import pytest

from intops_cli.__main__ import main
from support.conformance import EXAMPLE

_HASH = re.compile(r'"[0-9a-f]{16}"')
SAID = {
    "complexity.txt": ("complexity", "DIR"),
    "complexity.json": ("complexity", "DIR", "-o", "json"),
    "fifty-systems.txt": ("complexity", "--systems", "50"),
    "graph.mmd": ("graph", "DIR"),
    "graph.dot": ("graph", "DIR", "-o", "dot"),
    "graph.svg": ("graph", "DIR", "-o", "svg"),
    "graph.json": ("graph", "DIR", "-o", "json"),
    "one-flow.mmd": ("graph", "DIR", "--flow", "scripts-to-tracker"),
    "class-goes.txt": ("impact", "DIR", "--remove", "ConnectorClass/inventory"),
    "class-goes.json": ("impact", "DIR", "--remove", "ConnectorClass/inventory", "-o", "json"),
    "diff.txt": ("diff", "NEW", "--against", "DIR"),
    "diff.json": ("diff", "NEW", "--against", "DIR", "-o", "json"),
}
CHANGES = {
    "connectors.yaml": [
        ("https://rt.example.com", "https://desk.example.com"),
        ("concurrency: 4", "concurrency: 2"),
    ],
    "mappings.yaml": [
        ("page: critical", "page: major"),
        (
            "alertname]\n    meaning: One line",
            "alertname]\n    default: An alert.\n    meaning: One line",
        ),
    ],
    "flow.yaml": [("reopenWithin: 1h", "reopenWithin: 2h")],
    "more.yaml": [
        ("name: item-to-event", "name: part-to-event"),
        ("  routes: [{name: default", "  routes: [{name: none, when: 'false'}, {name: default"),
    ],
}


def estate_in(folder: Path) -> Path:
    """A folder with the manifests of the estate."""
    for name in ("connectors.yaml", "flow.yaml", "mappings.yaml"):
        shutil.copy(EXAMPLE / name, folder / name)
    shutil.copy(HERE / "more.yaml", folder / "more.yaml")
    return folder


def changed_in(folder: Path) -> Path:
    """A folder with the estate as somebody would change it."""
    estate_in(folder)
    for name, changes in CHANGES.items():
        text = (folder / name).read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def folders_in(place: Path) -> dict[str, Path]:
    """Both folders, by the words that stand for them."""
    for name in ("now", "new"):
        (place / name).mkdir()
    return {"DIR": estate_in(place / "now"), "NEW": changed_in(place / "new")}


def said(folders: dict[str, Path], arguments: tuple[str, ...]) -> str:
    """What a command prints; hashes of plans, which every change of the catalogue changes, are left out."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([str(folders.get(word, word)) for word in arguments])
    return _HASH.sub('"HASH"', out.getvalue())


@pytest.mark.parametrize("name", SAID)
def test_an_estate_looks_as_people_know_it(name: str, tmp_path: Path) -> None:
    """Scripts read these answers, and the drawings stand in wikis."""
    assert said(folders_in(tmp_path), SAID[name]) == (HERE / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        both = folders_in(Path(made))
        for name, arguments in SAID.items():
            (HERE / name).write_text(said(both, arguments), encoding="utf-8")
