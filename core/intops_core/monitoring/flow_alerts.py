"""Alerts about Flows that users notice: whether messages arrive, in time, and all of them.

Store counters are the same in every replica that shares a database, so replicas are never added up here.
"""

from typing import Final

from intops_core.monitoring.alert import Alert, AlertGroup
from intops_core.monitoring.conditions import flow_condition

NOT_AN_OUTAGE: Final = ("BacklogLate", "ReviewOverdue", "Suspended")
"""Reasons for which a Flow is not Ready and IntopsFlowNotReady keeps still: two have an alert of their own,
and a suspended Flow is as somebody wanted it."""

NEARLY_FULL: Final = 0.9

THE_FLOW: Final = "Flow {{ $labels.namespace }}/{{ $labels.flow }}"
READY_NOW: Final = (
    """{{ with printf "intops_operator_flow_condition{type='Ready',namespace='%s',flow='%s'}" """
    """$labels.namespace $labels.flow | query }}{{ . | first | label "reason" }}"""
    "{{ else }}no reason is known{{ end }}"
)
SEE_THE_FLOW: Final = (
    "kubectl -n NAMESPACE get flow FLOW",
    "kubectl -n NAMESPACE describe flow FLOW",
)
WORKER: Final = "app.kubernetes.io/name=intops-worker,intops.io/flow=FLOW"

FLOW_ALERTS: Final = AlertGroup(
    "intops-flows",
    "Do messages arrive?",
    (
        Alert(
            name="IntopsFlowNotReady",
            severity="critical",
            expression=flow_condition(
                f'type="Ready", status!="True", reason!~"{"|".join(NOT_AN_OUTAGE)}"'
            ),
            holds_for="5m",
            summary=f"{THE_FLOW} is not Ready",
            description=f"Messages of {THE_FLOW} have not arrived as promised for five minutes "
            f"({READY_NOW}). The Flow's status says what is the case and who owns it.",
            means="The Flow's `Ready` condition has been False or Unknown for five minutes. The alert carries the "
            "reason; [conditions.md](reference/conditions.md) lists all of them. What was acknowledged is kept and "
            "goes on by itself once the cause is gone.",
            noticed="Alerts do not become tickets, or tickets do not follow their alerts. Senders notice nothing "
            "as long as the worker runs: it takes what they send.",
            look=(
                *SEE_THE_FLOW,
                "kubectl -n NAMESPACE get connectors",
                "intops messages -n NAMESPACE --flow FLOW --state waiting --context CONTEXT",
            ),
            act=(
                (
                    "Read the message of `Ready`: it says what is wrong, what is done about it, what a person must "
                    "do, and who owns it."
                ),
                (
                    "`DestinationDown`, `TLSFailed`: the system does not answer. Nothing is to be done in intops; "
                    "tell the owner of the system."
                ),
                (
                    "`SecretMissing`, `AuthDenied`, `OriginNotAllowed`: see [IntopsCredentialRefused]"
                    "(#intopscredentialrefused)."
                ),
                "`NoReport`, `WorkerUnavailable`, `QuotaExceeded`: see [IntopsWorkerSilent](#intopsworkersilent).",
                (
                    "`Applying`: the worker takes long to start, or to take a new plan. Look at its pod as for "
                    "[IntopsWorkerSilent](#intopsworkersilent)."
                ),
                "`Silent`: nothing comes, although something should. See [IntopsWebhooksLost](#intopswebhookslost).",
                "`StoreFull`, `StoreFailed`: see [IntopsStoreNearlyFull](#intopsstorenearlyfull).",
                (
                    "`MoveHeld`, `Moving`, `PoolFull`: `spec.runtime.pool` names another pool than the Flow runs in, "
                    "or `spec.runtime.store` another kind of store than its messages are in. Do what the message "
                    "says, or write back what was there; see [pools.md](pools.md) and "
                    "[durability.md](durability.md#another-kind-of-store)."
                ),
                (
                    "`InvalidSpec`, `PatternViolation`, `RefNotFound`, `RefInvalid`, `PlanRejected`: somebody "
                    "changed the Flow or what it names. Undo the change, or mend it as the message says."
                ),
            ),
        ),
        Alert(
            name="IntopsMessagesLate",
            severity="critical",
            expression="max by (namespace, flow) (time() - intops_oldest_message_timestamp_seconds)"
            " > on (namespace, flow) max by (namespace, flow) (intops_delivery_target_seconds)"
            " unless on (namespace, flow)"
            ' intops_operator_flow_condition{type="Ready", reason="Suspended"}',
            holds_for="5m",
            summary=f"{THE_FLOW} delivers late",
            description=f"The oldest message of {THE_FLOW} has waited for "
            "{{ $value | humanizeDuration }}, longer than the Flow promises (spec.slo.within).",
            means="The oldest message that is neither delivered nor in review is older than `spec.slo.within` of "
            "the Flow, and has been for five minutes. Worker metrics alone say so: it also fires where no operator "
            "runs. It keeps still for suspended Flows, and for Flows that promise nothing.",
            noticed="Tickets come late. The order within one record is kept.",
            look=(
                *SEE_THE_FLOW,
                "intops messages -n NAMESPACE --flow FLOW --state waiting --older-than 5m --context CONTEXT",
                "intops messages -n NAMESPACE --flow FLOW --state held --context CONTEXT",
            ),
            act=(
                "If IntopsFlowNotReady fires for the same Flow, follow that one: the system is away or refuses.",
                (
                    "Look at the panel *Systems to which nothing is sent* of the dashboard *intops: one Flow*. "
                    "`limited` means that the system asked for fewer requests: let the owner raise its limit, or "
                    "lower what is sent."
                ),
                (
                    "If the backlog falls, wait. If it grows while the system answers, more arrives than "
                    "`spec.limits` of the Connector lets through; raise them as far as the system takes it."
                ),
            ),
        ),
        Alert(
            name="IntopsStoreNearlyFull",
            severity="critical",
            expression=f"max by (namespace, flow) (intops_store_fill_ratio) >= {NEARLY_FULL}",
            holds_for="1m",
            summary=f"The store of {THE_FLOW} is nearly full",
            description="{{ $value | humanizePercentage }} of the room for messages of "
            f"{THE_FLOW} is used. When it is full, senders are refused (503).",
            means=f"More than {NEARLY_FULL:.0%} of the volume's room for messages is used. Senders are slowed down, "
            "and at 100 % they are answered 503, so that nothing is acknowledged that cannot be kept.",
            noticed="Soon: senders that do not repeat a refused delivery lose it there. Alertmanager repeats.",
            look=(
                *SEE_THE_FLOW,
                "kubectl -n NAMESPACE get pvc -l intops.io/flow=FLOW",
                "intops messages -n NAMESPACE --flow FLOW --state waiting --limit 20 --context CONTEXT",
            ),
            act=(
                "Bring the system back that messages wait for: what is delivered makes room.",
                "Decide what waits in review: `intops review list`.",
                "Raise `spec.runtime.store.embedded.size`, where the storage class lets volumes grow.",
                "A Flow that is always near its end belongs in PostgreSQL: `intops store move`.",
            ),
        ),
        Alert(
            name="IntopsMessagesUnaccounted",
            severity="critical",
            expression="max by (namespace, flow) (abs(intops_messages_imbalance)) > 0",
            holds_for="5m",
            summary=f"{THE_FLOW} cannot account for messages",
            description="{{ $value }} messages of "
            f"{THE_FLOW} were received and are in no state. That is a defect of intops or a damaged store.",
            means="Every message that was received must be delivered, dropped for a reason, discarded by a person, "
            "in flight or in review. The sum does not fit, so the promise that nothing is lost does not hold for "
            "this store.",
            noticed="Perhaps nothing. Perhaps an alert has no ticket, or two.",
            look=(
                "intops audit verify -n NAMESPACE --flow FLOW --context CONTEXT",
                "intops messages -n NAMESPACE --flow FLOW --limit 50 --context CONTEXT",
                f"kubectl -n NAMESPACE logs -l {WORKER} --tail 500",
            ),
            act=(
                "Keep the evidence: take a snapshot of the volume (or a dump of the database) before anything else.",
                "Keep the worker running: it loses no more by going on, and a restart loses its log.",
                (
                    "Report the defect with the log, the version (`intops version`) and the output of "
                    "`intops audit verify`."
                ),
                "Compare the open alerts of the source with the tickets, and make by hand what is missing.",
            ),
        ),
    ),
)
