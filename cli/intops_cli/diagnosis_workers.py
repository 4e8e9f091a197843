"""What is wrong with workers and what they left behind, and with the rights of the person who asks.

Used by `doctor`; see `diagnosis`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from intops_api import names
from intops_api.conditions import Reason
from intops_cli.diagnosis import Diagnosis, age_s, listed
from intops_cli.installation import (
    Crew,
    Installation,
    Manifest,
    Unread,
    argument,
    crew_for,
    crew_of,
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
    flows = readable(seen.flows)
    made = {crew: worker for worker in readable(seen.workers) if (crew := crew_of(worker))}
    found = [
        *_without_worker(flows, made, now),
        *_not_running(made, flows, seen),
        *_without_flow(made, flows),
        *_other_image(made, seen),
    ]
    yield from found
    if not found:
        where = "" if seen.everywhere else f' in namespace "{seen.namespace}"'
        pools = [crew for crew in map(crew_for, flows) if crew.is_pool]
        shared = f" {len(pools)} of them share those of {len(set(pools))} pools." if pools else ""
        yield Diagnosis(
            "ok", "workers", f"{len(flows)} Flows{where}, each with a worker that runs.{shared}"
        )


def _without_worker(
    flows: Sequence[Manifest], made: Mapping[Crew, Manifest], now: datetime
) -> Iterator[Diagnosis]:
    missing = [
        flow
        for flow in flows
        if crew_for(flow) not in made
        and not _is_moving(flow)
        and (age_s(flow["metadata"].get("creationTimestamp"), now) or 0.0) > SETTLED_S
    ]
    refused = [flow for flow in missing if _is_not_planned(flow)]
    idle = [flow for flow in missing if flow not in refused]
    if refused:
        yield Diagnosis(
            "warning", "workers",
            f"No worker for {_names(map(place, refused))}: what they say cannot be planned.",
            "Nothing is captured for them, so senders are not answered.",
            "Read what is wrong: `intops status -A`.",
        )  # fmt: skip
    if idle:
        yield Diagnosis(
            "broken", "workers", f"No worker was made for {_names(map(place, idle))}.",
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


def _is_moving(flow: Manifest) -> bool:
    """Whether the Flow is still at another place than it names, which its own status tells."""
    conditions = (flow.get("status") or {}).get("conditions") or ()
    return any(one.get("reason") in (Reason.MOVING, Reason.MOVE_HELD) for one in conditions)


def _not_running(
    made: Mapping[Crew, Manifest], flows: Sequence[Manifest], seen: Installation
) -> Iterator[Diagnosis]:
    wanted = set(map(crew_for, flows))
    for crew, worker in made.items():
        status = worker.get("status") or {}
        if crew in wanted and worker["spec"].get("replicas", 1) and not status.get("readyReplicas"):
            pods = [pod for pod in readable(seen.worker_pods) if crew_of(pod) == crew]
            troubles = sorted({trouble for pod in pods if (trouble := pod_fact(pod).trouble)})
            why = f" {'. '.join(troubles)}." if troubles else ""
            sharing = [place(flow) for flow in flows if crew_for(flow) == crew]
            label = names.LABEL_POOL if crew.is_pool else names.LABEL_FLOW
            yield Diagnosis(
                "broken", "workers",
                f"The worker of {crew}, which {_names(sharing)} share, is not ready.{why}"
                if crew.is_pool else f"No worker of Flow {crew} is ready.{why}",
                f"Nothing is captured for {'them' if crew.is_pool else 'it'}, so senders are not answered; what "
                f"{'they' if crew.is_pool else 'it'} stored waits.",
                f"`kubectl -n {crew.namespace} describe pods -l {label}={crew.name}`.",
            )  # fmt: skip


def _without_flow(made: Mapping[Crew, Manifest], flows: Sequence[Manifest]) -> Iterator[Diagnosis]:
    left = [crew for crew in made if _is_left(crew, flows)]
    if left:
        yield Diagnosis(
            "warning", "workers",
            f"Workers of Flows that are gone still run: {listed(map(str, left))}.",
            "They hold memory, and a volume; the operator takes them away within seconds.",
            "See the findings about the operator; it does it as soon as it runs.",
        )  # fmt: skip


def _is_left(crew: Crew, flows: Sequence[Manifest]) -> bool:
    """Whether no Flow has anything at this place: none is meant for it, and none is about to leave it."""
    here = [flow for flow in flows if place(flow)[0] == crew.namespace]
    return not any(
        crew_for(flow) == crew
        or _is_moving(flow)
        or (not crew.is_pool and place(flow)[1] == crew.name)
        for flow in here
    )


def _other_image(made: Mapping[Crew, Manifest], seen: Installation) -> Iterator[Diagnosis]:
    wanted = {
        argument(operator, "--worker-image") for operator in readable(seen.operation.operators)
    }
    wanted.discard(None)
    if not wanted:
        return
    others = [crew for crew, worker in made.items() if not _images(worker) & wanted]
    if others:
        yield Diagnosis(
            "warning", "version",
            f"{len(others)} of {len(made)} workers have another image than {listed(filter(None, wanted))}: "
            f"{listed(map(str, others))}.",
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
    left = [
        (claim, crew)
        for claim in seen.claims
        if (crew := crew_of(claim)) and _is_left(crew, seen.flows)
    ]
    for claim, crew in left:
        namespace, name = place(claim)
        whose, again = f"Flow {crew.name}, which is gone", f"Apply a Flow named {crew.name} again"
        if crew.is_pool:
            whose = f"pool {crew.name}, which no Flow names"
            again = f"Apply the Flows again with spec.runtime.pool: {crew.name}"
        yield Diagnosis(
            "warning", "volumes",
            f"PersistentVolumeClaim {namespace}/{name} is left over from {whose}.",
            "It still holds messages that were accepted and not delivered, or nobody could tell that it does not.",
            f"{again} and they are delivered. To give them up: `kubectl -n {namespace} delete pvc {name}`.",
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


def _names(places: Iterable[tuple[str, str]]) -> str:
    return listed("/".join(where) for where in places)
