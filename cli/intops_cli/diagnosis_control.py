"""What is wrong with the control plane: kinds, operator, its Lease, admission, catalogue, metrics.

Used by `doctor`; see `diagnosis`.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from intops_api import names
from intops_api.kinds import KINDS, Kind
from intops_api.schema.crd import crd
from intops_cli.diagnosis import Diagnosis, age_s, listed
from intops_cli.estate import OperatorLine
from intops_cli.installation import (
    Installation,
    Manifest,
    Operation,
    Unread,
    lease_place,
    place,
    readable,
)
from intops_cli.output import age
from intops_core.catalog import shipped
from intops_core.resources import Resource, parse_resource
from intops_operator.core.observed import pod_fact

LEASE_GRACE_S = 30.0
"""Seconds beyond its own duration after which a Lease is taken as left; clocks differ a little."""
_INSTALL = "helm upgrade --install intops helm/intops -n intops-system --create-namespace"


def kinds(seen: Installation) -> Iterator[Diagnosis]:
    """Whether our kinds are there, served, and as this version knows them."""
    if isinstance(seen.served, Unread):
        yield Diagnosis(
            "unseen", "kinds", f"What the API server serves cannot be read: {seen.served.why}"
        )
        return
    missing = [kind.plural for kind in KINDS if kind.plural not in seen.served]
    if missing:
        yield Diagnosis(
            "broken", "kinds",
            f"The API server does not serve {listed(missing, 7)} of {names.API_VERSION}.",
            "Objects of these kinds cannot be applied or read, and an operator that watches them does not start.",
            f"Apply the kinds of this version: {_INSTALL}, or `kubectl apply --server-side -f crds/`.",
        )  # fmt: skip
    if isinstance(seen.kinds, Unread):
        if not missing:
            yield Diagnosis(
                "ok", "kinds",
                f"All {len(KINDS)} kinds are served. Whether their schemas are of this version cannot be seen: "
                f"{seen.kinds.why}",
            )  # fmt: skip
        return
    found = {str(one["spec"]["names"]["kind"]): one for one in seen.kinds}
    others = [
        k.plural for k in KINDS if k.name in found and not _is_of_this_version(k, found[k.name])
    ]
    if others:
        yield Diagnosis(
            "warning", "kinds",
            f"The schemas of {listed(others, 7)} are not those of this version of intops.",
            "A field that this version knows is refused or silently dropped there, and the other way round.",
            "Upgrade what is older. Helm does not touch kinds that were installed without the chart: "
            "`kubectl apply --server-side -f crds/`.",
        )  # fmt: skip
    elif not missing:
        yield Diagnosis("ok", "kinds", f"All {len(KINDS)} kinds are served and of this version.")


def _is_of_this_version(kind: Kind, found: Manifest) -> bool:
    """Whether the stored schema is the generated one; the API server keeps it as it was given."""
    (wanted,) = crd(kind)["spec"]["versions"]
    stored = [one for one in found["spec"]["versions"] if one["name"] == names.VERSION]
    return any(one.get("schema") == wanted["schema"] for one in stored)


def operators(seen: Operation, version: str) -> Iterator[Diagnosis]:
    """Whether an operator is installed, runs, and is of this version."""
    if isinstance(seen.operators, Unread):
        yield Diagnosis("unseen", "operator", f"Deployments cannot be listed: {seen.operators.why}")
        return
    if not seen.operators:
        yield _no_operator(seen)
        return
    for operator in seen.operators:
        where = "/".join(place(operator))
        wanted = int(operator["spec"].get("replicas", 1))
        ready = int((operator.get("status") or {}).get("readyReplicas") or 0)
        if wanted == 0:
            yield Diagnosis(
                "broken", "operator", f"Deployment {where} is scaled to 0.",
                "No change of a Flow reaches its worker, no status is written, and admission refuses new specs. "
                "Workers that run go on delivering.",
                f"`kubectl -n {place(operator)[0]} scale deployment {place(operator)[1]} --replicas=2`.",
            )  # fmt: skip
        elif ready == 0:
            yield Diagnosis(
                "broken", "operator",
                f"None of the {wanted} replicas of {where} is ready.{_troubles(seen, operator)}",
                "No change of a Flow reaches its worker, no status is written, and admission refuses new specs. "
                "Workers that run go on delivering.",
                f"`kubectl -n {place(operator)[0]} describe pods -l {names.LABEL_NAME}=intops-operator`, and "
                f"`kubectl -n {place(operator)[0]} logs deployment/{place(operator)[1]}`.",
            )  # fmt: skip
        elif ready < wanted:
            yield Diagnosis(
                "warning", "operator",
                f"{ready} of {wanted} replicas of {where} are ready.{_troubles(seen, operator)}",
                "Without a second replica nobody takes over, and admission stops with the first.",
                f"`kubectl -n {place(operator)[0]} describe pods -l {names.LABEL_NAME}=intops-operator`.",
            )  # fmt: skip
        else:
            yield Diagnosis("ok", "operator", f"{ready} of {wanted} replicas of {where} are ready.")
        yield from _version(operator, where, version)


def _no_operator(seen: Operation) -> Diagnosis:
    place_ = "anywhere" if seen.everywhere else f'in namespace "{seen.namespace}"'
    level = "broken" if seen.everywhere else "unseen"
    return Diagnosis(
        "broken" if level == "broken" else "unseen", "operator",
        f"There is no Deployment of the operator {place_} (label {names.LABEL_NAME}=intops-operator).",
        "Without an operator no worker is started and no status is written.",
        f"Install it: {_INSTALL}." if level == "broken" else "Ask who may read all namespaces.",
    )  # fmt: skip


def _troubles(seen: Operation, operator: Manifest) -> str:
    """Why pods of the operator do not run, in Kubernetes's own words."""
    namespace = place(operator)[0]
    pods = [pod for pod in readable(seen.pods) if place(pod)[0] == namespace]
    found = {trouble for pod in pods if (trouble := pod_fact(pod).trouble)}
    return "".join(f" {trouble}." for trouble in sorted(found))


def _version(operator: Manifest, where: str, version: str) -> Iterator[Diagnosis]:
    found = (operator["metadata"].get("labels") or {}).get("app.kubernetes.io/version")
    if found and found != version:
        yield Diagnosis(
            "warning", "version", f"{where} is version {found}, this command {version}.",
            "Each knows rules, fields and answers that the other may not.",
            "Use the command of the operator's version, or upgrade the operator.",
        )  # fmt: skip


def leases(seen: Operation, now: datetime) -> Iterator[Diagnosis]:
    """Whether one replica leads now."""
    for operator in readable(seen.operators):
        namespace, name = where = lease_place(operator)
        lease = seen.leases.get(where)
        if lease is None:
            continue
        if isinstance(lease, Unread):
            yield Diagnosis(
                "unseen", "leader", f"Lease {namespace}/{name} cannot be read: {lease.why}"
            )
            continue
        holder, left_s = _holder(lease, now)
        if not holder or left_s < -LEASE_GRACE_S:
            since = f" It was renewed last {-left_s:.0f} s too long ago." if holder else ""
            yield Diagnosis(
                "broken", "leader", f"Nobody leads: Lease {namespace}/{name} is not held.{since}",
                "Only the leader turns Flows into workers and writes status.",
                f"If replicas are ready, read why they do not take it: `kubectl -n {namespace} logs "
                f"deployment/{place(operator)[1]}`.",
            )  # fmt: skip
        else:
            acquired = age(lease["spec"].get("acquireTime"), now)
            since = f", for {acquired}" if acquired else ""
            yield Diagnosis("ok", "leader", f"{holder} leads{since}.")


def _holder(lease: Manifest, now: datetime) -> tuple[str, float]:
    """Who holds a Lease, and for how many seconds yet; below 0 it has expired."""
    spec: Mapping[str, Any] = lease["spec"]
    renewed_s = age_s(spec.get("renewTime"), now)
    duration_s = float(spec.get("leaseDurationSeconds") or 0)
    return str(spec.get("holderIdentity") or ""), duration_s - (renewed_s or 0.0)


def catalogue(seen: Installation) -> Iterator[Diagnosis]:
    """Whether the shipped classes, models and Patterns are there, as this version ships them."""
    if isinstance(seen.catalogue, Unread):
        yield Diagnosis(
            "unseen", "catalogue", f"The catalogue cannot be read: {seen.catalogue.why}"
        )
        return
    found = {(str(one["kind"]), place(one)[1]): one for one in seen.catalogue}
    ours = {(str(one["kind"]), str(one["metadata"]["name"])): one for one in shipped()}
    missing = [f"{kind}/{name}" for kind, name in ours if (kind, name) not in found]
    others = [
        f"{kind}/{name}"
        for (kind, name), one in ours.items()
        if (kind, name) in found and _meaning(found[kind, name]) != _meaning(one)
    ]
    if missing:
        yield Diagnosis(
            "broken", "catalogue", f"{len(missing)} shipped objects are not there: {listed(missing)}.",
            "Flows and Connectors that name them are not resolved, so they do not run.",
            "The leader applies them within seconds unless the chart says catalog.manage=false; read its log. "
            "Those who keep everything in Git apply core/intops_core/catalog.",
        )  # fmt: skip
    if others:
        yield Diagnosis(
            "warning", "catalogue",
            f"{len(others)} shipped objects differ from those of this version: {listed(others)}.",
            "Somebody has changed them, the operator is of another version, or a change that breaks live Flows "
            "waits to be accepted.",
            "`kubectl intops diff` with the shipped files says what differs; the log of the leader says what was "
            "not applied and why.",
        )  # fmt: skip
    if not missing and not others:
        yield Diagnosis("ok", "catalogue", f"All {len(ours)} shipped objects are there.")


def _meaning(found: Manifest) -> str | None:
    """The same for specs that mean the same; the API server writes defaults into what it stores."""
    parsed = parse_resource({**found, "apiVersion": names.API_VERSION})
    return parsed.digest if isinstance(parsed, Resource) else None


def metrics(seen: Installation) -> Iterator[Diagnosis]:
    """Whether each replica shows metrics."""
    for pod, answer in seen.metrics.items():
        if isinstance(answer, Unread):
            yield Diagnosis(
                "unseen", "metrics", f"Metrics of {pod} cannot be read from here. {answer.why}"
            )
        elif "intops_operator_leader" not in answer:
            yield Diagnosis(
                "warning", "metrics", f"{pod} answers /metrics without a metric of intops.",
                "Alerts about the operator and its Flows cannot fire.",
                "See that port 8080 of the pod is the operator's own health port.",
            )  # fmt: skip
        else:
            yield Diagnosis("ok", "metrics", f"{pod} shows its metrics.")


def operator_line(found: list[Diagnosis]) -> OperatorLine:
    """One sentence about the operator from what was found about its Deployment and its Lease."""
    broken = [one for one in found if one.level == "broken"]
    if broken:
        one = broken[0]
        return OperatorLine(
            False, f"Operator: {one.what} {one.why} `intops doctor` says what to do."
        )
    seen = [one for one in found if one.level in ("ok", "warning")]
    if not seen:
        return OperatorLine(None, "Operator: its health is not visible with these rights.")
    return OperatorLine(True, "Operator: " + " ".join(one.what for one in seen))
