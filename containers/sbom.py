"""The software bill of materials of an image, as CycloneDX JSON on standard output.

Run at the end of an image build, by the Python of the image and with nothing but its standard library. It lists
what is there: every Python package that has its metadata somewhere in the image, every Debian package, and a
Python interpreter that came with neither. What stands under the folder of the product must be what the lock says.

Usage: sbom.py NAME FOLDER LOCK; NAME of the image, FOLDER of the product, LOCK with exact versions.
"""

import datetime
import json
import os
import platform
import re
import sys
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from typing import Any
from urllib.parse import quote

PRODUCT = "intops"
DPKG = Path("/var/lib/dpkg/status")
# Virtual file systems, and what only the build has.
PASSED_OVER = {"/proc", "/sys", "/dev", "/build", "/run", "/tmp", "/wheelhouse"}  # noqa: S108
Component = dict[str, Any]


def normal(name: str) -> str:
    """The one spelling of a Python package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(root: Path) -> Iterator[tuple[Path, Distribution]]:
    """Python packages below a folder: where their metadata is, and what it says."""
    for folder, below, _ in os.walk(root):
        below[:] = sorted(name for name in below if os.path.join(folder, name) not in PASSED_OVER)
        for name in below:
            if name.endswith((".dist-info", ".egg-info")):
                place = Path(folder, name)
                yield place, PathDistribution(place)


def locked(lock: Path) -> dict[str, str]:
    """Version by name of everything that a lock names, whatever its markers say."""
    found = re.findall(
        r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock.read_text(), re.MULTILINE
    )
    return {normal(name): version for name, version in found}


def python_packages(root: Path, product: Path, lock: dict[str, str]) -> Iterator[Component]:
    """One component a package.

    Raises:
        SystemExit: the product holds something else than its lock says.
    """
    for place, package in distributions(root):
        name, version = normal(package.metadata["Name"]), package.version
        if place.is_relative_to(product) and name != PRODUCT and lock.get(name) != version:
            said = lock.get(name, "nothing")
            sys.exit(f"{place}: the image holds {name} {version}, and its lock says {said}")
        yield component("library", name, version, f"pkg:pypi/{name}@{quote(version)}", str(place))


def debian_packages(status: Path) -> Iterator[Component]:
    """One component an installed package of dpkg; none where there is no dpkg."""
    if not status.exists():
        return
    for block in status.read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", block, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            arch = fields["Architecture"]
            purl = f"pkg:deb/debian/{name}@{quote(version, safe='')}?arch={arch}"
            yield component("library", name, version, purl, f"{status}#{name}:{arch}")


def component(kind: str, name: str, version: str, purl: str, place: str) -> Component:
    """One entry; `place` says where it was found."""
    return {
        "type": kind,
        "bom-ref": f"{purl}#{place}",
        "name": name,
        "version": version,
        "purl": purl,
        "evidence": {"occurrences": [{"location": place}]},
    }


def bill(name: str, product: Path, lock: Path) -> dict[str, Any]:
    """The whole document; the same for the same image."""
    found = [
        *python_packages(Path("/"), product, locked(lock)),
        *debian_packages(DPKG),
    ]
    if Path("/usr/local/bin/python3").exists():
        version = platform.python_version()
        place = "/usr/local/bin/python3"
        found.append(
            component("application", "python", version, f"pkg:generic/python@{version}", place)
        )
    found.sort(key=lambda one: one["bom-ref"])
    (version,) = (one["version"] for one in found if one["name"] == PRODUCT)
    moment = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC)
    said = json.dumps(found)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name + said)}",
        "version": 1,
        "metadata": {
            "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "container", "bom-ref": name, "name": name, "version": version},
        },
        "components": found,
    }


if __name__ == "__main__":
    json.dump(bill(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])), sys.stdout, indent=1)
    print()
