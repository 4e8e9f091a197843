"""Alerts about what keeps the messages of a Flow from arriving, or soon will.

Warnings: `flow_alerts` has the symptoms, which follow where nobody acts.
"""

from typing import Final

from intops_api.report import FILLING_FROM
from intops_core.monitoring.alert import Alert, AlertGroup
from intops_core.monitoring.conditions import flow_condition
from intops_core.monitoring.flow_alerts import READY_NOW, SEE_THE_FLOW, THE_FLOW, WORKER

CAUSE_ALERTS: Final = AlertGroup(
    "intops-flow-causes",
    "What keeps messages from arriving",
    (
        Alert(
            name="IntopsCredentialRefused",
            severity="warning",
            expression=flow_condition('type="CredentialsValid", status="False"'),
            holds_for="2m",
            summary=f"A credential of {THE_FLOW} is missing or refused",
            description=f"A system of {THE_FLOW} does not accept the credential that it is given, or the Secret is "
            "not there. Messages are kept, and go on when the Secret is mended.",
            means="A Secret of the Flow is missing or lacks a key, its `allowedOrigins` does not name the system's "
            "address, or the system answers that the credential is not valid. intops sends nothing with a refused "
            "credential, so that no account is locked.",
            noticed="Nothing reaches that system until the Secret is mended. IntopsFlowNotReady follows.",
            look=(
                *SEE_THE_FLOW,
                "kubectl -n NAMESPACE get secrets",
                "intops messages -n NAMESPACE --flow FLOW --state held --context CONTEXT",
            ),
            act=(
                "Read the message of `CredentialsValid`: it names the Secret, the key and the system.",
                (
                    "Have the owner of the system renew the credential, and put it into the Secret. The worker uses "
                    "it within two minutes, without a restart."
                ),
                (
                    "`OriginNotAllowed`: somebody changed the address of the Connector. If the new address is right, "
                    "add it to the key `allowedOrigins` of the Secret."
                ),
            ),
        ),
        Alert(
            name="IntopsWorkerSilent",
            severity="warning",
            expression=flow_condition(
                'type="Ready", status="False", reason=~"NoReport|WorkerUnavailable|QuotaExceeded"'
            ),
            holds_for="2m",
            summary=f"No worker of {THE_FLOW} reports",
            description=f"The worker of {THE_FLOW} does not run, or runs and does not answer the operator "
            f"({READY_NOW}). Nobody knows whether messages arrive.",
            means="The operator asks every worker for its report every few seconds. This one has no pod that runs, "
            "or its pod does not answer.",
            noticed="While no pod runs, senders get no connection. Those that repeat, such as Alertmanager, catch up "
            "afterwards.",
            look=(
                *SEE_THE_FLOW,
                f"kubectl -n NAMESPACE describe pods -l {WORKER}",
                f"kubectl -n NAMESPACE logs -l {WORKER} --tail 100",
                "kubectl -n NAMESPACE get networkpolicies",
            ),
            act=(
                "`WorkerUnavailable`: mend what the pod's events say: image, node, volume, memory.",
                (
                    "`QuotaExceeded`: raise the quota of the namespace. `failed to allocate a serviceIP`: each Flow "
                    "takes an address of the cluster's Service range; widen that, or put quiet Flows into pools."
                ),
                (
                    "`NoReport`: let the operator reach port 8081 of the worker. A NetworkPolicy of the namespace, "
                    "or an egress policy of the operator's namespace, is the usual cause."
                ),
            ),
        ),
        Alert(
            name="IntopsWorkerNotScraped",
            severity="warning",
            expression="max by (namespace, flow) (intops_operator_flow_condition"
            '{type="Ready", reason=~"Healthy|BacklogLate"})'
            " unless on (namespace, flow) intops_messages",
            holds_for="15m",
            summary=f"Prometheus does not see the worker of {THE_FLOW}",
            description=f"The worker of {THE_FLOW} reports to the operator, but Prometheus has no metrics of it: "
            "late messages, full stores and overdue reviews of this Flow would wake nobody up.",
            means="The operator shows the Flow, and no worker does. The alerts that come from workers cannot fire "
            "for it.",
            noticed="Nothing. The Flow itself runs.",
            look=(
                "kubectl get podmonitors --all-namespaces",
                f"kubectl -n NAMESPACE get pods -l {WORKER} --show-labels",
                "kubectl -n NAMESPACE get networkpolicies",
            ),
            act=(
                (
                    "Look for the target in Prometheus. If it is not there: compare `monitoring.labels` of the chart "
                    "with the `podMonitorSelector` of your Prometheus, and let it look into this namespace."
                ),
                "If it is there and down: let Prometheus reach port 8081 of the pods.",
                "If it is up: `honorLabels` was taken away, and the namespace of the metrics is another.",
            ),
        ),
        Alert(
            name="IntopsReviewOverdue",
            severity="warning",
            expression="max by (namespace, flow) (intops_review_overdue_messages) > 0",
            holds_for="5m",
            summary=f"{THE_FLOW} waits for a person",
            description="{{ $value }} messages of "
            f"{THE_FLOW} wait for a decision longer than agreed (spec.review.dueWithin).",
            means="These messages could not be delivered without a person: their data does not fit, or the system "
            "refused them for good. Nobody has decided within `spec.review.dueWithin`.",
            noticed="Some alerts have no ticket, or an old one. All others go on.",
            look=(
                "intops review list -n NAMESPACE --flow FLOW --context CONTEXT",
                "intops review show 17 -n NAMESPACE --flow FLOW --context CONTEXT",
            ),
            act=(
                "Tell the owner of the review (`spec.review.owner`).",
                (
                    "Equal errors are one line: mend the cause, such as a Mapping without that value, and then "
                    "`intops review retry` with `--equal`."
                ),
                (
                    "What nobody needs any more: `intops review discard`, with a reason. "
                    "[review.md](review.md) tells all of it."
                ),
            ),
        ),
        Alert(
            name="IntopsStoreFilling",
            severity="warning",
            expression=f"max by (namespace, flow) (intops_store_fill_ratio) >= {FILLING_FROM}",
            holds_for="5m",
            summary=f"The store of {THE_FLOW} fills up",
            description="{{ $value | humanizePercentage }} of the room for messages of "
            f"{THE_FLOW} is used, and its senders are slowed down.",
            means=f"More than {FILLING_FROM:.0%} of the volume's room for messages is used. Senders are answered "
            "more and more slowly, so that there is time to act.",
            noticed="Nothing yet. Senders with short timeouts may repeat deliveries.",
            look=(
                *SEE_THE_FLOW,
                "kubectl -n NAMESPACE get pvc -l intops.io/flow=FLOW",
                "intops messages -n NAMESPACE --flow FLOW --state waiting --limit 20 --context CONTEXT",
            ),
            act=("As for [IntopsStoreNearlyFull](#intopsstorenearlyfull), with more time.",),
        ),
        Alert(
            name="IntopsWebhooksLost",
            severity="warning",
            expression="sum by (namespace, flow, source)"
            " (increase(intops_poll_recovered_total[1h])) > 0",
            holds_for="0m",
            summary=f"Webhooks of {THE_FLOW} get lost",
            description="In the last hour {{ $value | humanize }} messages of "
            f"{THE_FLOW} came only because the source "
            "{{ $labels.source }} was asked. Their webhooks never came.",
            means="intops asks this source from time to time what is active, and found what no webhook had told. The "
            "messages are there now, only later than they could be.",
            noticed="Tickets come late by up to one interval of asking. A source that is not asked loses such "
            "messages.",
            look=(
                *SEE_THE_FLOW,
                f"kubectl -n NAMESPACE logs -l {WORKER} --tail 200",
                "kubectl -n NAMESPACE get endpointslices -l kubernetes.io/service-name=intops-FLOW",
            ),
            act=(
                (
                    "Look at the source: is the address of its receiver that of `status.captureUrl`, and does it "
                    "hold the present token?"
                ),
                "Look at what is in between: proxy, ingress, NetworkPolicy.",
                "If the worker was away at that time, nothing is to be done. [polls.md](polls.md) tells more.",
            ),
        ),
        Alert(
            name="IntopsPayloadsChanged",
            severity="warning",
            expression='max by (namespace, flow) (intops_drift_findings{severity="critical"}) > 0',
            holds_for="5m",
            summary=f"Payloads of {THE_FLOW} have changed",
            description=f"A system of {THE_FLOW} sends what the Mapping does not understand. Such messages wait in "
            "review.",
            means="A field that the Mapping needs has vanished or has another type, a value is in no table, or no "
            "variant knows the payload's form. Mostly the system was upgraded.",
            noticed="The messages concerned make no ticket until somebody decides; all others go on.",
            look=(
                *SEE_THE_FLOW,
                "intops review list -n NAMESPACE --flow FLOW --context CONTEXT",
            ),
            act=(
                "Read the message of `SchemaStable`: it names the field, and often the change that is wanted.",
                (
                    "Change the Mapping, and try it first: `intops replay DIR --dry-run`, or `shadow` beside the "
                    "binding's `mapping`. [version-tolerance.md](version-tolerance.md) tells how."
                ),
                "Then let what waits go on: `intops review retry` with `--equal`.",
            ),
        ),
    ),
)
