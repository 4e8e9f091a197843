"""What intops does about each of the eighteen classes of errors, and what a person reads, with times.

A real worker, a desk that answers as the class demands, and the operator's own verdict about the worker's
report. `make reactions` keeps the figures for docs/reference/error-classes.md; a plain run changes no file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from intops_api.conditions import ConditionType
from intops_api.report import PlanReport
from intops_core.error_classes import ERROR_CLASSES
from intops_operator.core.judging import Judged
from support.runtime.reactions import Reaction, write_reactions
from support.runtime.stage import FIRING, RESOLVED, Stage, register_behind_proxy, stage_for
from support.simulators.inventory import on_db01, plan_with_inventory, serving
from support.simulators.register import CLIENT, plan_for

pytestmark = pytest.mark.fault

REVIEW = "column REVIEW"
DECISION = "a person decides"
MEASURED: dict[str, Reaction] = {}

Case = Callable[[Stage], Awaitable[Reaction]]
CASES: dict[str, Case] = {}


def case(of: Case) -> Case:
    """Register a case under its name, which is the class's."""
    head, *tail = of.__name__.split("_")
    CASES[head + "".join(part.capitalize() for part in tail)] = of
    return of


@pytest.fixture(scope="module", autouse=True)
def kept(pytestconfig: pytest.Config) -> Iterator[None]:
    """Write the figures at the end, where somebody asked for that."""
    yield
    path: Path | None = pytestconfig.option.write_reactions
    if path is not None:
        write_reactions(path, MEASURED)


FLOWS: dict[str, Any] = {
    "rateLimited": lambda spec: spec["slo"].update(within="3s"),
}
ERRORS: dict[str, Any] = {"expired": {"expired": {"strategy": "drop", "maxAge": "1s"}}}


@pytest.fixture
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Everything running, with the Flow that the class needs."""
    name = request.param
    async with register_behind_proxy() as (register, proxy), serving() as inventory:
        flow = FLOWS.get(name, lambda _: None)
        plan = plan_for(proxy.url, ERRORS.get(name, {}), flow=flow)
        if name == "enrichmentUnavailable":
            plan = plan_with_inventory(proxy.url, inventory.url)
        async with stage_for(plan, register, proxy) as stage:
            stage.inventory = inventory
            yield stage


@pytest.mark.parametrize(
    ("stage", "name"),
    [(entry.name, entry.name) for entry in ERROR_CLASSES],
    indirect=["stage"],
    ids=[entry.name for entry in ERROR_CLASSES],
)
async def test_each_class_of_errors_is_answered_as_documented(stage: Stage, name: str) -> None:
    """Attempts, what waits, where the message ends, what the status says and when it takes it back."""
    MEASURED[name] = await CASES[name](stage)


def test_every_class_has_a_measured_reaction() -> None:
    """All eighteen."""
    assert {entry.name for entry in ERROR_CLASSES} == set(CASES)


def classes_of(message: dict[str, Any]) -> list[str | None]:
    """How each attempt of a message ended."""
    return [attempt["errorClass"] for attempt in message["attempts"]]


@case
async def transient_network(stage: Stage) -> Reaction:
    """One 503: whether the write was done is looked up, then it is repeated."""
    stage.register.answers = [(503, {}, {})]
    await stage.fire("a")
    message = await stage.comes_to("a", "done")
    assert "transientNetwork" in [change["reason"] for change in message["transitions"]]
    assert [attempt["outcome"] for attempt in message["attempts"]] == ["absent", "ok"]
    assert (stage.register.writes, len(stage.register.cases)) == (2, 1)
    await stage.others_pass()
    return Reaction("HTTP 503 once, without Retry-After", 2, "the message", "delivered")


@case
async def timeout(stage: Stage) -> Reaction:
    """The write is done and never answered: it is found, not repeated."""
    stage.register.hang_after_work = 1
    await stage.fire("a")
    await stage.others_pass()
    message = await stage.comes_to("a", "done")
    assert (message["reason"], stage.register.writes) == ("found", 2)
    return Reaction("the write is done, no answer comes", 1, "the message", "delivered")


@case
async def rate_limited(stage: Stage) -> Reaction:
    """Nothing at all is sent for as long as the desk asked for."""
    stage.register.answers = [(429, {}, {"Retry-After": "8"})]
    stage.watch.begin()
    await stage.fire("a")
    await stage.comes_to("a", "waiting")
    await stage.others_wait("waiting")
    said = await stage.watch.condition(ConditionType.READY, "False")
    assert "asks for a pause" in said.words
    assert stage.register.writes == 1
    message = await stage.comes_to("a", "done")
    assert (classes_of(message), message["tries"]) == (["rateLimited", None], 0)
    back = await stage.watch.condition(ConditionType.READY, "True")
    return Reaction(
        "HTTP 429 with Retry-After: 8; spec.slo.within is 3s", 2, "the connector", "delivered",
        "Ready=False (BacklogLate)", said.after_s, said.words,
        "the pause ends", round(back.after_s - 8.0, 1),
    )  # fmt: skip


@case
async def auth_expired(stage: Stage) -> Reaction:
    """A token that ended early is fetched anew once, and no message notices."""
    stage.register.live_tokens.clear()
    given = stage.register.tokens_given
    await stage.fire("a")
    message = await stage.comes_to("a", "done")
    assert (classes_of(message), message["tries"]) == ([None], 0)
    assert (stage.register.tokens_given - given, stage.register.refused) == (1, 1)
    await stage.others_pass()
    return Reaction("HTTP 401 for an access token that ended early", 1, "the message", "delivered")


@case
async def auth_denied(stage: Stage) -> Reaction:
    """The credential is used no more until it is another one."""
    stage.register.token_answer = (401, {"error": "invalid_client"})
    stage.register.live_tokens.clear()
    stage.watch.begin()
    await stage.fire("a")
    said = await stage.watch.condition(ConditionType.CREDENTIALS_VALID, "False")
    asked = len(stage.register.requests)
    await stage.others_wait("held")
    assert len(stage.register.requests) == asked
    attempts = len((await stage.told("a"))["attempts"])

    stage.register.token_answer = None
    stage.watch.begin()
    stage.worker.write_secret("helpdesk-token", {**CLIENT, "clientSecret": "another-secret"})
    back = await stage.watch.condition(ConditionType.CREDENTIALS_VALID, "True")
    await stage.comes_to("a", "done")
    return Reaction(
        "the token is refused, and so is the client that asks for another", attempts,
        "the connector", "held, then delivered",
        "CredentialsValid=False (AuthDenied)", said.after_s, said.words,
        "the Secret changes", back.after_s,
    )  # fmt: skip


async def refused(
    stage: Stage, status: int, cause: str, *, name: str, body: dict[str, Any] | None = None
) -> Reaction:
    """An answer that no repetition would change."""
    stage.register.answers = [(status, body or {}, {})]
    stage.watch.begin()
    await stage.fire("a")
    said = await stage.watch.counted("review", 1)
    message = await stage.told("a")
    assert (message["state"], classes_of(message)) == ("review", [name])
    await stage.others_pass()
    return await decided(stage, message, said.after_s, cause)


async def decided(
    stage: Stage, message: dict[str, Any], said_after_s: float, cause: str
) -> Reaction:
    """A person has it tried again; it is delivered, and nobody has to look any more."""
    words = await stage.review_words()
    back = await stage.decide("retry")
    await stage.comes_to(message["title"], "done")
    return Reaction(
        cause, len(message["attempts"]), "the message", "review, then delivered",
        REVIEW, said_after_s, words, DECISION, back.after_s,
    )  # fmt: skip


@case
async def forbidden(stage: Stage) -> Reaction:
    """The account lacks a right for this record."""
    return await refused(stage, 403, "HTTP 403", name="forbidden")


@case
async def validation(stage: Stage) -> Reaction:
    """The record is refused."""
    body = {"message": "title is too long"}
    found = await refused(stage, 422, "HTTP 422 with a sentence", name="validation", body=body)
    assert "title is too long" in found.words
    return found


@case
async def conflict(stage: Stage) -> Reaction:
    """Three writes in all, then a person."""
    await stage.fire("a")
    await stage.comes_to("a", "done")
    stage.register.answers = [(409, {}, {})] * 3
    stage.watch.begin()
    await stage.fire("a", RESOLVED)
    said = await stage.watch.counted("review", 1)
    message = await stage.told("a")
    assert classes_of(message) == ["conflict"] * 3
    await stage.others_pass()
    return await decided(stage, message, said.after_s, "HTTP 409 for a change, three times")


@case
async def duplicate(stage: Stage) -> Reaction:
    """A store that was lost: the desk knows our record, the worker does not; there is no second one."""
    later = {"startsAt": "2090-01-01T00:00:00Z"}  # so young that nobody is expected to have it
    alert = {**RESOLVED["alerts"][0], **later, "status": "firing"}
    young = {**RESOLVED, "status": "firing", "alerts": [alert]}
    await stage.fire("a", young)
    await stage.comes_to("a", "done")
    stage.worker.terminate()
    for file in (stage.worker.root / "data").rglob("store.sqlite*"):
        file.unlink()
    await stage.start()
    await stage.fire("a", young)
    message = await stage.comes_to("a", "done")
    assert (message["reason"], len(stage.register.cases)) == ("adopted", 1)
    await stage.others_pass()
    attempts = len(message["attempts"])
    return Reaction(
        "the desk's own constraint refuses a second record", attempts, "the message", "delivered"
    )


@case
async def not_found(stage: Stage) -> Reaction:
    """A record that is gone gets no twin."""
    await stage.fire("a")
    await stage.comes_to("a", "done")
    gone = dict(stage.register.cases)
    stage.register.cases.clear()
    stage.watch.begin()
    await stage.fire("a", RESOLVED)
    said = await stage.watch.counted("review", 1)
    message = await stage.told("a")
    assert (classes_of(message), stage.register.cases) == (["notFound"], {})
    await stage.others_pass()
    stage.register.cases |= {number: {**case, "id": number} for number, case in gone.items()}
    return await decided(
        stage, message, said.after_s, "HTTP 404 for a change, nothing under our key"
    )


@case
async def destination_down(stage: Stage) -> Reaction:
    """Connections are refused; the desk is asked whether it is back, with no message."""
    await stage.proxy.down()
    stage.watch.begin()
    await stage.fire("a")
    said = await stage.watch.condition(ConditionType.TARGET_REACHABLE, "False")
    await stage.others_wait("held")
    attempts = len((await stage.told("a"))["attempts"])
    assert stage.register.writes == 0

    stage.watch.begin()
    await stage.proxy.up()
    back = await stage.watch.condition(ConditionType.TARGET_REACHABLE, "True")
    await stage.comes_to("a", "done")
    await stage.comes_to("other", "done")
    return Reaction(
        "connections are refused", attempts, "the connector", "held, then delivered",
        "TargetReachable=False (DestinationDown)", said.after_s, said.words,
        "the desk is back", back.after_s,
    )  # fmt: skip


@case
async def schema_drift(stage: Stage) -> Reaction:
    """A payload of no known form; others of the same source pass."""
    stage.watch.begin()
    await stage.fire("a", version="5")
    said = await stage.watch.condition(ConditionType.SCHEMA_STABLE, "False")
    message = await in_review(stage)
    await stage.others_pass()

    def learns(spec: dict[str, Any]) -> None:
        spec["variants"].append({"name": "v5", "when": 'payload.version == "5"'})
        spec["examples"] = [e for e in spec["examples"] if e.get("outcome") != "drift"]

    stage.watch.begin()
    stage.switch(plan_for(stage.proxy.url, {}, source=learns))
    back = await stage.watch.condition(ConditionType.SCHEMA_STABLE, "True")
    await stage.decide("retry")
    await stage.comes_to("a", "done")
    return Reaction(
        "a payload of a version that the Mapping does not know", len(message["attempts"]),
        "the message", "review, then delivered",
        "SchemaStable=False (DriftDetected)", said.after_s, said.words,
        "the Mapping learns the form", back.after_s,
    )  # fmt: skip


async def in_review(stage: Stage) -> dict[str, Any]:
    """The only message in review."""
    messages = await asyncio.to_thread(stage.messages)
    (message,) = [found for found in messages if found["state"] == "review"]
    return message


@case
async def payload_malformed(stage: Stage) -> Reaction:
    """The sender is answered, the bytes are kept."""
    stage.watch.begin()
    assert await stage.post_raw(b'{"version": "4", "alerts": [') == 200
    said = await stage.watch.counted("review", 1)
    message = await in_review(stage)
    assert message["errorClass"] == "payloadMalformed"
    await stage.others_pass()
    words = await stage.review_words()
    back = await stage.decide("discard")
    return Reaction(
        "half a JSON text, from a sender that proved who it is", 0, "the delivery",
        "review, then discarded",
        REVIEW, said.after_s, words, DECISION, back.after_s,
    )  # fmt: skip


@case
async def poison(stage: Stage) -> Reaction:
    """The worker's own code fails three times on one message; the process lives on."""
    stage.crash.write_text("a", encoding="utf-8")
    pid = stage.worker.pid
    stage.watch.begin()
    await stage.fire("a")
    await stage.others_pass()
    said = await stage.watch.counted("review", 1)
    message = await stage.told("a")
    assert (message["errorClass"], message["attempts"]) == ("poison", [])
    assert stage.worker.pid == pid
    assert not stage.worker.exited()
    stage.crash.unlink()
    return await decided(stage, message, said.after_s, "the worker's code fails on it three times")


@case
async def policy_denied(stage: Stage) -> Reaction:
    """An address that may never be called: nothing is sent, and a corrected Connector is enough."""
    good, pid = stage.plan, stage.worker.pid
    stage.watch.begin()
    await forbid(stage)
    await stage.fire("a")
    said = await stage.watch.condition(ConditionType.CREDENTIALS_VALID, "False")
    assert (await stage.watch.look())[1].ready.reason == "OriginNotAllowed"
    await stage.comes_to("a", "held")
    await stage.others_wait("held")
    assert stage.register.writes == 0
    attempts = len((await stage.told("a"))["attempts"])

    stage.watch.begin()
    stage.switch(good)
    back = await stage.watch.condition(ConditionType.CREDENTIALS_VALID, "True")
    await stage.comes_to("a", "done")
    await stage.comes_to("other", "done")
    assert stage.worker.pid == pid
    return Reaction(
        "the endpoint is a link-local address", attempts, "the connector", "held, then delivered",
        "CredentialsValid=False (OriginNotAllowed)", said.after_s, said.words,
        "the Connector is corrected", back.after_s,
    )  # fmt: skip


async def forbid(stage: Stage) -> None:
    """The worker gets a plan that leads to an address which nobody may call; admission refuses it too."""
    bindings = [
        one.model_copy(update={"endpoint": "http://169.254.169.254"})
        if one.role == "target"
        else one
        for one in stage.plan.bindings
    ]
    stage.switch(stage.plan.model_copy(update={"bindings": bindings, "hash": "0" * 16}))
    await stage.watch.until(
        lambda report, _: "" if report.active == stage.plan.hash else None, "the plan is taken"
    )


@case
async def expired(stage: Stage) -> Reaction:
    """Only where the Flow gives a maxAge; it is counted, not told."""
    stage.register.answers = [(429, {}, {"Retry-After": "2"})]
    stage.watch.begin()
    await stage.fire("a")
    message = await stage.comes_to("a", "dropped")
    report, _ = await stage.watch.look()
    assert (report.store.dropped, stage.register.cases) == ({"expired": 1}, {})
    await stage.others_pass()
    return Reaction(
        "a limit of 2 s where errors.expired is {strategy: drop, maxAge: 1s}",
        len(message["attempts"]), "the message", "dropped and counted", words=message["detail"],
    )  # fmt: skip


@contextlib.contextmanager
def small_volume(place: Path) -> Iterator[None]:
    """A volume of 40 MiB; mounting one takes root."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@case
async def buffer_pressure(stage: Stage) -> Reaction:
    """The volume is nearly full: senders are told to come again, what is stored is delivered."""
    if os.geteuid() != 0:
        pytest.skip("Mounting a small volume takes root.")
    stage.worker.terminate()
    with small_volume(stage.worker.root / "data"):
        await stage.start()
        await stage.fire("before")
        ballast = stage.worker.root / "data" / "ballast"
        ballast.write_bytes(b"x" * (30 * 1024 * 1024))
        stage.watch.begin()
        said = await stage.watch.condition(ConditionType.PROGRAMMED, "False")
        assert await stage.post_raw(b"{}") == 503
        await stage.comes_to("before", "done")
        stage.watch.begin()
        ballast.unlink()
        back = await stage.watch.condition(ConditionType.PROGRAMMED, "True")
        await stage.others_pass()
        stage.worker.terminate()
    await stage.start()
    return Reaction(
        "less room on the volume than the reserve", 0, "the sender", "refused with 503",
        "Programmed=False (StoreFull)", said.after_s, said.words,
        "there is room again", back.after_s,
    )  # fmt: skip


@case
async def enrichment_unavailable(stage: Stage) -> Reaction:
    """The incident is made in time without what the inventory knows, and completed when it answers."""
    inventory = stage.inventory
    assert inventory is not None
    inventory.status = 500
    stage.watch.begin()
    await stage.fire("a", on_db01(FIRING))
    message = await stage.comes_to("a", "done")
    attempts = len(message["attempts"])
    (case_,) = stage.register.cases.values()
    assert (case_["context"], "service" in case_) == ("partial", False)

    def without(report: PlanReport, judged: Judged) -> str | None:
        words = judged.ready.message
        return words if judged.ready.status == "True" and '"ci"' in words else None

    said = await stage.watch.until(without, "Ready tells what is missing")
    inventory.status = 200
    stage.watch.begin()
    back = await stage.watch.until(
        lambda report, _: "completed" if report.store.received == 2 == report.store.done else None,
        "the incident is completed", timeout_s=90,
    )  # fmt: skip
    (case_,) = stage.register.cases.values()
    assert (case_["context"], case_["service"], case_["impact"]) == (
        "complete",
        "payments",
        "medium",
    )
    return Reaction(
        "the inventory that is an enricher answers HTTP 500", attempts, "the message",
        "delivered, then completed", "Ready=True, in its message", said.after_s, said.words,
        "the inventory answers", back.after_s,
    )  # fmt: skip
