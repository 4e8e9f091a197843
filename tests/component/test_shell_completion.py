"""The completion scripts in the real shells: what a person gets who presses the tab key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import provision
from support.peers.process import wait_until
from support.runtime.local_run import EXAMPLE, PLAIN, LocalRun, intops

pytestmark = pytest.mark.component

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_intops
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
autoload -U compinit; compinit -u -D
source "$1"; shift
words=("$@"); CURRENT=$#
compadd() { shift; print -l -- "${(@P)1}" }
_files() { print -- FILES }
_intops
"""
FISH = 'source $argv[1]; complete -C "$argv[2]"'


def typed(shell: str, folder: Path, *words: str, state: Path | None = None) -> list[str]:
    """What a shell offers after these words, the last of which may be empty or begun."""
    script = folder / f"completion.{shell}"
    script.write_text(intops("completion", shell).stdout)
    line = ["intops", *words]
    command = {
        "bash": ["bash", "--norc", "-c", BASH, "bash", str(script), *line],
        "zsh": ["zsh", "-f", "-c", ZSH, "zsh", str(script), *line],
        "fish": ["fish", "--no-config", "-c", FISH, str(script), " ".join(line)],
    }[shell]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=folder,
        env={
            **PLAIN, "HOME": str(folder), "KUBECONFIG": str(folder / "none"), "TERM": "dumb",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **({"INTOPS_SESSION": str(state)} if state else {}),
        },
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture(params=provision.SHELL_PACKAGES)
def shell(request: pytest.FixtureRequest) -> str:
    """Each shell for which there is a script."""
    refusal = provision.why_not("shells")
    if refusal is not None and os.environ.get("CI") == "true":
        pytest.fail(f"CI has to run these tests: {refusal}", pytrace=False)
    if provision.missing_packages((request.param,)) and refusal is not None:
        pytest.skip(refusal)
    return str(request.param)


def test_commands_flags_and_their_values_are_completed(shell: str, tmp_path: Path) -> None:
    """The first word, a flag, and what a flag may say."""
    assert typed(shell, tmp_path, "st") == ["status", "store"]
    assert typed(shell, tmp_path, "top", "--so") == ["--sort"]
    assert typed(shell, tmp_path, "messages", "--state", "re") == ["review"]


def test_names_of_the_flows_of_a_run_are_completed(shell: str, tmp_path: Path) -> None:
    """They come from the worker; without one there are none, and nothing is said."""
    run = LocalRun("--quiet", folder=EXAMPLE)
    try:
        wait_until(run.marker, what="intops run is up")
        found = typed(shell, tmp_path, "messages", "--flow", "al", state=run.state)
    finally:
        run.close()

    assert found == ["alerts-to-helpdesk"]
    assert typed(shell, tmp_path, "messages", "--flow", "al", state=tmp_path / "none") == []


def test_paths_are_left_to_the_shell(shell: str, tmp_path: Path) -> None:
    """Where a command takes a folder, the shell's own completion offers what is there."""
    (tmp_path / "manifests").mkdir()
    found = typed(shell, tmp_path, "validate", "manif")

    # bash falls back by itself when nothing is offered; the stand-in of zsh's own function says its name.
    assert found == {"bash": [], "zsh": ["FILES"], "fish": ["manifests/"]}[shell]
