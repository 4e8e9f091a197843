"""Container images without a daemon and without a registry: base, pause, operator, worker.

`up` and the `node` fixture import what `ensure_*` return; an image is an OCI archive in the cache,
named after what went into it, so that an unchanged tree builds nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from support.cluster import paths, wheelhouse
from support.cluster.network import run
from support.cluster.node import PAUSE
from support.cluster.polling import HarnessError

BASE = "localhost/python-base:1"
"""Stands in for the public slim Python image, which no test machine can be sure to reach."""

BASE_ARCHIVE, PAUSE_ARCHIVE = "python-base-1.oci", "pause-1.oci"

PRODUCT = {"operator": "localhost/intops-operator", "worker": "localhost/intops-worker"}
"""Image names without tag; the tag is the digest of what went in."""

CONSTRAINTS = {"operator": "operator.txt", "worker": "runtime.txt"}

TRIMMED = (
    "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/apt",
    "var/lib/apt/lists", "var/log",
)  # fmt: skip
"""Emptied in the base image; half of its size and of no use to a pod."""

STEPS_KEPT = 60
"""Images in buildah's storage, named or not, above which unnamed ones are removed."""

Say = Callable[[str], None]


def directory() -> Path:
    """Where image archives are kept."""
    return paths.cache() / "images"


def storage() -> tuple[str, ...]:
    """Flags that give buildah a storage of our own."""
    root = paths.cache() / "buildah"
    return ("--root", str(root), "--runroot", str(root / "run"), "--storage-driver", "overlay")


def _buildah(*arguments: str) -> str:
    """Run buildah."""
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    try:
        done = subprocess.run(
            ["buildah", *storage(), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
    except FileNotFoundError as cause:
        raise HarnessError(
            "buildah is not installed; run "
            "`PYTHONPATH=tests python -m support.provision --what apt`"
        ) from cause
    if done.returncode != 0:
        shown = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise HarnessError(f"buildah {arguments[0]} failed:\n{shown}")
    return done.stdout.strip()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold buildah's storage: two sessions that build at a time would prune each other's steps."""
    paths.cache().mkdir(parents=True, exist_ok=True)
    with (paths.cache() / ".images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _save(image: str, archive: Path) -> Path:
    """Write an image as an archive, complete or not at all."""
    directory().mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    # Uncompressed: the archive is read once, on the same disk.
    _buildah("push", "--disable-compression", image, f"oci-archive:{partial}:{image}")
    partial.rename(archive)
    return archive


def ensure_base(say: Say = print) -> Path:
    """The base image: Debian with Python, from the mirror that apt uses.

    Raises:
        HarnessError: Not root, no debootstrap, or no mirror.
    """
    archive = directory() / BASE_ARCHIVE
    if archive.exists():
        return archive
    with alone():
        return _make_base(say)


def _make_base(say: Say) -> Path:
    archive = directory() / BASE_ARCHIVE
    if archive.exists():
        return archive
    suite, mirror = debian_mirror()
    say(f"making the base image from Debian {suite}; about two minutes, once")
    directory().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory(), prefix="rootfs-") as name:
        rootfs = Path(name) / "rootfs"
        run(
            "debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates",
            suite, str(rootfs), mirror,
        )  # fmt: skip
        for path in TRIMMED:
            shutil.rmtree(rootfs / path, ignore_errors=True)
            (rootfs / path).mkdir(parents=True)
        _commit_rootfs(rootfs)
    return _save(BASE, archive)


def _commit_rootfs(rootfs: Path) -> None:
    container = _buildah("from", "scratch")
    try:
        _buildah("add", "--quiet", container, str(rootfs), "/")
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        _buildah("config", "--cmd", "python3", "--env", f"PATH={path}", "--env", "LANG=C.UTF-8",
                 container)  # fmt: skip
        _buildah("commit", "--quiet", container, BASE)
    finally:
        _buildah("rm", container)


def debian_mirror() -> tuple[str, str]:
    """The suite of this machine and the mirror its apt uses.

    Raises:
        HarnessError: This is not Debian, or apt has no Debian source.
    """
    suite = ""
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            suite = value.strip('"')
    shown = run(
        "apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)",
        "Created-By: Packages",
    )  # fmt: skip
    for line in shown.splitlines():
        found, component, uri = line.split(" ", 2)
        if found == suite and component == "main":
            return suite, uri
    raise HarnessError(f"apt on this machine has no source for Debian {suite or '(unknown)'} main")


def ensure_pause(say: Say = print) -> Path:
    """The image of the container that holds a pod's namespaces."""
    archive = directory() / PAUSE_ARCHIVE
    if archive.exists():
        return archive
    with alone():
        return _make_pause(say)


def _make_pause(say: Say) -> Path:
    archive = directory() / PAUSE_ARCHIVE
    if not archive.exists():
        load_base(say)
        container = _buildah("from", "--pull-never", BASE)
        try:
            # The argument as command, which replaces the one of the base.
            _buildah("config", "--entrypoint", '["/bin/sleep"]', "--cmd", "infinity", "--user",
                     "65535:65535", container)  # fmt: skip
            _buildah("commit", "--quiet", container, PAUSE)
        finally:
            _buildah("rm", container)
        _save(PAUSE, archive)
    return archive


def load_base(say: Say) -> None:
    """Make sure that buildah's storage has the base image."""
    archive = _make_base(say)
    if BASE not in _buildah("images", "--format", "{{.Name}}:{{.Tag}}").splitlines():
        container = _buildah("from", f"oci-archive:{archive}")
        _buildah("commit", "--quiet", container, BASE)
        _buildah("rm", container)


def python_of_base() -> str:
    """The Python version of the base image, as `3.11`."""
    container = _buildah("from", "--pull-never", BASE)
    try:
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        return _buildah("run", container, "--", "python3", "-c", code)
    finally:
        _buildah("rm", container)


def build_wheel(into: Path, tree: Path = paths.TREE) -> Path:
    """The wheel of a tree, this one by default.

    Raises:
        HarnessError: It does not build.
    """
    done = subprocess.run(
        [
            # The builder is in the development environment, in its locked version.
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
            "--wheel-dir", str(into), str(tree),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise HarnessError(f"the wheel of {tree} does not build:\n{done.stderr[-2000:]}")
    return next(into.glob("intops-*.whl"))


def ensure_product(
    say: Say = print, tree: Path = paths.TREE, mark: str = ""
) -> dict[str, tuple[str, Path]]:
    """The images of a tree: `{"operator": (reference, archive), "worker": ...}`.

    Args:
        say: Takes a sentence about what is being done.
        tree: What is built; this tree by default.
        mark: Begins the names of the archives, so that other trees do not push these out of the cache.

    Raises:
        HarnessError: Wheel or image does not build; carries the last lines of output.
    """
    with tempfile.TemporaryDirectory(prefix="intops-images-") as name:
        wheel = build_wheel(Path(name), tree)
        built = {plane: _place(plane, tree, wheel, mark) for plane in PRODUCT}
        # Others may be building for minutes; who has nothing to build does not wait for them.
        if not all(archive.exists() for _, archive in built.values()):
            with alone():
                load_base(say)
                python = python_of_base()
                for plane, (reference, archive) in built.items():
                    _ensure_plane(plane, tree, wheel, python, reference, archive, say)
    for _, archive in built.values():
        archive.touch()
    return built


def _place(plane: str, tree: Path, wheel: Path, mark: str) -> tuple[str, Path]:
    """Reference and archive of an image, by what goes into it."""
    inputs = hashlib.sha256(BASE_ARCHIVE.encode())
    for file in _inputs(plane, tree, wheel):
        inputs.update(file.read_bytes())
    tag = inputs.hexdigest()[:12]
    return f"{PRODUCT[plane]}:{tag}", directory() / f"{mark}{plane}-{tag}.oci"


def _inputs(plane: str, tree: Path, wheel: Path) -> tuple[Path, ...]:
    """Containerfile, constraints and wheel; then, but in older trees, what writes the bill of materials."""
    containers = tree / "containers"
    first = (containers / f"{plane}.Containerfile", tree / "constraints" / CONSTRAINTS[plane])
    return (*first, wheel, *sorted(containers.glob("*.py")))


def _ensure_plane(
    plane: str, tree: Path, wheel: Path, python: str, reference: str, archive: Path, say: Say
) -> None:
    if archive.exists():
        return
    say(f"building {reference}")
    containerfile, constraints, _, *programs = _inputs(plane, tree, wheel)
    wheels = wheelhouse.ensure(constraints, python, say)
    with tempfile.TemporaryDirectory(prefix="intops-context-") as name:
        context = Path(name)
        for folder in ("constraints", "dist", "containers"):
            (context / folder).mkdir()
        for program in programs:
            shutil.copy(program, context / "containers")
        shutil.copy(constraints, context / "constraints")
        shutil.copy(wheel, context / "dist")
        _buildah(
            "build", "--quiet", "--layers", "--pull-never", "--network=host",
            "--build-arg", f"BASE={BASE}",
            "--build-arg", "PIP_NO_INDEX=1",
            "--build-arg", "PIP_FIND_LINKS=/wheelhouse",
            "--volume", f"{wheels}:/wheelhouse:ro",
            "--file", str(containerfile), "--tag", reference, str(context),
        )  # fmt: skip
    _save(reference, archive)
    _forget_older(archive)


def _forget_older(newest: Path) -> None:
    """Keep the last few images of a name: every edit of the tree makes one of 80 MB."""
    name = newest.name.rpartition("-")[0]
    archives = sorted(directory().glob(f"{name}-*.oci"), key=lambda file: file.stat().st_mtime)
    for archive in archives[:-3]:
        if archive != newest:
            archive.unlink(missing_ok=True)
    # Unnamed images are the steps of earlier builds: they make the next build short, until they
    # are many. Pruning each time would mean that pip runs at each build.
    if len(_buildah("images", "--all", "--quiet").splitlines()) > STEPS_KEPT:
        # Containers of a build that was killed hold its steps; nobody else builds now.
        _buildah("rm", "--all")
        _buildah("rmi", "--prune")
