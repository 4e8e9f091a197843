"""Drafts of `intops new` for payloads of examples and of tools, kept as files: the same text every time.

After a wanted change, run `python tests/golden/new/test_new_golden.py` and read the difference of the files.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import pytest

from intops_cli.__main__ import main

HERE = Path(__file__).resolve().parent
TREE = HERE.parents[2]
SAMPLES = HERE / "samples"
ALERTS = TREE / "examples/01-alerts-to-helpdesk/samples"

# File → words after `intops new`; FILE: stands for a sample, and DIR: for the folder with the drafted classes.
DRAFTS: dict[str, tuple[str, ...]] = {
    **{
        f"{name}.connector-class.yaml": ("connector-class", name, *(f"FILE:{file}" for file in files))
        for name, files in {
            "paging": ("paging.json",),
            "polling": ("polling.json",),
            "metrics": ("metrics-01.json", "metrics-02.json"),
            "envelope": ("envelope.json",),
            "monitor": ("monitor.json",),
            "bare": ("bare.json",),
        }.items()
    },
    **{
        f"{name}-to-event.mapping.yaml": (
            "mapping", f"{name}-to-event", "--class", name, "--model", "event", "DIR:", f"FILE:{file}"
        )
        for name, file in {
            "paging": "paging.json",
            "polling": "polling.json",
            "metrics": "metrics-01.json",
            "envelope": "envelope.json",
            "monitor": "monitor.json",
            "bare": "bare.json",
        }.items()
    },
    "alerts-to-event.mapping.yaml": (
        "mapping", "alerts-to-event", "--class", "alertmanager", "FILE:01-firing.json", "FILE:03-firing-other.json"
    ),
    "incident-to-servicenow.mapping.yaml": (
        "mapping", "incident-to-servicenow", "--class", "servicenow", "--from-model", "incident",
        "--team", "service-desk", "--contact", "service-desk@example.com",
    ),
    "helpdesk.connector.yaml": ("connector", "helpdesk", "--class", "request-tracker"),
    "instance.connector.yaml": ("connector", "instance", "--class", "servicenow", "--endpoint", "https://desk.example.com"),
    "alerts.connector.yaml": ("connector", "alerts", "--class", "alertmanager"),
    "alerts-to-helpdesk.flow.yaml": (
        "flow", "alerts-to-helpdesk", "--pattern", "event-to-incident", "--source", "alerts", "--target", "helpdesk",
    ),
}  # fmt: skip


def drafted(words: tuple[str, ...]) -> str:
    """What `intops new` prints for these words."""
    typed: list[str] = []
    for word in words:
        if word.startswith("FILE:"):
            name = word.removeprefix("FILE:")
            folder = SAMPLES if (SAMPLES / name).exists() else ALERTS
            typed += ["--from-sample", str(folder / name)]
        else:
            typed += ["--dir", str(HERE)] if word == "DIR:" else [word]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main(["new", *typed])
    assert ended.value.code == 0
    return out.getvalue()


@pytest.mark.parametrize("file", list(DRAFTS))
def test_a_payload_gives_this_draft(file: str) -> None:
    """Text for text, so that a changed guess is seen and read by a person."""
    assert drafted(DRAFTS[file]) == (HERE / file).read_text(encoding="utf-8")


def test_no_secret_of_a_sample_is_in_any_draft() -> None:
    """Tokens, passwords and mail addresses stand in the samples, and nowhere else."""
    secrets = ("f00dfeed", "5c5e2d1a", "hunter2", "cm9vdD", "ann@corp", "ben@corp", "root@mail01")
    samples = "".join(file.read_text(encoding="utf-8") for file in SAMPLES.glob("*.json"))
    drafts = "".join(file.read_text(encoding="utf-8") for file in HERE.glob("*.yaml"))

    assert [secret for secret in secrets if secret not in samples] == []
    assert [secret for secret in secrets if secret in drafts] == []


def _write() -> None:
    for file, words in DRAFTS.items():
        (HERE / file).write_text(drafted(words), encoding="utf-8")
        sys.stdout.write(f"wrote {file}\n")


if __name__ == "__main__":
    _write()
