"""Cases of a folder: which payloads go in, which requests must come out. No network, no store.

Files in the folder `cases` beside the manifests hold lists of cases; `intops test` and the test suite run them.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from intops_api.common import ApiModel
from intops_cli.manifests import CASES, ManifestError
from intops_cli.project import Project
from intops_runtime.core import episodes
from intops_runtime.core.compiled import CompiledPlan, PlanRejected, compile_plan
from intops_runtime.core.exchanges import Facts, HttpRequest, RequestError
from intops_runtime.core.intake import intake
from intops_runtime.core.messages import Delivery, Episode, Link, NewMessage, State
from intops_runtime.core.shaping import Shaped, Unshaped, change, shape
from intops_runtime.core.stepping import Step, goal_of


class CaseRequest(ApiModel):
    """One request that must come out; what is not listed is not compared."""

    operation: str
    method: str | None = None
    path: str | None = None
    body: Any = None


class Case(ApiModel):
    """Payloads in, requests out, in order; the target is taken to do what it is asked."""

    name: str
    flow: str
    source: str
    deliver: list[str] = Field(min_length=1)
    """JSON files, by their paths from the folder of the manifests."""
    requests: list[CaseRequest] = Field(default_factory=list)
    dropped: dict[str, int] = Field(default_factory=dict)
    """Reason → how many messages are dropped for it."""
    review: int = 0
    """How many messages wait for a person."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """Whether one case holds; `message` says what differs."""

    flow: str
    name: str
    message: str | None


def run_cases(folder: Path, project: Project) -> Iterator[CaseResult]:
    """Run every case of a folder.

    Raises:
        ManifestError: the case file is wrong; the text names file and field.
    """
    cases = [case for file in sorted((folder / CASES).glob("*.yaml")) for case in _read(file)]
    flows = {flow.ref.name: flow for flow in project.flows()}
    for case in cases:
        flow = flows.get(case.flow)
        if flow is None:
            yield CaseResult(case.flow, case.name, f'There is no Flow "{case.flow}" in the folder.')
            continue
        planned = project.plan(flow)
        if planned.plan is None:
            yield CaseResult(case.flow, case.name, "The Flow cannot be planned; see its findings.")
            continue
        try:
            compiled = compile_plan(planned.plan)
        except PlanRejected as error:
            yield CaseResult(case.flow, case.name, str(error))
            continue
        try:
            differs = Rehearsal(compiled).play(case, folder)
        except RequestError as error:
            differs = f"The class cannot make its request: {error.path}: {error.message}"
        yield CaseResult(case.flow, case.name, differs)


def _read(file: Path) -> list[Case]:
    try:
        return [Case.model_validate(raw) for raw in yaml.safe_load(file.read_text("utf-8"))]
    except (yaml.YAMLError, ValidationError, TypeError) as error:
        raise ManifestError(f"{file}: this is no list of cases: {error}") from error


class Rehearsal:
    """One Flow without network and store: the target does what it is asked and numbers its records."""

    def __init__(self, plan: CompiledPlan) -> None:
        self._plan = plan
        self._links: dict[str, Link] = {}
        self._episodes: dict[str, Episode] = {}
        self._seen: set[str] = set()
        self._dropped: dict[str, int] = {}
        self._review = 0
        self.requests: list[tuple[str, HttpRequest]] = []

    def play(self, case: Case, folder: Path) -> str | None:
        """Run a case; None where it holds, else a sentence that says what differs."""
        for index, name in enumerate(case.deliver):
            body = (folder / name).read_bytes()
            delivery = Delivery(index + 1, case.source, name, {}, body, time.time())
            for message in intake(self._plan, delivery, now=datetime.now(UTC)).messages:
                self._take(message)
        return self._difference(case)

    def _take(self, message: NewMessage) -> None:
        if message.dedup is not None and message.dedup in self._seen:
            return self._drop("duplicate")
        self._seen.add(message.dedup or "")
        if message.state is State.REVIEW:
            self._review += 1
            return None
        if episodes.is_heartbeat(message.record or {}):
            return self._drop("heartbeat")
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        shaped = shape(self._plan, message.key, message.record or {}, stamp)
        if isinstance(shaped, Unshaped):
            self._review += 1
            return None
        decision = episodes.decide(
            message.record or {},
            shaped.incident,
            episode=self._episodes.get(message.key),
            link=self._links.get(message.key),
            closure=self._plan.plan.closure,
            transitions=self._plan.transitions,
        )
        return self._act(message, shaped, decision, stamp)

    def _act(
        self, message: NewMessage, shaped: Shaped, decision: episodes.Decision, stamp: str
    ) -> None:
        key, link = message.key, self._links.get(message.key)
        match decision:
            case episodes.Drop(reason=reason):
                self._drop(reason)
            case episodes.Create():
                self._send(
                    "create", shaped, Facts(shaped.target.binding.config, shaped.record, key)
                )
                self._links[key] = _made(shaped, key, len(self._links) + 1)
            case episodes.Change(operation=operation, fields=fields) if link is not None:
                changed = change(shaped, link, fields, stamp)
                if isinstance(changed, Shaped):
                    facts = Facts(shaped.target.binding.config, changed.written, key, _names(link))
                    self._send(operation, shaped, facts)
            case episodes.Comment(text=text) if link is not None:
                facts = Facts(shaped.target.binding.config, {}, key, _names(link), text)
                self._send("comment", shaped, facts)
            case _:
                self._drop("noRecord")
        if decision.episode is not None:
            self._episodes[key] = Episode(key, decision.episode, 1, 0.0)

    def _send(self, name: str, shaped: Shaped, facts: Facts) -> None:
        operation = shaped.target.class_.operations[name]
        goal = goal_of(operation.steps, facts.record) if operation.steps is not None else None
        if goal is not None:
            facts = replace(facts, step=Step(goal, goal))  # every way is taken to be there
        endpoint = shaped.target.binding.endpoint or ""
        self.requests.append((name, operation.request(endpoint, facts, headers={}, timeout_s=None)))

    def _drop(self, reason: str) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + 1

    def _difference(self, case: Case) -> str | None:
        if len(self.requests) != len(case.requests):
            names = ", ".join(name for name, _ in self.requests) or "none"
            return (
                f"{len(case.requests)} requests are expected, {len(self.requests)} came: {names}."
            )
        for index, (wanted, (name, request)) in enumerate(
            zip(case.requests, self.requests, strict=True)
        ):
            differs = _differs(wanted, name, request)
            if differs is not None:
                return f"requests[{index}]: {differs}"
        if self._dropped != case.dropped:
            return f"dropped: {case.dropped} is expected, {self._dropped} came."
        if self._review != case.review:
            return f"review: {case.review} is expected, {self._review} came."
        return None


def _differs(wanted: CaseRequest, name: str, request: HttpRequest) -> str | None:
    path = "/" + request.url.split("://", 1)[-1].partition("/")[2]
    if wanted.operation != name:
        return f"operation {wanted.operation} is expected, {name} came."
    if wanted.method is not None and wanted.method != request.method:
        return f"method {wanted.method} is expected, {request.method} came."
    if wanted.path is not None and wanted.path != path:
        return f"path {wanted.path} is expected, {path} came."
    return _subset(wanted.body, request.body, "body")


def _subset(wanted: Any, found: Any, path: str) -> str | None:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            if key not in found:
                return f"{path}.{key} is missing."
            differs = _subset(value, found[key], f"{path}.{key}")
            if differs is not None:
                return differs
        return None
    if wanted is not None and wanted != found:
        return f"{path}: {wanted!r} is expected, {found!r} came."
    return None


def _made(shaped: Shaped, key: str, number: int) -> Link:
    binding = shaped.target.binding
    return Link(
        key, binding.name, binding.connector, shaped.target.object, str(number), f"#{number}",
        agreed={"incident": shaped.incident, "record": shaped.record},
    )  # fmt: skip


def _names(link: Link) -> dict[str, Any]:
    return {
        "nativeId": link.native_id,
        "displayId": link.display_id or "",
        "version": "",
        "url": "",
    }
