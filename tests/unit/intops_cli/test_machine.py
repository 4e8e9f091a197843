"""What is wrong on a machine, on values: what is told, and what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from intops_cli.machine import Machine, StoreFile, machine

HERE = Machine(python=(3, 12), kubectl=True, plugin=True)
RUN = replace(HERE, state=".intops", pid=7, answers=True, free=2**40)
STORE = StoreFile("default.alerts", ".intops/data/default.alerts/store.sqlite", 40960)


def told(seen: Machine) -> dict[str, str]:
    """Level and text by check; the last of each."""
    return {one.check: f"{one.level}: {one.what} {one.do}" for one in machine(seen)}


def test_nothing_is_wrong_on_a_machine_that_is_well() -> None:
    """Without a run, and with one that answers."""
    for seen in (HERE, replace(RUN, stores=(STORE,))):
        assert {one.level for one in machine(seen)} == {"ok"}


@pytest.mark.parametrize(
    ("seen", "check", "says"),
    [
        (replace(HERE, python=(3, 10)), "python", "broken: Python is 3.10."),
        (replace(HERE, python=(3, 15)), "python", "warning: Python is 3.15."),
        (replace(HERE, plugin=False), "plugin", "into PATH"),
        (replace(HERE, capture_port_taken=8080), "ports", "warning: Port 8080 of this machine is taken."),
        (replace(RUN, pid=None, left_marker=True), "run", "warning: The worker of .intops ended without a word."),
        (replace(RUN, answers=False), "run", "broken: Worker 7 runs from .intops and does not answer"),
        (replace(RUN, closed_ports=(8080,)), "ports", "broken: Worker 7 runs, and nobody listens on its port 8080."),
        (replace(RUN, readable_secrets=True), "secrets", "`chmod -R go= .intops/secrets`"),
        (replace(RUN, free=2**20), "stores", "warning: 1 MiB are free"),
        (
            replace(RUN, stores=(replace(STORE, problem="malformed."),)), "stores",
            "broken: The store of default.alerts is damaged: malformed.",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_what_to_do(seen: Machine, check: str, says: str) -> None:
    """One sentence for what, one for why, one for what to type."""
    assert says in told(seen)[check]
    (wrong,) = [one for one in machine(seen) if one.level != "ok"]
    assert wrong.why
    assert wrong.do


def test_a_kubectl_that_is_not_there_needs_no_plugin() -> None:
    """Who works without a cluster is not told about one."""
    assert "plugin" not in told(replace(HERE, kubectl=False, plugin=False))
