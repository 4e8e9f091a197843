"""The cache says which objects an event concerns, and nothing for events that change nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from intops_api import names
from intops_api.report import LastWords
from intops_core.resources import Ref
from intops_operator.cache import Cache, ghost
from intops_operator.core.observed import child_fact, pod_fact
from support.conformance import manifests

FLOW = Ref("Flow", "itsm", "alerts-to-helpdesk")


def numbered(raw: dict[str, Any], generation: int = 1) -> dict[str, Any]:
    """A manifest as an API server sends it."""
    sent = copy.deepcopy(raw)
    sent["metadata"] |= {"uid": f"uid-{raw['metadata']['name']}", "generation": generation}
    return sent


def full_cache() -> Cache:
    """Catalogue and example."""
    cache = Cache()
    for raw in manifests():
        cache.take(raw["kind"], numbered(raw))
    return cache


def the(kind: str, name: str) -> dict[str, Any]:
    """One manifest of the example or the catalogue."""
    (raw,) = [r for r in manifests() if (r["kind"], r["metadata"]["name"]) == (kind, name)]
    return raw


def labelled(**more: Any) -> dict[str, Any]:
    """Metadata of a child of the example's Flow."""
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_FLOW: FLOW.name}
    return {"name": "intops-x", "namespace": "itsm", "uid": "u", "labels": labels, **more}


def test_a_changed_mapping_concerns_its_flow() -> None:
    """The edge comes from the Flow's spec."""
    concerned = full_cache().take("Mapping", numbered(the("Mapping", "incident-to-helpdesk"), 2))

    assert FLOW in concerned.plans
    assert Ref("Mapping", "itsm", "incident-to-helpdesk") in concerned.plans


def test_a_mapping_that_arrives_late_wakes_the_flow_that_waits_for_it() -> None:
    """Edges to missing objects are kept."""
    cache = Cache()
    cache.take("Flow", numbered(the("Flow", FLOW.name)))

    assert FLOW in cache.take("Mapping", numbered(the("Mapping", "incident-to-helpdesk"))).plans


def test_a_changed_class_concerns_its_connectors_and_their_flows() -> None:
    """Fan-out goes through all kinds."""
    concerned = full_cache().take(
        "ConnectorClass", numbered(the("ConnectorClass", "alertmanager"), 2)
    )

    assert {FLOW, Ref("Connector", "itsm", "alertmanager")} <= concerned.plans


def test_a_status_or_a_label_concerns_nobody() -> None:
    """The operator writes statuses itself; reacting to them would never end."""
    cache = full_cache()
    again = numbered(the("Flow", FLOW.name))
    again["status"] = {"backlog": 5}
    again["metadata"]["labels"] = {"team": "x"}
    again["metadata"]["resourceVersion"] = "99"

    concerned = cache.take("Flow", again)

    assert not concerned.plans
    assert not concerned.looks


def test_a_new_flow_concerns_what_it_names() -> None:
    """Connectors and Mappings show how many Flows use them."""
    concerned = Cache().take("Flow", numbered(the("Flow", FLOW.name)))

    assert Ref("Connector", "itsm", "helpdesk") in concerned.looks


def test_a_late_deletion_of_an_earlier_object_does_not_remove_the_new_one() -> None:
    """Deleted and made anew under the same name: events may come in any order."""
    cache = full_cache()
    newer = numbered(the("Flow", FLOW.name))
    newer["metadata"]["uid"] = "another"
    cache.take("Flow", newer)

    cache.take("Flow", ghost("Flow", ("itsm", FLOW.name), f"uid-{FLOW.name}"), deleted=True)

    assert FLOW in cache


def test_an_object_that_cannot_be_read_is_known_and_broken() -> None:
    """It exists, so nobody is told to create it."""
    cache = Cache()
    raw = numbered(the("Mapping", "incident-to-helpdesk"))
    raw["spec"] = {"fields": "nonsense"}
    cache.take("Mapping", raw)
    ref = Ref("Mapping", "itsm", "incident-to-helpdesk")

    assert ref in cache
    assert cache.resource(ref) is None
    assert cache.broken(ref)


def test_a_snapshot_holds_one_namespace_and_what_all_share() -> None:
    """And it does not change while somebody reads it."""
    cache = full_cache()
    snapshot = cache.snapshot("elsewhere")

    assert snapshot.get("Connector", "itsm", "helpdesk") is None
    assert snapshot.get("Pattern", "", "event-to-incident") is not None
    itsm = cache.snapshot("itsm")
    gone = ghost("Connector", ("itsm", "helpdesk"), "uid-helpdesk")
    cache.take("Connector", gone, deleted=True)
    assert itsm.get("Connector", "itsm", "helpdesk") is not None
    assert cache.snapshot("itsm").get("Connector", "itsm", "helpdesk") is None


def test_a_child_concerns_its_flow_only_when_something_is_different() -> None:
    """An annotation of another controller is not drift."""
    cache = Cache()
    body = {"metadata": labelled(), "spec": {"replicas": 1}, "status": {}}
    assert cache.take("Deployment", body).looks == {FLOW}

    body["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "2"}
    assert not cache.take("Deployment", body).looks
    body["spec"] = {"replicas": 3}
    assert cache.take("Deployment", body).looks == {FLOW}


def test_a_child_that_loses_its_label_is_a_change() -> None:
    """It must be repaired like any other edit."""
    cache = Cache()
    cache.take("Service", {"metadata": labelled(), "spec": {}})
    bare = {"metadata": {**labelled(), "labels": {}}, "spec": {}}

    assert cache.take("Service", bare).looks == {FLOW}
    assert cache.child("Service", "itsm", "intops-x") is None


def test_a_pod_that_cannot_pull_its_image_says_so() -> None:
    """In Kubernetes' own words, cut to a readable length."""
    waiting = {"reason": "ImagePullBackOff", "message": "no such image " * 100}
    status = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}
    fact = pod_fact({"metadata": labelled(), "status": status})

    assert fact.trouble is not None
    assert fact.trouble.startswith("ImagePullBackOff: no such image")
    assert len(fact.trouble) <= 400


def test_a_quota_is_told_apart_from_other_failures() -> None:
    """A person must raise it; waiting does not help."""
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "pods is forbidden: exceeded quota: small",
    }
    body = {"metadata": labelled(), "spec": {}, "status": {"conditions": [failure]}}

    assert child_fact("Deployment", body).quota is True


def test_a_claim_that_had_a_volume_is_never_unbound() -> None:
    """Only then may it be deleted without asking a worker."""
    body = {"metadata": labelled(), "spec": {"volumeName": "pv"}, "status": {"phase": "Pending"}}

    assert child_fact("PersistentVolumeClaim", body).unbound is False
    body["spec"] = {}
    assert child_fact("PersistentVolumeClaim", body).unbound is True


RUNNING = {"state": {"running": {"startedAt": "2026-01-01T10:00:00Z"}}}
LAST_WORDS = LastWords(left={f"itsm/{FLOW.name}": 0}).model_dump_json()


def ended(message: str, started_at: str = "2026-01-01T10:00:00Z") -> dict[str, Any]:
    """A container's state after its end."""
    return {"state": {"terminated": {"startedAt": started_at, "message": message}}}


def pod(uid: str, container: dict[str, Any]) -> dict[str, Any]:
    """A worker pod as an API server sends it."""
    meta = labelled(name=f"pod-{uid}", uid=uid)
    return {"metadata": meta, "status": {"phase": "Running", "containerStatuses": [container]}}


def test_the_last_words_of_a_worker_outlive_its_pod() -> None:
    """They decide whether a volume may go with its Flow; one that never ran says nothing about it."""
    cache = Cache()
    cache.take("Pod", pod("one", RUNNING))
    assert cache.last_pod(FLOW).left is None
    cache.take("Pod", pod("one", ended(LAST_WORDS)), deleted=True)
    cache.take("Pod", pod("two", {"state": {"waiting": {"reason": "ContainerCreating"}}}))
    cache.take("Pod", pod("two", {"state": {}}), deleted=True)

    assert cache.last_pod(FLOW).left == 0
    cache.forget_pods(FLOW)
    assert cache.last_pod(FLOW) is None


@pytest.mark.parametrize("words", ["", "killed", '{"left": {"itsm/other": 0}}', '{"left": 0}'])
def test_a_worker_that_says_nothing_usable_leaves_its_volume_in_doubt(words: str) -> None:
    """Such as one that was killed: what it had acknowledged is in the volume."""
    cache = Cache()
    cache.take("Pod", pod("one", RUNNING))
    cache.take("Pod", pod("one", ended(words)), deleted=True)

    assert cache.last_pod(FLOW).left is None


def test_a_pod_that_vanished_unseen_leaves_its_volume_in_doubt() -> None:
    """What an earlier one said does not count any more."""
    cache = Cache()
    cache.take("Pod", pod("one", RUNNING))
    cache.take("Pod", pod("one", ended(LAST_WORDS)), deleted=True)
    later = {"state": {"running": {"startedAt": "2026-01-01T11:00:00Z"}}}
    cache.take("Pod", pod("two", later))
    cache.take("Pod", ghost("Pod", ("itsm", "pod-two"), "two"), deleted=True)

    assert cache.last_pod(FLOW).left is None


def test_an_answer_that_comes_after_the_events_that_followed_it_is_not_taken() -> None:
    """Nothing would correct it: a pod that is gone would be waited for, a running one would be starting."""
    cache = Cache()
    cache.take("Pod", pod("one", {"state": {}}))
    (known,) = cache.pods(FLOW)
    answer = pod("one", {"state": {}})
    cache.take("Pod", pod("one", RUNNING))

    cache.take_answer("Pod", answer, known)
    assert cache.last_pod(FLOW) is not None

    (known,) = cache.pods(FLOW)
    cache.take("Pod", pod("one", RUNNING), deleted=True)
    cache.take_answer("Pod", pod("one", RUNNING), known)
    assert cache.pods(FLOW) == ()


def test_an_answer_about_an_object_that_was_made_and_deleted_meanwhile_is_not_taken() -> None:
    """Before the request it was not known, and it is not known after it either."""
    cache = Cache()
    cache.take("Pod", pod("one", RUNNING))
    cache.take("Pod", pod("one", RUNNING), deleted=True)

    cache.take_answer("Pod", pod("one", RUNNING), None)
    assert cache.pods(FLOW) == ()

    cache.take_answer("Pod", pod("two", RUNNING), None)
    assert [known.name for known in cache.pods(FLOW)] == ["pod-two"]


def test_a_deletion_that_is_heard_of_late_does_not_speak_for_a_newer_pod() -> None:
    """The newer one was killed; that the older one left nothing says nothing of the volume any more."""
    cache = Cache()
    cache.take("Pod", pod("one", RUNNING))
    cache.take("Pod", pod("two", {"state": {"running": {"startedAt": "2026-01-01T11:00:00Z"}}}))
    cache.take("Pod", pod("two", ended("killed", "2026-01-01T11:00:00Z")), deleted=True)
    cache.take("Pod", pod("one", ended(LAST_WORDS)), deleted=True)

    assert cache.last_pod(FLOW).left is None


def test_what_an_answer_brings_before_the_feed_is_told_to_whom_it_concerns() -> None:
    """The feed brings the same once more, and then it is no news: a Mapping that lost its only Flow must hear now."""
    cache = full_cache()
    moved = numbered(the("Flow", FLOW.name), 2)
    (target,) = moved["spec"]["roles"]["target"]
    before, target["mapping"] = target["mapping"], "another"

    told = cache.take_answer("Flow", moved)

    assert {Ref("Mapping", "itsm", before), Ref("Mapping", "itsm", "another")} <= told.looks
    assert cache.take("Flow", moved).looks == set()
