"""Keep files that are written from the code fresh: write what differs, or say what is stale.

The generators of `make generate` that live in this package call `run`.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

Outputs = Callable[[Path], dict[Path, str]]
"""Takes the root of the tree; gives every file by its path below the root, with its text."""


def stale(outputs: Outputs, root: Path) -> list[Path]:
    """Files that are missing or differ from the code."""
    return [
        path
        for path, text in outputs(root).items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]


def write(outputs: Outputs, root: Path) -> list[Path]:
    """Write what differs. Returns what was written."""
    made, touched = outputs(root), stale(outputs, root)
    for path in touched:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(made[path], encoding="utf-8")
    return touched


def run(outputs: Outputs, prog: str, arguments: Sequence[str] | None) -> int:
    """Run a generator as a command. Returns its exit code: 1 if `--check` found stale files."""
    options = argparse.ArgumentParser(prog=prog)
    options.add_argument("--check", action="store_true", help="write nothing, fail if stale")
    options.add_argument("--root", type=Path, default=Path(), help="root of the source tree")
    given = options.parse_args(arguments)
    if not (given.root / "cli" / "intops_cli").is_dir():
        print(f"{given.root} is not the root of the source tree; use --root", file=sys.stderr)
        return 1
    found = stale(outputs, given.root) if given.check else write(outputs, given.root)
    if given.check and found:
        listed = ", ".join(str(path) for path in found)
        print(
            f"{listed}: not what the code says; run `make generate` and commit it.",
            file=sys.stderr,
        )
        return 1
    for path in found:
        print(f"wrote {path}")
    return 0
