"""What is wrong with an installation, on values: each finding has its cause, its weight and its cure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from intops_api.kinds import KINDS
from intops_api.schema.crd import crd
from intops_cli.diagnosis import Diagnosis, in_order
from intops_cli.diagnosis_admission import admission
from intops_cli.diagnosis_control import (
    catalogue,
    kinds,
    leases,
    metrics,
    operator_line,
    operators,
)
from intops_cli.diagnosis_workers import claims, rights, workers
from intops_cli.installation import WORKER_SELECTOR, Installation, Operation, Right, Unread
from intops_core.catalog import shipped
from intops_operator.core.children.worker import COMMON_LABELS
from intops_operator.edges.certificates import Material, renewed

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
FORBIDDEN = Unread("forbidden: you may not.")
WORKER_IMAGE = "example.com/intops-worker:1"
POD = "intops-7d9f"
X509 = "failed calling webhook: x509: unknown authority"


def operator(*, replicas: int = 2, ready: int = 2, version: str = "1.0") -> dict[str, Any]:
    args = [
        f"--worker-image={WORKER_IMAGE}",
        "--lease-name=intops",
        "--webhook-configuration=intops",
    ]
    return {
        "metadata": {
            "name": "intops", "namespace": "intops-system",
            "labels": {"app.kubernetes.io/version": version},
        },
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"args": args}]}}},
        "status": {"readyReplicas": ready} if ready else {},
    }  # fmt: skip


def lease(holder: str = POD, renewed_at: str = "2026-11-30T11:59:58.000000Z") -> dict[str, Any]:
    return {
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed_at,
            "acquireTime": "2026-11-30T10:00:00Z",
        }
    }  # fmt: skip


def material(at: datetime = NOW - timedelta(days=1)) -> Material:
    return renewed(None, ["intops.intops-system.svc"], at)


OURS = material()


def configuration(ca: str = OURS.ca, name: str = "intops") -> dict[str, Any]:
    bundle = base64.b64encode(ca.encode()).decode()
    return {"metadata": {"name": name}, "webhooks": [{"clientConfig": {"caBundle": bundle}}] * 2}


def child(flow: str, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"intops-{flow}", "namespace": "itsm", "labels": {"intops.io/flow": flow},
        },
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"image": WORKER_IMAGE}]}}},
        "status": {"readyReplicas": 1},
        **more,
    }  # fmt: skip


def flow(name: str, **status: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "itsm", "creationTimestamp": "2026-11-30T10:00:00Z"}
    return {"metadata": meta, "status": status}


def operation(**more: Any) -> Operation:
    given: dict[str, Any] = {
        "namespace": "itsm", "everywhere": True, "operators": [operator()], "pods": [],
        "leases": {("intops-system", "intops"): lease()}, **more,
    }  # fmt: skip
    return Operation(**given)


WELL = Installation(
    operation=operation(),
    namespace="itsm",
    everywhere=True,
    served=frozenset(kind.plural for kind in KINDS),
    kinds=[crd(kind) for kind in KINDS],
    webhooks=[configuration()],
    certificates={POD: OURS.certificate},
    proof='admission webhook "validate.intops.io" denied the request: no.',
    catalogue=list(shipped()),
    flows=[flow("alerts")],
    workers=[child("alerts")],
    worker_pods=[],
    claims=[child("alerts")],
    rights=(Right("list", "flows", True),),
    metrics={POD: "intops_operator_leader 1.0"},
)


def everything(seen: Installation) -> list[Diagnosis]:
    return in_order(
        [
            *kinds(seen), *operators(seen.operation, "1.0"), *leases(seen.operation, NOW),
            *admission(seen, NOW), *catalogue(seen), *workers(seen, NOW), *claims(seen),
            *rights(seen), *metrics(seen),
        ]
    )  # fmt: skip


def wrong(found: Iterable[Diagnosis]) -> list[str]:
    return [f"{one.level} {one.check}: {one.what}" for one in found if one.level != "ok"]


def test_a_whole_installation_is_well_in_every_check() -> None:
    """One word for each check, nothing to do."""
    found = everything(WELL)

    assert wrong(found) == []
    assert {one.check for one in found} == {
        "kinds", "operator", "leader", "certificate", "trial", "catalogue", "workers", "volumes",
        "rights", "metrics",
    }  # fmt: skip


def test_an_installation_of_which_nothing_may_be_seen_is_neither_well_nor_broken() -> None:
    """A person without rights gets no false alarm."""
    blind = replace(
        WELL, served=FORBIDDEN, kinds=FORBIDDEN, webhooks=FORBIDDEN, certificates={},
        proof=FORBIDDEN, catalogue=FORBIDDEN, flows=FORBIDDEN, workers=FORBIDDEN,
        claims=FORBIDDEN, metrics={POD: FORBIDDEN}, rights=(),
        operation=operation(operators=FORBIDDEN, leases={}),
    )  # fmt: skip

    assert {one.level for one in everything(blind)} == {"unseen"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda i: replace(i, served=i.served - {"flows"}), "broken kinds: The API server does not serve flows of"),
        (
            lambda i: replace(i, kinds=[{**one, "spec": {**one["spec"], "versions": []}} for one in i.kinds[:1]]),
            "warning kinds: The schemas of connectorclasses are not those of this version of intops.",
        ),
        (lambda i: replace(i, webhooks=[]), "warning admission: No webhook configuration judges objects of intops."),
        (
            lambda i: replace(i, webhooks=[configuration("")]),
            "broken admission: intops has no CA bundle (webhooks[].clientConfig.caBundle).",
        ),
        (
            lambda i: replace(i, webhooks=[configuration("nonsense")]),
            "broken admission: The CA bundle of intops holds no certificate that can be read.",
        ),
        (
            lambda i: replace(i, webhooks=[configuration(material(NOW - timedelta(days=4000)).ca)]),
            "broken admission: The CA bundle of intops ended on 2025-",
        ),
        (
            lambda i: replace(i, certificates={POD: FORBIDDEN}),
            f"unseen certificate: The certificate of {POD} cannot be read. forbidden: you may not.",
        ),
        (
            lambda i: replace(i, proof=None),
            'warning trial: A wrong Connector on trial in namespace "itsm" was taken; nobody judged it.',
        ),
        (
            lambda i: replace(i, proof="failed calling webhook: x509: unknown authority"),
            "broken trial: The API server cannot ask the operator: failed calling webhook: x509: unknown authority",
        ),
        (lambda i: replace(i, proof="quota"), "unseen trial: A Connector on trial was refused, not by the op"),
        (lambda i: replace(i, catalogue=i.catalogue[1:]), "broken catalogue: 1 shipped objects are not there: "),
        (
            lambda i: replace(i, catalogue=[{**i.catalogue[0], "spec": {}}, *i.catalogue[1:]]),
            "warning catalogue: 1 shipped objects differ from those of this version: ",
        ),
        (lambda i: replace(i, workers=[]), "broken workers: No worker was made for itsm/alerts."),
        (
            lambda i: replace(
                i, workers=[],
                flows=[flow("alerts", conditions=[{"type": "Accepted", "status": "False"}])],
            ),
            "warning workers: No worker for itsm/alerts: what they say cannot be planned.",
        ),
        (
            lambda i: replace(i, workers=[child("alerts", status={})]),
            "broken workers: No worker of Flow itsm/alerts is ready.",
        ),
        (
            lambda i: replace(i, workers=[child("alerts"), child("gone")]),
            "warning workers: Workers of Flows that are gone still run: itsm/gone.",
        ),
        (
            lambda i: replace(i, claims=[child("gone")]),
            "warning volumes: PersistentVolumeClaim itsm/intops-gone is left over from Flow gone, which is gone.",
        ),
        (
            lambda i: replace(i, rights=(Right("create", "pods/portforward", False),)),
            'warning rights: You may not create pods/portforward in namespace "itsm".',
        ),
        (lambda i: replace(i, metrics={POD: "other 1"}), f"warning metrics: {POD} answers /metrics without a metric"),
    ],
)  # fmt: skip
def test_one_thing_that_is_wrong_is_one_finding_with_why_and_what_to_do(
    change: Callable[[Installation], Installation], says: str
) -> None:
    """Nothing else is told, and who reads it knows what to type."""
    found = everything(change(WELL))

    (told,) = wrong(found)
    assert told.startswith(says), told
    if not told.startswith("unseen"):
        assert found[0].why
        assert found[0].do


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"operators": [operator(replicas=0)]}, "broken operator: Deployment intops-system/intops is scaled to 0."),
        ({"operators": [operator(ready=0)]}, "broken operator: None of the 2 replicas of intops-system/intops is"),
        ({"operators": [operator(ready=1)]}, "warning operator: 1 of 2 replicas of intops-system/intops are ready."),
        ({"operators": []}, "broken operator: There is no Deployment of the operator anywhere"),
        ({"operators": [], "everywhere": False}, "unseen operator: There is no Deployment of the operator in"),
        ({"operators": [operator(version="0.9")]}, "warning version: intops-system/intops is version 0.9, this"),
        (
            {"leases": {("intops-system", "intops"): lease(renewed_at="2026-11-30T11:58:00Z")}},
            "broken leader: Nobody leads: Lease intops-system/intops is not held.",
        ),
        ({"leases": {("intops-system", "intops"): lease(holder="")}}, "broken leader: Nobody leads"),
        (
            {"leases": {("intops-system", "intops"): FORBIDDEN}},
            "unseen leader: Lease intops-system/intops cannot be read: forbidden",
        ),
    ],
)  # fmt: skip
def test_an_operator_that_does_not_work_is_told_with_what_still_does(
    change: dict[str, Any], says: str
) -> None:
    """The line of `status` says the same in short, and does not call what is unseen broken."""
    seen = operation(**change)
    found = [*operators(seen, "1.0"), *leases(seen, NOW)]

    (told,) = wrong(found)
    assert told.startswith(says), told
    assert operator_line(found).well is (False if told.startswith("broken") else not_seen(found))


def not_seen(found: list[Diagnosis]) -> bool | None:
    """True where something was seen, else None."""
    return True if any(one.level in ("ok", "warning") for one in found) else None


def test_clocks_that_differ_by_seconds_are_no_lost_leader() -> None:
    """The machine of a person and the cluster are never quite of one time."""
    ahead = lease(renewed_at="2026-11-30T12:00:20Z")
    behind = lease(renewed_at="2026-11-30T11:59:20Z")
    for one in (ahead, behind):
        seen = operation(leases={("intops-system", "intops"): one})
        assert wrong(leases(seen, NOW)) == []


@pytest.mark.parametrize(
    ("later", "level"), [(timedelta(days=70), "ok"), (timedelta(days=85), "warning"), (timedelta(days=90), "broken")]
)  # fmt: skip
def test_a_certificate_is_told_before_it_ends(later: timedelta, level: str) -> None:
    """It lives 90 days and is renewed after 60, so a week before its end something is wrong."""
    (found,) = [one for one in admission(WELL, NOW + later) if one.check == "certificate"]

    assert found.level == level


def test_a_certificate_of_another_authority_is_told_unless_the_api_server_was_seen_to_trust_it() -> (
    None
):
    """Behind an intermediate authority, as cert-manager may have one, no bundle issued it directly."""
    other = replace(
        WELL, webhooks=[configuration(material().ca)], proof="failed calling webhook: x509"
    )
    found = wrong(admission(other, NOW))

    assert (
        found[0]
        == f"broken certificate: The certificate of {POD} was not issued by the CA bundle of intops."
    )
    assert found[1].startswith("broken trial: ")
    assert wrong(admission(replace(other, proof=WELL.proof), NOW)) == []


def test_a_configuration_that_no_operator_keeps_is_to_be_deleted() -> None:
    """What another installation left is repaired by nobody."""
    left = replace(WELL, webhooks=[configuration(material().ca, "intops-old")], proof=X509)
    (found,) = [one for one in admission(left, NOW) if one.check == "certificate"]

    assert "`kubectl delete validatingwebhookconfiguration intops-old`" in found.do
    assert found.level == "broken"


@pytest.mark.parametrize(
    ("proof", "level"),
    [
        (FORBIDDEN, "unseen"),
        (None, "unseen"),
        ("failed calling webhook: context deadline exceeded", "unseen"),
        ("x509 is no quota", "unseen"),
        (X509, "broken"),
        (WELL.proof, "ok"),
    ],
)
def test_a_certificate_behind_an_intermediate_authority_is_broken_only_where_the_api_server_says_so(
    proof: str | Unread | None, level: str
) -> None:
    """The bundle alone does not tell; a leader alone issues directly."""
    seen = replace(WELL, operation=in_mode("files"), webhooks=[configuration(material().ca)])
    (found,) = [
        one for one in admission(replace(seen, proof=proof), NOW) if one.check == "certificate"
    ]

    assert found.level == level


def in_mode(mode: str, *more: dict[str, Any]) -> Operation:
    """Operators as the chart runs them in a mode; of another than selfSigned none keeps a configuration."""
    found = operator()
    found["spec"]["template"]["spec"]["containers"][0]["args"] = [
        f"--worker-image={WORKER_IMAGE}", "--lease-name=intops", f"--certificate-mode={mode}",
    ]  # fmt: skip
    return operation(operators=[found, *more])


@pytest.mark.parametrize("more", [[], [operator()]], ids=["alone", "beside one in selfSigned"])
def test_in_mode_files_nobody_is_sent_to_the_leader_or_told_to_delete_a_configuration(
    more: list[dict[str, Any]],
) -> None:
    """There cert-manager or a person writes bundle and certificate; without the configuration nothing is judged."""
    seen = replace(WELL, operation=in_mode("files", *more))
    wrongs = [
        *admission(replace(seen, webhooks=[configuration("", "mine")]), NOW),
        *admission(replace(seen, webhooks=[configuration(material().ca, "mine")], proof=X509), NOW),
    ]
    advices = [one.do for one in wrongs if one.do and one.check != "trial"]

    assert len(advices) == 2
    for advice in advices:
        assert "cert-manager.io/inject-ca-from of mine" in advice
        assert "admission.caBundle" in advice
        assert "kubectl delete" not in advice
        assert "leader" not in advice


def test_who_renews_a_certificate_is_told_for_the_mode_of_the_operator() -> None:
    """The leader renews its own only."""

    def advice(mode: str, days: int) -> str:
        seen = replace(WELL, operation=in_mode(mode))
        found = admission(seen, NOW + timedelta(days=days))
        (told,) = [one for one in found if one.check == "certificate"]
        return told.why + told.do

    for days in (85, 90):
        assert "The leader renews it 30 days before" in advice("selfSigned", days)
        assert "cert-manager renews it" in advice("files", days)
        assert "leader" not in advice("files", days)


def test_a_configuration_beside_an_operator_that_judges_nothing_is_told_with_both_ways_out() -> (
    None
):
    """Somebody switched admission off, or forgot what was left."""
    seen = replace(WELL, operation=in_mode("off"), webhooks=[configuration("")], certificates={})
    (found,) = [one for one in admission(seen, NOW) if one.level == "broken"]

    assert "admission.enabled=true" in found.do
    assert "kubectl delete validatingwebhookconfiguration intops" in found.do


def test_why_a_pod_does_not_run_is_told_in_the_words_of_kubernetes() -> None:
    """An image that cannot be pulled is the most frequent cause, for the operator and for workers."""
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    pod = child("alerts", status={"containerStatuses": [waiting]})
    sick = replace(WELL, workers=[child("alerts", status={})], worker_pods=[pod])
    theirs = {**pod, "metadata": {"name": POD, "namespace": "intops-system"}}
    seen = operation(operators=[operator(ready=0)], pods=[theirs])

    assert wrong(workers(sick, NOW))[0].endswith("is ready. ImagePullBackOff: no such image.")
    assert wrong(operators(seen, "1.0"))[0].endswith("is ready. ImagePullBackOff: no such image.")


def pooled(name: str) -> dict[str, Any]:
    return {**flow(name), "spec": {"runtime": {"pool": "quiet"}}}


def of_pool(**more: Any) -> dict[str, Any]:
    meta = {"name": "intopspool-quiet", "namespace": "itsm", "labels": {"intops.io/pool": "quiet"}}
    return {**child("quiet"), "metadata": meta, **more}


POOLED = replace(
    WELL,
    flows=[flow("alerts"), pooled("one"), pooled("two")],
    workers=[child("alerts"), of_pool()],
    claims=[child("alerts"), of_pool()],
)


def test_workers_are_looked_for_by_labels_that_those_of_pools_have_too() -> None:
    """The operator writes them on every child, whoever it is made for."""
    looked_for = dict(part.split("=") for part in WORKER_SELECTOR.split(","))

    assert looked_for.items() <= COMMON_LABELS.items()


def test_flows_of_a_pool_have_its_worker() -> None:
    """What a pool has made bears the label of the pool and of no Flow."""
    found = [*workers(POOLED, NOW), *claims(POOLED)]

    assert wrong(found) == []
    assert found[0].what.endswith("2 of them share those of 1 pools.")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"workers": [child("alerts")], "claims": [child("alerts")]},
            "broken workers: No worker was made for itsm/one, itsm/two.",
        ),
        (
            {"workers": [child("alerts"), of_pool(status={})]},
            "broken workers: The worker of pool itsm/quiet, which itsm/one, itsm/two share, is not ready.",
        ),
        (
            {"flows": [flow("alerts")], "claims": [child("alerts")]},
            "warning workers: Workers of Flows that are gone still run: pool itsm/quiet.",
        ),
        (
            {"flows": [flow("alerts")], "workers": [child("alerts")]},
            "warning volumes: PersistentVolumeClaim itsm/intopspool-quiet is left over from pool quiet, which",
        ),
    ],
)  # fmt: skip
def test_a_pool_is_told_as_a_worker_of_all_its_flows(change: dict[str, Any], says: str) -> None:
    """One finding for the pool, not one for each Flow; a Flow of the pool's name is another thing."""
    seen = replace(POOLED, **change)
    (told,) = wrong([*workers(seen, NOW), *claims(seen)])

    assert told.startswith(says), told


def test_a_flow_on_the_way_to_a_pool_misses_no_worker_and_leaves_none() -> None:
    """Where it is held, its own status says why."""
    moving = pooled("alerts")
    moving["status"] = {"conditions": [{"type": "Programmed", "reason": "MoveHeld"}]}
    seen = replace(WELL, flows=[moving])

    assert wrong([*workers(seen, NOW), *claims(seen)]) == []


def test_workers_of_another_image_are_told_as_a_rollout() -> None:
    """Images change in stages; where it stays so, something is wrong."""
    other = child("alerts")
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "example.com/intops-worker:0"

    (found,) = wrong(workers(replace(WELL, workers=[other]), NOW))
    assert found == (
        f"warning version: 1 of 1 workers have another image than {WORKER_IMAGE}: itsm/alerts."
    )
