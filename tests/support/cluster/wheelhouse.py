"""Wheels of the locked dependencies, for an image build that cannot reach a package index.

images.py mounts the folder into the build; pip inside checks the same hashes again.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from packaging.markers import Marker

from support.cluster import paths
from support.cluster.polling import HarnessError

NEWEST_GLIBC = 36
"""Debian 12's is 2.36; wheels that need a newer one would not load in the base image."""


def ensure(constraints: Path, python: str, say: Callable[[str], None] = print) -> Path:
    """A folder with one wheel for every line of a constraints file.

    Args:
        constraints: Exact versions with hashes.
        python: Version inside the image, as `3.11`; the host's may be another.
        say: Takes a sentence about what is being done.

    Raises:
        HarnessError: pip could not get one, or a hash is wrong.
    """
    digest = hashlib.sha256(constraints.read_bytes() + python.encode()).hexdigest()[:12]
    home = paths.cache() / "wheelhouse" / f"{constraints.stem}-{digest}"
    if home.exists():
        return home
    say(f"fetching the wheels of {constraints.name} for Python {python}")
    partial = home.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    wanted = partial / "wanted.txt"
    wanted.write_text(for_python(constraints.read_text(), python))
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps",
            "--only-binary=:all:", "--python-version", python, "--implementation", "cp",
            "--abi", f"cp{python.replace('.', '')}", "--abi", "abi3", "--abi", "none",
            *(f"--platform={one}" for one in platforms(platform.machine())),
            "--dest", str(partial), "--requirement", str(wanted),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise HarnessError(f"pip cannot fetch {constraints.name}:\n{done.stderr[-2000:]}")
    partial.rename(home)
    return home


def platforms(machine: str) -> list[str]:
    """Platform tags that the base image can load, newest first."""
    return [
        *(f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, 4, -1)),
        *(f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")),
        "any",
    ]


def for_python(constraints: str, python: str) -> str:
    """The lines that hold for one Python version on Linux, without their markers.

    pip would judge markers by the Python it runs on, not by `--python-version`.
    """
    kept = []
    for block in re.split(r"\n(?=\S)", constraints):
        head, separator, hashes = block.partition("--hash")
        requirement, _, marker = head.partition(";")
        if not separator:
            continue
        marker = marker.strip().rstrip("\\").strip()
        environment = {
            "python_version": python,
            "python_full_version": f"{python}.0",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "os_name": "posix",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }
        if marker and not Marker(marker).evaluate(environment):
            continue
        kept.append(f"{requirement.strip().rstrip(chr(92)).strip()} {separator}{hashes}")
    return "\n".join(kept) + "\n"
