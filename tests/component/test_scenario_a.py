"""Steps A5 to A8 and A12 of acceptance scenario A, with the simulated Request Tracker as the desk.

As a person meets them: `intops run` with the first example, the commands beside it, and the desk's own
ledger in the end.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from intops_core.catalog import shipped
from support.broken_flows import EIGHT, sound
from support.peers.process import wait_until
from support.runtime.flows import NAMESPACE
from support.runtime.local_run import DESK_TOKEN, EXAMPLE, LocalRun, intops
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.component

FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_bytes())
RESOLVED = json.loads((EXAMPLE / "samples" / "02-resolved.json").read_bytes())


def webhook(body: dict[str, Any], *fingerprints: str, **labels: str) -> bytes:
    """A captured webhook with one alert for each fingerprint, and some labels changed."""
    alert = body["alerts"][0]
    alerts = [
        {**alert, "fingerprint": name, "labels": {**alert["labels"], **labels}}
        for name in fingerprints
    ]
    return json.dumps({**body, "alerts": alerts}).encode()


@pytest.fixture
def desk() -> Iterator[HelpdeskSimulator]:
    """The desk, reachable for the whole test."""
    with HelpdeskSimulator(token=DESK_TOKEN) as running:
        yield running


@contextmanager
def local(
    desk: HelpdeskSimulator, folder: Path = EXAMPLE, state: Path | None = None
) -> Iterator[LocalRun]:
    """`intops run` of a folder against the desk."""
    run = LocalRun("--endpoint", f"helpdesk={desk.url}", "--quiet", folder=folder, state=state)
    try:
        wait_until(run.marker, what="intops run is up")
        yield run
    finally:
        run.end()


def status(run: LocalRun) -> dict[str, Any]:
    """The Flow's status with its conditions by type."""
    found = json.loads(run.ask("get", "flow", "alerts-to-helpdesk", "-o", "json").stdout)
    (flow,) = found.get("items", [found])
    return {**flow["status"], **{c["type"]: c for c in flow["status"]["conditions"]}}


def connector(run: LocalRun) -> tuple[str, str, str | None]:
    """What `intops get` says of the desk's Connector: Ready, its reason, the class of the error."""
    found = json.loads(run.ask("get", "connector", "helpdesk", "-o", "json").stdout)
    (one,) = found.get("items", [found])
    (ready,) = [c for c in one["status"]["conditions"] if c["type"] == "Ready"]
    return ready["status"], ready["reason"], one["status"].get("errorClass")


def made(desk: HelpdeskSimulator, count: int, timeout_s: float = 60.0) -> dict[str, Any]:
    """Wait until the desk has tickets for so many alerts; its ledger."""

    def ledger() -> dict[str, Any] | None:
        found = desk.ledger()
        return found if len(found["tickets_by_key"]) == count else None

    return wait_until(ledger, what=f"{count} tickets", timeout_s=timeout_s)


def test_a5_an_outage_is_queued_told_and_drained(desk: HelpdeskSimulator) -> None:
    """300 alerts are answered 200 while the desk says 503; afterwards there are 300 tickets, none twice."""
    with local(desk) as run:
        desk.set_faults(fail_next=-1, fail_status=503, scope="all")
        for start in range(0, 300, 50):
            names = [f"a5-{number}" for number in range(start, start + 50)]
            assert run.post_body(webhook(FIRING, *names)) == 200
        wait_until(
            lambda: status(run)["TargetReachable"]["status"] == "False",
            what="it is told",
            timeout_s=30,
        )
        told = status(run)
        assert told["Ready"]["reason"] == "DestinationDown"
        assert told["backlog"] == 300
        assert "300 messages are waiting, none lost, the oldest since" in told["Ready"]["message"]
        assert connector(run) == ("False", "DestinationDown", "destinationDown")

        desk.clear_faults()
        ledger = made(desk, 300, timeout_s=120.0)
        assert ledger["duplicates"] == {}
        wait_until(
            lambda: status(run)["Ready"]["status"] == "True", what="it is well", timeout_s=30
        )
        assert connector(run) == ("True", "InUse", None)
        messages = run.messages()
        assert {message["state"] for message in messages} == {"done"}


def test_a6_an_unknown_outcome_is_looked_up_and_never_doubled(desk: HelpdeskSimulator) -> None:
    """The desk makes the ticket and never says so; the ticket is found, and the recovery resolves it."""
    with local(desk) as run:
        desk.set_faults(hang_after_next=1, scope="creates")
        assert run.post_body(webhook(FIRING, "a6")) == 200
        wait_until(
            lambda: [m["reason"] for m in run.messages()] == ["found"],
            what="the ticket is found",
            timeout_s=90,
        )
        for command in (("trace", "#1"), ("explain", "message", "1")):
            said = run.ask(*command)
            assert ": ok, timeout by transport:timeout (" in said.stdout + said.stderr
            assert "; record: #1; lookup: found" in said.stdout + said.stderr
        assert run.post_body(webhook(RESOLVED, "a6")) == 200
        wait_until(lambda: desk.tickets()[0]["Status"] == "resolved", what="it is resolved")
        assert len(desk.tickets()) == 1


def test_a7_a_limit_is_kept_to_the_second(desk: HelpdeskSimulator) -> None:
    """429 with Retry-After: 7 means that the next call comes after seven seconds."""
    with local(desk) as run:
        desk.set_faults(fail_next=1, fail_status=429, fail_retry_after_s=7, scope="creates")
        began = time.time()
        assert run.post_body(webhook(FIRING, "a7")) == 200
        ledger = made(desk, 1)
        creates = [entry["at"] for entry in ledger["entries"] if entry["op"] == "create"]
        assert len(creates) == 2
        assert creates[1] - creates[0] >= 7.0
        assert time.time() - began < 30


def test_a7_a_refused_credential_stops_its_traffic_and_says_what_to_do(
    desk: HelpdeskSimulator, tmp_path: Path
) -> None:
    """No message is burnt, the sentence names Secret and owner, and a new Secret is enough."""
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder)
    with local(desk, folder) as run:
        desk.set_faults(refuse_token=True)
        assert run.post_body(webhook(FIRING, "a7-one", "a7-two", "a7-three")) == 200
        wait_until(
            lambda: status(run)["CredentialsValid"]["status"] == "False",
            what="it is told",
            timeout_s=30,
        )
        message = status(run)["CredentialsValid"]["message"]
        assert "refused its credential" in message
        assert 'Put a valid credential into Secret "helpdesk-token"' in message
        assert "3 messages are waiting, none lost" in message
        assert "Owner: " in message
        assert desk.ledger()["tickets_by_key"] == {}
        state = run.state
    desk.clear_faults()
    with local(desk, folder, state):
        made(desk, 3)


def with_data_policies(folder: Path) -> None:
    """The desk's class, where 403 may also mean that a record breaks a policy."""
    desk = next(raw for raw in shipped() if raw["metadata"]["name"] == "request-tracker")
    desk = json.loads(json.dumps(desk))
    desk["metadata"]["name"] = "strict-desk"
    desk["spec"]["mappings"] = {}
    policy = {
        "when": 'response.status == 403 && response.body.message.contains("Data Policy")',
        "class": "validation",
        "detail": "response.body.message",
    }
    desk["spec"]["errors"] = [policy, *desk["spec"]["errors"]]
    (folder / "class.yaml").write_text(yaml.safe_dump(desk), encoding="utf-8")
    for file in ("connectors.yaml", "mappings.yaml"):
        text = (folder / file).read_text(encoding="utf-8")
        text = text.replace("class: request-tracker", "class: strict-desk")
        (folder / file).write_text(text, encoding="utf-8")


def test_a7_a_field_that_the_desk_demands_is_one_report(
    desk: HelpdeskSimulator, tmp_path: Path
) -> None:
    """403 for every record without `u_site`: one line in review, and the status names the field.

    What is not there yet: the queue is not held after ten of them, each alert is tried once.
    """
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder)
    with_data_policies(folder)
    with local(desk, folder) as run:
        words = "Data Policy Exception: u_site is mandatory"
        desk.set_faults(fail_next=-1, fail_status=403, fail_message=words, scope="creates")
        assert run.post_body(webhook(FIRING, *(f"a7c-{number}" for number in range(4)))) == 200
        wait_until(
            lambda: [m["state"] for m in run.messages()] == ["review"] * 4, what="all four wait"
        )
        drift = status(run)["SchemaStable"]
        assert (drift["status"], drift["reason"]) == ("False", "DriftDetected")
        assert "names u_site, which Mapping" in drift["message"]
        (group,) = json.loads(run.ask("review", "list", "-o", "json").stdout)
        assert (group["count"], group["errorClass"]) == (4, "validation")
        assert "u_site" in group["detail"]

        desk.clear_faults()
        done = run.ask("review", "retry", str(group["ids"][0]), "--equal")
        assert done.returncode == 0, done.stderr
        assert made(desk, 4)["duplicates"] == {}


def test_a8_a_new_severity_is_decided_once_and_for_all_equal_ones(
    desk: HelpdeskSimulator, tmp_path: Path
) -> None:
    """F50: it waits for a person, the status says where to add it, and one command delivers what waited."""
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder)
    with local(desk, folder) as run:
        assert run.post_body(webhook(FIRING, "a8-one", "a8-two", severity="sev0")) == 200
        wait_until(
            lambda: [m["state"] for m in run.messages()] == ["review", "review"], what="both wait"
        )
        drift = status(run)["SchemaStable"]
        assert (drift["status"], drift["reason"]) == ("False", "DriftDetected")
        assert '"sev0" at labels.severity' in drift["message"]
        state = run.state

    mappings = list(yaml.safe_load_all((folder / "mappings.yaml").read_text(encoding="utf-8")))
    for mapping in mappings:
        for rule in mapping["spec"]["fields"]:
            if rule["to"] == "severity" and "page" in rule.get("values", {}):
                rule["values"]["sev0"] = "critical"
    (folder / "mappings.yaml").write_text(yaml.safe_dump_all(mappings), encoding="utf-8")

    with local(desk, folder, state) as run:
        done = run.ask("review", "retry", "1", "--equal")
        assert done.returncode == 0, done.stderr
        ledger = made(desk, 2)
        assert ledger["duplicates"] == {}
        assert status(run)["SchemaStable"]["status"] == "True"


def validated(folder: Path, manifests: list[dict[str, Any]]) -> tuple[int, list[dict[str, Any]]]:
    """Exit code of `intops validate`, and what it refuses."""
    (folder / "all.yaml").write_text(yaml.safe_dump_all(manifests), encoding="utf-8")
    done = intops("validate", str(folder), "-n", NAMESPACE, "-o", "json")
    findings = json.loads(done.stdout)["findings"]
    return done.returncode, [found for found in findings if found["severity"] == "deny"]


def test_a12_what_is_sound_is_let_in(tmp_path: Path) -> None:
    """The control of the next: without its fault each of the eight is accepted."""
    assert validated(tmp_path, sound()) == (0, [])


@pytest.mark.parametrize("step", EIGHT)
def test_a12_a_broken_flow_is_refused_with_its_own_message(step: str, tmp_path: Path) -> None:
    """One fault, one sentence, with the object and the field that are wrong."""
    broken, manifests = EIGHT[step], sound()
    broken.how(manifests)

    code, denied = validated(tmp_path, manifests)

    assert code == 1
    (found,) = denied
    assert (found["rule"], found["object"]) == (broken.rule, f"{broken.kind}/{broken.name}")
    assert found["path"].startswith(broken.path)
    assert broken.words in found["message"]
