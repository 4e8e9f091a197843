"""The images that `make images` builds: the same bytes from the same tree, and a bill of what is in them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.cluster import images, paths, wheelhouse

pytestmark = pytest.mark.cluster

PLANES = ("operator", "worker")
IN_THE_IMAGE = """
import json, pathlib
from importlib.metadata import PathDistribution
found = [PathDistribution(p) for root in ("/usr", "/opt") for p in pathlib.Path(root).rglob("*.dist-info")]
print(json.dumps(sorted([d.metadata["Name"].lower().replace("_", "-").replace(".", "-"), d.version] for d in found)))
"""
DEBIAN_IN_THE_IMAGE = """
import subprocess
print(subprocess.check_output(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n"], text=True))
"""


@dataclass
class Builder:
    """`.ci/images.sh` with a buildah that reaches no package index and remembers no step."""

    folder: Path
    tool: Path
    made: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def buildah(self, *words: str) -> str:
        """What buildah says."""
        return subprocess.run(
            [str(self.tool), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    def build(self) -> dict[str, str]:
        """Build both images; their digests by plane."""
        asked = {**os.environ, "TOOL": str(self.tool), "BASE": images.BASE}
        done = subprocess.run(
            [str(paths.TREE / ".ci" / "images.sh")],
            env=asked, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        self.made = [
            word.rstrip(";") for word in done.stdout.split() if word.startswith("intops-")
        ][-2:]
        self.ids |= {self.buildah("images", "--quiet", self.image(plane)) for plane in PLANES}
        return {plane: self.digest(plane) for plane in PLANES}

    def remove(self) -> None:
        """Leave nothing in buildah's storage."""
        if self.ids:
            self.buildah("rmi", "--force", *sorted(self.ids))

    def image(self, plane: str) -> str:
        """Name of the image that was built last."""
        (name,) = [name for name in self.made if name.startswith(f"intops-{plane}:")]
        return f"localhost/{name}"

    def digest(self, plane: str) -> str:
        """Digest of the manifest: it covers every layer, the configuration and the history."""
        return self.buildah(
            "inspect", "--type=image", "--format={{.FromImageDigest}}", self.image(plane)
        )

    def inside(self, plane: str, code: str) -> str:
        """What a Python program says that runs in the image."""
        container = self.buildah("from", "--pull-never", self.image(plane))
        try:
            return self.buildah("run", container, "--", "/opt/intops/bin/python", "-c", code)
        finally:
            self.buildah("rm", container)

    def bill(self, plane: str) -> dict[str, Any]:
        """What the script wrote beside the image."""
        text = (paths.TREE / "build" / f"intops-{plane}.cdx.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
        return found


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """Both wheelhouses are mounted into the build; pip inside checks the hashes of the lock."""
    folder = tmp_path_factory.mktemp("images")
    tool = folder / "buildah"
    with images.alone():
        images.load_base(print)
        python = images.python_of_base()
        flags = ["--pull-never", "--no-cache", "--network=host", "--build-arg", "PIP_NO_INDEX=1"]
        found = [
            wheelhouse.ensure(paths.TREE / "constraints" / name, python)
            for name in images.CONSTRAINTS.values()
        ]
        flags += [
            "--build-arg",
            "PIP_FIND_LINKS=" + " ".join(f"/wheelhouse/{n}" for n in range(len(found))),
        ]
        for number, wheels in enumerate(found):
            flags += ["--volume", f"{wheels}:/wheelhouse/{number}:ro"]
        real = shlex.join(["buildah", *images.storage()])
        tool.write_text(
            "#!/bin/sh\nexport BUILDAH_ISOLATION=chroot\n"
            f'if [ "$1" = build ]; then shift; exec {real} build {shlex.join(flags)} "$@"; fi\n'
            f'exec {real} "$@"\n',
            encoding="utf-8",
        )
        tool.chmod(0o755)
        building = Builder(folder, tool)
        yield building
        building.remove()


@pytest.fixture(scope="module")
def first(builder: Builder) -> dict[str, str]:
    """Digests of the first build."""
    return builder.build()


def test_s67_two_builds_of_one_tree_are_the_same_image(
    builder: Builder, first: dict[str, str]
) -> None:
    """Whoever has the tree and the base can find out whether an image was made from them."""
    bills = {plane: builder.bill(plane) for plane in PLANES}

    assert builder.build() == first
    assert {plane: builder.bill(plane) for plane in PLANES} == bills
    assert len(set(first.values())) == len(PLANES)


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize("plane", PLANES)
def test_s68_the_bill_of_materials_names_what_is_in_the_image_and_nothing_else(
    builder: Builder, plane: str
) -> None:
    """Every Python package and every Debian package in its version, the base's too; and the lock agrees."""
    bill = builder.bill(plane)
    said = [[one["name"], one["version"], one["purl"]] for one in bill["components"]]

    python = sorted([name, version] for name, version, purl in said if purl.startswith("pkg:pypi/"))
    assert python == json.loads(builder.inside(plane, IN_THE_IMAGE))
    assert "intops" in dict(python)
    debian_inside = builder.inside(plane, DEBIAN_IN_THE_IMAGE).splitlines()
    debian = sorted(
        f"{name} {version}" for name, version, purl in said if purl.startswith("pkg:deb/")
    )
    assert debian == sorted(debian_inside)

    locked = (
        (paths.TREE / "constraints" / images.CONSTRAINTS[plane]).read_text(encoding="utf-8").lower()
    )
    ours = [
        one for one in bill["components"]
        if one["evidence"]["occurrences"][0]["location"].startswith("/opt/intops/")
    ]  # fmt: skip
    assert len(ours) > 5
    for one in ours:
        assert one["name"] == "intops" or f"{one['name']}=={one['version']}" in locked.replace(
            "_", "-"
        )
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == (
        "CycloneDX",
        f"intops-{plane}",
    )
    assert len({one["bom-ref"] for one in bill["components"]}) == len(bill["components"])
