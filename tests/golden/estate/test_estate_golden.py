"""What `intops complexity`, `graph` and `impact` say of an estate, word for word.

The estate is example 01 with more.yaml beside it. Run as a script, this rewrites the files.
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
}


def estate_in(folder: Path) -> Path:
    """A folder with the manifests of the estate."""
    for name in ("connectors.yaml", "flow.yaml", "mappings.yaml"):
        shutil.copy(EXAMPLE / name, folder / name)
    shutil.copy(HERE / "more.yaml", folder / "more.yaml")
    return folder


def said(folder: Path, arguments: tuple[str, ...]) -> str:
    """What a command prints; hashes of plans, which every change of the catalogue changes, are left out."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([str(folder) if word == "DIR" else word for word in arguments])
    return _HASH.sub('"HASH"', out.getvalue())


@pytest.mark.parametrize("name", SAID)
def test_an_estate_looks_as_people_know_it(name: str, tmp_path: Path) -> None:
    """Scripts read these answers, and the drawings stand in wikis."""
    assert said(estate_in(tmp_path), SAID[name]) == (HERE / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        estate_in(Path(made))
        for name, arguments in SAID.items():
            (HERE / name).write_text(said(Path(made), arguments), encoding="utf-8")
