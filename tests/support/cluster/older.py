"""Older versions of the product, built from the history of this repository.

Nothing has been released yet, so a version before this one is a commit. tests/cluster/test_upgrade.py puts it into
a cluster, with its own chart, before this tree; what is built is cached like the images of this tree.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.cluster import images, paths, product
from support.cluster.onenode import OneNode
from support.cluster.polling import HarnessError

BEFORE_SCHEMA_6 = "2a1fdbe"
"""The last commit of main whose embedded store has schema 5: an upgrade from it migrates stores."""

SAME_SCHEMA = "29d068c"
"""A commit whose store is the one of this tree, with another operator, chart, and catalogue.

Its operators read past what newer workers add to their reports; older ones call such a worker silent.
"""

ENDS_SLOWLY = "cbea0aa46a35"
"""The first commit whose operators answer admission until nobody is led to them; the store is the same, too."""

MARK = "older-"
"""Begins the names of its image archives."""

NOTE = ".built.json"
"""Beside the files of a commit: its images by plane, as reference and archive."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Version:
    """What a cluster needs to run one version."""

    name: str
    tree: Path
    references: dict[str, str]
    """Of its images, by plane; the cluster has them."""

    @property
    def chart(self) -> Path:
        """Folder of its chart."""
        return self.tree / "helm" / "intops"

    @property
    def examples(self) -> Path:
        """Folder of its examples."""
        return self.tree / "examples"


def this_tree(cluster: OneNode, say: Say = print) -> Version:
    """The version that is tested."""
    return Version("this tree", paths.TREE, product.load_images(cluster, say))


def tree_of(revision: str) -> Path:
    """The files of a commit, in the cache.

    Raises:
        HarnessError: The repository has no such commit, for instance because it was cloned without history.
    """
    commit = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    home = paths.cache() / "revisions" / commit[:12]
    if home.exists():
        return home
    partial = home.with_suffix(f".partial-{os.getpid()}")
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", commit))) as packed:
        packed.extractall(partial, filter="data")
    partial.rename(home)
    return home


def load(cluster: OneNode, revision: str, say: Say = print) -> Version:
    """Build the images of a commit, or take them from the cache, and import them."""
    tree = tree_of(revision)
    built = _built_before(tree) or images.ensure_product(say, tree, MARK)
    note = {plane: [reference, str(archive)] for plane, (reference, archive) in built.items()}
    (tree / NOTE).write_text(json.dumps(note))
    cluster.load(archive for _, archive in built.values())
    return Version(revision, tree, {plane: reference for plane, (reference, _) in built.items()})


def _built_before(tree: Path) -> dict[str, tuple[str, Path]]:
    """What was built from a tree, which never changes; empty if it is not there any more."""
    try:
        note = json.loads((tree / NOTE).read_text())
    except (OSError, ValueError):
        return {}
    built = {plane: (reference, Path(archive)) for plane, (reference, archive) in note.items()}
    return built if all(archive.exists() for _, archive in built.values()) else {}


def _git(*arguments: str) -> bytes:
    done = subprocess.run(
        ["git", "-C", str(paths.TREE), *arguments], capture_output=True, check=False
    )
    if done.returncode != 0:
        raise HarnessError(
            f"git {arguments[0]} failed, and an older version is a commit of this repository; clone it with its "
            f"whole history (git fetch --unshallow). {done.stderr.decode().strip()}"
        )
    return done.stdout
