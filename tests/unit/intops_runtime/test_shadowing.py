"""A Mapping on trial: what it would have made of messages, counted, and harmless whatever it does."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from intops_api.plan import FlowPlan
from intops_runtime.core.compiled import CompiledPlan, compile_plan
from intops_runtime.core.crashes import TRIES
from intops_runtime.core.hiding import MASK
from intops_runtime.core.intake import intake
from intops_runtime.core.messages import LEFT_OUT, Delivery
from intops_runtime.core.shadowing import MAX_FIELDS, Allowance, Trial, trials
from intops_runtime.edges.black_box import BlackBox
from intops_runtime.shadows import Shadows
from support.runtime.flows import (
    EXAMPLE,
    change,
    example_manifests,
    make_plan,
    put_on_trial,
    rule_of,
    unplaced_severity_goes_on,
)

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
FIRING: dict[str, Any] = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text("utf-8"))
SOURCE, TARGET = "alertmanager-to-event", "incident-to-helpdesk"


def plan(mapping: str, how: Callable[[dict[str, Any]], object]) -> CompiledPlan:
    """The first example, with a changed copy of one of its Mappings on trial."""
    manifests = example_manifests()
    put_on_trial(manifests, mapping, how)
    return compile_plan(make_plan(manifests))


def rule(to: str, **changes: Any) -> Callable[[dict[str, Any]], object]:
    """A change of one rule."""
    return lambda spec: rule_of(spec, to).update(changes)


def delivery(*severities: str, number: int = 1, **body: Any) -> Delivery:
    """One webhook with an alert for each severity."""
    sent = {**copy.deepcopy(FIRING), **body}
    first = sent["alerts"][0]
    sent["alerts"] = [
        {**first, "fingerprint": f"{n:016x}", "labels": {**first["labels"], "severity": severity}}
        for n, severity in enumerate(severities)
    ]
    return Delivery(number, "prometheus", "d", {}, json.dumps(sent).encode(), 0.0)


def shown_to(trial: Trial, compiled: CompiledPlan, *given: Delivery) -> Trial:
    """The trial after some deliveries."""
    for one in given:
        result = intake(compiled, one, now=NOW)
        if trial.concerns(one, result):
            asked = {message.item for message in result.messages if message.reason == LEFT_OUT}
            for message in result.messages:
                trial.look(one, message, NOW, asked=message.item in asked)
    return trial


def tried(compiled: CompiledPlan, *given: Delivery) -> Trial:
    """The only trial of a plan after some deliveries."""
    (trial,) = trials(compiled, NOW.timestamp())
    return shown_to(trial, compiled, *given)


def test_each_message_is_counted_once_and_each_field_with_its_first_values() -> None:
    """What follows from a field downstream is told too: that is what people would see in the ticket."""
    compiled = plan(SOURCE, rule("severity", values={"warning": "major", "critical": "critical"}))

    trial = tried(compiled, delivery("warning", "critical"), delivery("warning", number=2))

    report = trial.report()
    assert (report.compared, report.same, report.differing, report.failing) == (3, 1, 2, 0)
    fields = {one.path: one for one in trial.disagreements()}
    severity = fields["event.severity"]
    assert (severity.before, severity.after) == ("warning", "major")
    assert (severity.messages, severity.example) == (2, (1, 0))
    assert fields["helpdesk.CustomFields.Severity"].messages == 2
    assert "warning" not in report.model_dump_json()  # a report has no payload
    assert {field.since for field in report.fields} == {"2026-11-25T12:00:00Z"}


def test_failures_are_told_apart_and_come_first() -> None:
    """A value that a table lacks, a form that no variant knows, and a message that would be mended."""
    compiled = plan(SOURCE, rule("severity", values={"critical": "critical", "sev-0": "critical"}))
    trial = tried(compiled, delivery("warning", "critical", "sev-0", "sev-9"))

    assert dict(trial.counts) == {"unmapped": 1, "same": 2, "differs": 1}
    broken, mended = trial.disagreements()
    assert (broken.path, broken.result) == ("severity", "unmapped")
    assert "warning" in broken.detail
    assert (mended.path, mended.result, mended.example) == ("severity", "mends", (1, 2))

    other = plan(
        SOURCE, lambda s: s.update(variants=[{"name": "v9", "when": 'payload.version == "9"'}])
    )
    assert tried(other, delivery("warning")).counts == {"drift": 1}


def test_a_question_beside_a_message_is_not_compared() -> None:
    """Where a value is left to a person the rest is one message, on either side of the comparison."""
    manifests = example_manifests()
    unplaced_severity_goes_on(manifests)
    put_on_trial(manifests, SOURCE, rule("title", **{"from": ["fingerprint"]}))

    trial = tried(compile_plan(make_plan(manifests)), delivery("sev-9", "critical"))

    assert dict(trial.counts) == {"differs": 2}
    assert "event.severity" not in {one.path for one in trial.disagreements()}


def test_a_question_that_nobody_is_asked_now_counts_as_unmapped() -> None:
    """The record would be the same, and a person would have something to do."""
    manifests = example_manifests()
    unplaced_severity_goes_on(manifests)
    change(manifests, "Mapping", SOURCE, rule("severity", onUnmapped="default", default="unknown"))
    put_on_trial(manifests, SOURCE, rule("severity", onUnmapped="continue"))

    trial = tried(compile_plan(make_plan(manifests)), delivery("sev-9", "critical"))

    assert dict(trial.counts) == {"unmapped": 1, "same": 1}
    assert [(one.path, one.result) for one in trial.disagreements()] == [("severity", "unmapped")]


def test_a_new_key_is_told_since_it_would_open_second_tickets() -> None:
    """The one difference that no field of the ticket shows."""
    compiled = plan(SOURCE, rule("episodeKey", cel="object.fingerprint"))

    paths = {one.path for one in tried(compiled, delivery("warning")).disagreements()}

    assert "correlationKey" in paths


def test_the_mapping_of_a_target_is_tried_on_what_would_be_written_to_it() -> None:
    """Beside messages that do not come so far it says nothing."""
    compiled = plan(TARGET, rule("Queue", values={"Payments-L2": "Pay", "Service-Desk": "X"}))

    trial = tried(compiled, delivery("warning", "sev-0"))

    (queue,) = trial.disagreements()
    assert (queue.path, queue.before, queue.after) == ("helpdesk.Queue", "Payments", "Pay")
    assert trial.report().compared == 1


def test_personal_values_are_masked_and_told_to_differ() -> None:
    """What either Mapping knows to be personal is shown for neither."""
    found = plan(SOURCE, rule("title", **{"from": ["labels.alertname"]})).plan
    raw = found.to_wire()
    raw["blobs"]["models"][found.model_in.blob]["spec"]["fields"]["title"]["personal"] = True
    compiled = compile_plan(FlowPlan.model_validate(raw))

    fields = {one.path: one for one in tried(compiled, delivery("warning")).disagreements()}

    title = fields["event.title"]
    assert (title.before, title.after) == (MASK, MASK)
    assert fields["helpdesk.Subject"].after == MASK


def test_a_report_stays_small_however_many_fields_differ() -> None:
    """What is beyond is counted."""
    compiled = plan(SOURCE, lambda spec: spec["fields"].remove(rule_of(spec, "resource.labels")))
    labels = {f"label{number}": "x" for number in range(MAX_FIELDS + 5)}
    alert = {**FIRING["alerts"][0], "labels": labels}
    body = json.dumps({**FIRING, "alerts": [alert]}).encode()

    report = tried(compiled, Delivery(1, "prometheus", "d", {}, body, 0.0)).report()

    assert (len(report.fields), report.further, report.differing) == (MAX_FIELDS, 5, 1)


def test_a_delivery_of_another_source_or_another_plan_is_no_part_of_the_trial() -> None:
    """What was split before a switch was made by a Mapping that is not the one compared with."""
    compiled = plan(SOURCE, rule("severity", default="info"))
    other = plan(SOURCE, rule("severity", default="minor"))
    (trial,) = trials(compiled, 0.0)
    given = delivery("warning")

    trial.look(given, intake(other, given, now=NOW).messages[0], NOW)
    broken = Delivery(2, "prometheus", "d", {}, b"{", 0.0)

    assert not trial.concerns(broken, intake(compiled, broken, now=NOW))
    assert trial.counts == {}


def test_a_shadow_that_does_not_compile_stops_its_trial_and_not_the_plan() -> None:
    """Such a plan comes only past admission; the Mapping that decides runs all the same."""
    found = plan(SOURCE, lambda spec: None).plan
    raw = found.to_wire()
    shadow = found.bindings_of("source")[0].shadow or ""
    raw["blobs"]["mappings"][shadow]["spec"]["fields"][1]["cel"] = "object.("

    (trial,) = trials(compile_plan(FlowPlan.model_validate(raw)), 0.0)

    assert 'Mapping "candidate" cannot be tried' in (trial.stopped or "")
    assert trial.report().stopped == trial.stopped


def test_time_for_trials_is_a_share_and_what_one_takes_too_much_is_made_up_for() -> None:
    """A slow shadow is looked at less often, so that messages need not wait for it."""
    allowance = Allowance(share=0.1, at_once_s=0.2)
    assert allowance.has_room(100.0)
    allowance.took(1.25)
    assert not allowance.has_room(109.0)
    assert allowance.has_room(111.0)
    allowance.took(0.15)
    assert allowance.has_room(10_000.0)
    allowance.took(0.25)
    assert not allowance.has_room(10_000.0)  # what was not used in an hour is not saved up


class Clumsy(Trial):
    """A trial with a defect."""

    def look(self, *_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a defect")


def test_a_crash_is_counted_and_goes_no_further(tmp_path: Path) -> None:
    """The intake that shows it messages does not notice."""
    compiled = plan(SOURCE, lambda spec: None)
    shadows = Shadows(compiled, BlackBox(tmp_path, flow="itsm/alerts"))
    shadows.trials = [Clumsy(compiled, compiled.plan.bindings_of("source")[0], 0.0)]
    given = delivery("warning", "critical")

    asyncio.run(shadows.compare([given], [intake(compiled, given, now=NOW)], NOW))

    (trial,) = shadows.trials
    assert trial.counts == {"error": 2}
    (found,) = trial.disagreements()
    assert (found.result, found.messages) == ("error", 2)
    assert "ZeroDivisionError" in found.detail


class Slow(Trial):
    """A trial that takes longer over one message than trials may take at once."""

    def look(self, *given: Any, **named: Any) -> None:
        time.sleep(Allowance().at_once_s * 1.2)
        super().look(*given, **named)


def test_a_slow_shadow_is_not_shown_every_message_and_says_so(tmp_path: Path) -> None:
    """The next deliveries wait for it once, and not for each alert."""
    compiled = plan(SOURCE, lambda spec: None)
    shadows = Shadows(compiled, BlackBox(tmp_path, flow="itsm/alerts"))
    shadows.trials = [Slow(compiled, compiled.plan.bindings_of("source")[0], 0.0)]
    given = delivery("warning", "critical", "minor")

    asyncio.run(shadows.compare([given], [intake(compiled, given, now=NOW)], NOW))

    assert shadows.trials[0].counts == {"same": 1, "skipped": 2}


def test_a_trial_that_the_worker_died_of_three_times_is_over_until_the_plan_changes(
    tmp_path: Path,
) -> None:
    """Else a worker would die again and again of what decides nothing."""
    compiled = plan(SOURCE, lambda spec: None)
    (mark,) = [trial.mark for trial in trials(compiled, 0.0)]
    for _ in range(TRIES):
        BlackBox(tmp_path, flow="itsm/alerts").computing("shadow", mark).__enter__()

    shadows = Shadows(compiled, BlackBox(tmp_path, flow="itsm/alerts"))
    given = delivery("warning")
    asyncio.run(shadows.compare([given], [intake(compiled, given, now=NOW)], NOW))

    (trial,) = shadows.trials
    assert f"died {TRIES} times" in (trial.stopped or "")
    assert trial.counts == {}
    shadows.switch(plan(SOURCE, rule("severity", default="info")))
    assert shadows.trials[0].stopped is None


@pytest.mark.parametrize(("changed", "kept"), [(False, True), (True, False)])
def test_counts_begin_anew_exactly_with_a_new_plan(
    tmp_path: Path, changed: bool, kept: bool
) -> None:
    """A plan that is written again without a change takes nothing away."""
    compiled = plan(SOURCE, lambda spec: None)
    shadows = Shadows(compiled, BlackBox(tmp_path, flow="itsm/alerts"))
    given = delivery("warning")
    asyncio.run(shadows.compare([given], [intake(compiled, given, now=NOW)], NOW))

    shadows.switch(plan(SOURCE, rule("severity", default="info") if changed else lambda spec: None))

    assert bool(shadows.trials[0].counts) is kept
