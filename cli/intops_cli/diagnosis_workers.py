"""What is wrong with workers and what they left behind, and with the rights of the person who asks.

Used by `doctor`; see `diagnosis`.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from intops_api import names
from intops_cli.diagnosis import Diagnosis, age_s, listed
from intops_cli.installation import (
    Installation,
    Manifest,
    Unread,
    argument,
    flow_of,
    place,
    readable,
)
from intops_operator.core.observed import pod_fact

SETTLED_S: Final = 60.0
"""Seconds after which a Flow that was applied has its Deployment; it takes about one."""
_NEEDED: Final = {
    "flows": "`get flows`, `status` and `top`",
    "connectors": "`status`, for systems that are down",
    "flowactions": "`review retry`, `edit` and `discard`",
    "pods": "`messages`, `trace`, `review`, `record`, `shadow` and `explain message`",
    "pods/portforward": "`messages`, `trace`, `review`, `record`, `shadow` and `explain message`",
}


def workers(seen: Installation, now: datetime) -> Iterator[Diagnosis]:
    """Whether every Flow has a worker that runs, of the operator's image, and every worker a Flow."""
    for read in (seen.flows, seen.workers):
        if isinstance(read, Unread):
            yield Diagnosis(
                "unseen", "workers", f"Flows and workers cannot be compared: {read.why}"
            )
            return
    flows = {place(flow): flow for flow in readable(seen.flows)}
    made = {flow_of(worker): worker for worker in readable(seen.workers)}
    found = [
        *_without_worker(flows, made, now),
        *_not_running(made, flows, seen),
        *_without_flow(made, flows),
        *_other_image(made, seen),
    ]
    yield from found
    if not found:
        where = "" if seen.everywhere else f' in namespace "{seen.namespace}"'
        yield Diagnosis(
            "ok", "workers", f"{len(flows)} Flows{where}, each with a worker that runs."
        )


def _without_worker(
    flows: dict[tuple[str, str], Manifest], made: dict[tuple[str, str], Manifest], now: datetime
) -> Iterator[Diagnosis]:
    missing = [
        where
        for where, flow in flows.items()
        if where not in made
        and (age_s(flow["metadata"].get("creationTimestamp"), now) or 0.0) > SETTLED_S
    ]
    refused = [where for where in missing if _is_not_planned(flows[where])]
    idle = [where for where in missing if where not in refused]
    if refused:
        yield Diagnosis(
            "warning", "workers", f"No worker for {_names(refused)}: what they say cannot be planned.",
            "Nothing is captured for them, so senders are not answered.",
            "Read what is wrong: `intops status -A`.",
        )  # fmt: skip
    if idle:
        yield Diagnosis(
            "broken", "workers", f"No worker was made for {_names(idle)}.",
            "Nothing is captured for them, so senders are not answered.",
            "The operator makes one within seconds: see the findings about it. With watchNamespaces it works in "
            "the named namespaces only.",
        )  # fmt: skip


def _is_not_planned(flow: Manifest) -> bool:
    """Whether the operator has judged the Flow and found that it cannot run."""
    conditions = (flow.get("status") or {}).get("conditions") or ()
    return any(
        one.get("type") in ("Accepted", "ResolvedRefs") and one.get("status") == "False"
        for one in conditions
    )


def _not_running(
    made: dict[tuple[str, str], Manifest],
    flows: dict[tuple[str, str], Manifest],
    seen: Installation,
) -> Iterator[Diagnosis]:
    for where, worker in made.items():
        status = worker.get("status") or {}
        if where in flows and worker["spec"].get("replicas", 1) and not status.get("readyReplicas"):
            pods = [pod for pod in readable(seen.worker_pods) if flow_of(pod) == where]
            troubles = sorted({trouble for pod in pods if (trouble := pod_fact(pod).trouble)})
            why = f" {'. '.join(troubles)}." if troubles else ""
            yield Diagnosis(
                "broken", "workers", f"No worker of Flow {'/'.join(where)} is ready.{why}",
                "Nothing is captured for it, so senders are not answered; what it stored waits.",
                f"`kubectl -n {where[0]} describe pods -l {names.LABEL_FLOW}={where[1]}`.",
            )  # fmt: skip


def _without_flow(
    made: dict[tuple[str, str], Manifest], flows: dict[tuple[str, str], Manifest]
) -> Iterator[Diagnosis]:
    left = [where for where in made if where not in flows]
    if left:
        yield Diagnosis(
            "warning", "workers", f"Workers of Flows that are gone still run: {_names(left)}.",
            "They hold memory, and a volume; the operator takes them away within seconds.",
            "See the findings about the operator; it does it as soon as it runs.",
        )  # fmt: skip


def _other_image(made: dict[tuple[str, str], Manifest], seen: Installation) -> Iterator[Diagnosis]:
    wanted = {
        argument(operator, "--worker-image") for operator in readable(seen.operation.operators)
    }
    wanted.discard(None)
    if not wanted:
        return
    others = [where for where, worker in made.items() if not _images(worker) & wanted]
    if others:
        yield Diagnosis(
            "warning", "version",
            f"{len(others)} of {len(made)} workers have another image than {listed(filter(None, wanted))}: "
            f"{_names(others)}.",
            "Workers are rolled over in stages, so this passes; where it stays, they run older code.",
            "Look again in some minutes. Where it stays, the newest worker does not get ready: `kubectl describe` "
            "its pod.",
        )  # fmt: skip


def _images(worker: Manifest) -> set[str | None]:
    return {str(one["image"]) for one in worker["spec"]["template"]["spec"]["containers"]}


def claims(seen: Installation) -> Iterator[Diagnosis]:
    """Volumes whose Flow is gone: the operator keeps them where messages are in them."""
    if isinstance(seen.claims, Unread) or isinstance(seen.flows, Unread):
        return
    flows = {place(flow) for flow in seen.flows}
    left = [claim for claim in seen.claims if flow_of(claim) not in flows]
    for claim in left:
        namespace, name = place(claim)
        flow = flow_of(claim)[1]
        yield Diagnosis(
            "warning", "volumes",
            f"PersistentVolumeClaim {namespace}/{name} is left over from Flow {flow}, which is gone.",
            "It still holds messages that were accepted and not delivered, or nobody could tell that it does not.",
            f"Apply a Flow named {flow} again and they are delivered. To give them up: `kubectl -n {namespace} "
            f"delete pvc {name}`.",
        )  # fmt: skip
    if not left:
        yield Diagnosis(
            "ok", "volumes", f"{len(seen.claims)} volumes, each of a Flow that is there."
        )


def rights(seen: Installation) -> Iterator[Diagnosis]:
    """What the person who asks cannot do with this tool."""
    lacking = [right for right in seen.rights if not right.allowed]
    for right in lacking:
        use = (
            "`kubectl apply` of Flows"
            if right.verb == "create" and right.resource == "flows"
            else ""
        )
        yield Diagnosis(
            "warning", "rights",
            f'You may not {right.verb} {right.resource} in namespace "{seen.namespace}".',
            f"So you cannot use {use or _NEEDED[right.resource]} there.",
            "Ask for a role: the chart adds what is to be read to `view`, and decisions to `edit`; "
            "pods/portforward is in Kubernetes's own `edit`.",
        )  # fmt: skip
    if seen.rights and not lacking:
        yield Diagnosis(
            "ok", "rights", f'You may use every command in namespace "{seen.namespace}".'
        )


def _names(places: list[tuple[str, str]]) -> str:
    return listed("/".join(where) for where in places)
