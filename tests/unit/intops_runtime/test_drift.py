"""What a change of payloads looks like to the watch of a source, detector by detector."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from intops_api.report import Finding
from intops_runtime.core.compiled import compile_plan
from intops_runtime.core.drift import FORGET_S, DriftWatch, told, watches
from intops_runtime.core.intake import intake
from intops_runtime.core.messages import Delivery
from intops_runtime.core.vanished import RECENT
from support.runtime.flows import EXAMPLE, example_manifests, make_plan

NOW = 1_800_000_000.0
FIRING: dict[str, Any] = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def compiled() -> Any:
    """The first example."""
    return compile_plan(make_plan(example_manifests()))


class Traffic:
    """Deliveries that go through intake under the eyes of a watch."""

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self.watches = watches(compiled)
        self.at = NOW
        self.sent = 0

    def send(self, payload: dict[str, Any], times: int = 1) -> None:
        for _ in range(times):
            self.sent += 1
            self.at += 0.01
            body = json.dumps(payload).encode()
            delivery = Delivery(self.sent, "prometheus", str(self.sent), {}, body, self.at)
            intake(
                self.compiled,
                delivery,
                now=datetime.fromtimestamp(self.at, UTC),
                watches=self.watches,
            )

    def told(self, after_s: float = 0.0) -> list[Finding]:
        return told(self.watches.values(), self.at + after_s)


@pytest.fixture
def traffic(compiled: Any) -> Traffic:
    """Nothing sent yet."""
    return Traffic(compiled)


def changed(**alert: Any) -> dict[str, Any]:
    """A webhook whose one alert differs."""
    payload = copy.deepcopy(FIRING)
    payload["alerts"][0] |= alert
    return payload


def test_traffic_as_the_class_declares_it_is_no_news(traffic: Traffic) -> None:
    """A condition that is never quiet is never read."""
    payload = {key: value for key, value in FIRING.items() if key != "notification_reason"}
    traffic.send(payload, 100)

    assert traffic.told() == []
    assert traffic.watches["prometheus"].variants == {"v4": 100 * len(FIRING["alerts"])}


def test_a_new_field_is_told_once_it_is_no_accident(traffic: Traffic) -> None:
    """Alertmanager added notification_reason without a new version; nothing breaks."""
    traffic.send({**FIRING, "notification_reason": "new alerts"}, 2)
    before = [f for f in traffic.told() if "notification_reason" in f.message]
    traffic.send({**FIRING, "notification_reason": "new alerts"})
    (found,) = [f for f in traffic.told() if "notification_reason" in f.message]

    assert before == []
    assert (found.reason, found.severity, found.count) == ("NewPath", "info", 3)
    assert "payload.notification_reason" in found.message
    assert [f for f in traffic.told(FORGET_S) if "notification_reason" in f.message] == []


def test_a_value_that_a_table_lacks_is_told_at_once_with_the_place_to_add_it(
    traffic: Traffic,
) -> None:
    """A severity that nobody mapped: rare it warns, common it hurts."""
    labels = {**FIRING["alerts"][0]["labels"], "severity": "sev0"}
    traffic.send(FIRING, 150)
    traffic.send(changed(labels=labels))
    (found,) = [f for f in traffic.told() if f.reason == "UnmappedValue"]
    assert found.severity == "warning"
    assert '"sev0" at labels.severity' in found.message
    assert ".values" in found.message

    traffic.send(changed(labels=labels), 9)
    (found,) = [f for f in traffic.told() if f.reason == "UnmappedValue"]
    assert (found.severity, found.count) == ("critical", 10)


def test_a_value_that_may_be_anything_is_not_shown(traffic: Traffic) -> None:
    """Somebody's name in a severity must not end in a status."""
    labels = {**FIRING["alerts"][0]["labels"], "severity": "call Jane, +49 170 1234567"}
    traffic.send(changed(labels=labels))
    (found,) = [f for f in traffic.told() if f.reason == "UnmappedValue"]

    assert "Jane" not in found.model_dump_json()


def test_another_type_at_a_declared_path_is_told(traffic: Traffic) -> None:
    """Numbers as text are read; a list where a text was is not."""
    traffic.send(changed(generatorURL=["a", "b"]), 5)
    traffic.send(changed(fingerprint=12345), 5)
    found = [f for f in traffic.told() if f.reason == "TypeChanged"]

    assert [f.severity for f in found] == ["critical"]
    assert "sends a list at object.generatorURL" in found[0].message


def test_a_field_that_vanishes_is_told_and_its_heir_is_proposed(traffic: Traffic) -> None:
    """First the old field is always there, then never; a new one has nearly its name."""
    traffic.send(FIRING, 2 * RECENT)
    renamed = copy.deepcopy(FIRING)
    for alert in renamed["alerts"]:
        alert["fingerPrintId"] = alert.pop("fingerprint")
    traffic.send(renamed, RECENT)
    found = [f for f in traffic.told() if f.reason == "FieldVanished"]

    assert found
    assert {f.kind for f in found} == {"proposal"}
    assert any("from: [fingerPrintId, fingerprint" in f.message for f in found)


def test_a_form_that_no_mapping_knows_is_critical(traffic: Traffic) -> None:
    """It is never guessed; it waits for a person."""
    traffic.send({**FIRING, "version": "5"})
    (found,) = [f for f in traffic.told() if f.reason == "UnknownVariant"]

    assert found.severity == "critical"
    assert "(v4)" in found.message


def test_the_worst_comes_first(traffic: Traffic) -> None:
    """Whoever reads one line reads the one that hurts."""
    traffic.send({**FIRING, "notification_reason": "x"}, 5)
    traffic.send({**FIRING, "version": "5"})

    assert traffic.told()[0].reason == "UnknownVariant"


def test_a_flood_of_odd_paths_is_bounded(traffic: Traffic) -> None:
    """Neither memory nor a status grows with what a sender invents."""
    for number in range(50):
        traffic.send({**FIRING, **{f"odd{number}-{n}": 1 for n in range(20)}}, 3)
    watch: DriftWatch = traffic.watches["prometheus"]

    assert len(watch.findings(traffic.at)) <= 200
    assert len(traffic.told()) == 20
