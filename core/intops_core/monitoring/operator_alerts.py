"""Alerts about the operator: without it running Flows go on, but nobody is told and nothing can be changed."""

from typing import Final

from intops_core.monitoring.alert import Alert, AlertGroup

_FAILED: Final = 'intops_operator_admission_reviews_total{verdict="failed"}'
_PODS: Final = "kubectl -n NAMESPACE get pods -l app.kubernetes.io/name=intops-operator"
_LOGS: Final = "kubectl -n NAMESPACE logs -l app.kubernetes.io/name=intops-operator --tail 200"

OPERATOR_ALERTS: Final = AlertGroup(
    "intops-operator",
    "The operator",
    (
        Alert(
            name="IntopsNoLeader",
            severity="critical",
            expression="sum by (namespace, job) (intops_operator_leader) < 1"
            " or absent(intops_operator_leader)",
            holds_for="2m",
            summary="No operator of intops leads",
            description="No replica of the operator holds the Lease, or none is scraped. Running Flows go on, but "
            "no status is true any more, and alerts that come from the operator keep still.",
            means="No replica leads, or Prometheus does not reach any. Nothing is reconciled, no worker is asked for "
            "its report, and `kubectl get flows` shows what was last known.",
            noticed="Messages go on. Changes of manifests have no effect; without any replica the API server refuses "
            "them.",
            look=(
                _PODS,
                _LOGS,
                "kubectl -n NAMESPACE get lease",
                "kubectl -n NAMESPACE get servicemonitors",
            ),
            act=(
                "No pod runs: mend what `kubectl describe pod` says.",
                (
                    "Pods run and none leads: the log says why the Lease cannot be had, mostly a missing right or an "
                    "API server that is not reached."
                ),
                (
                    "One leads after all (`kubectl -n NAMESPACE get lease`): Prometheus does not scrape it. Compare "
                    "`monitoring.labels` of the chart with what your Prometheus selects, and look for a "
                    "NetworkPolicy in front of port 8080."
                ),
            ),
        ),
        Alert(
            name="IntopsAdmissionFailing",
            severity="critical",
            expression=f"sum by (namespace) (increase({_FAILED}[10m])) > 0"
            f" and sum by (namespace) (increase({_FAILED}[10m] offset 10m)) > 0",
            holds_for="5m",
            summary="The operator cannot judge what is applied",
            description="Again and again in the last quarter of an hour, objects were refused because the operator "
            "could not judge them, not because they are wrong.",
            means="Objects are judged within a deadline, by what the operator has read from the cluster. It is still "
            "starting, takes too long, or trips over a defect; in each case the object is refused, with a "
            "sentence that says so.",
            noticed="`kubectl apply` and GitOps tools are refused with 500, 503 or 504 for kinds of intops. Running "
            "Flows go on.",
            look=(_PODS, _LOGS),
            act=(
                (
                    "503, starting: the operator cannot read the cluster. Its log names the right or the address "
                    "that is missing."
                ),
                (
                    "504, too long: the object in question has expressions or examples that take too long; make them "
                    "smaller. If all take long, raise `resources` of the chart."
                ),
                (
                    "500: a defect. Report it with the log. Until it is mended, `admission.failurePolicy: Ignore` "
                    "does not help, for the operator does answer; take the one object back."
                ),
            ),
        ),
        Alert(
            name="IntopsAdmissionCertificateEnds",
            severity="warning",
            expression="(min by (namespace)"
            " (intops_operator_certificate_expiry_timestamp_seconds > 0) - time())"
            " and on (namespace) max by (namespace)"
            ' (intops_operator_certificate_problem{reason=~"EndsSoon|Expired"}) == 1',
            holds_for="1h",
            summary="The admission certificate is not renewed",
            description="The certificate of the admission endpoint ends in {{ $value | humanizeDuration }}, and "
            "nobody has renewed it.",
            means="What makes the certificate (`admission.certificateMode` of the chart) should have renewed it long "
            "before: the leader and cert-manager do that 30 days before the end. Less than two weeks are left, or "
            "less than a sixth of a shorter life. When it ends, the API server refuses every change of the kinds "
            "of intops.",
            noticed="Nothing yet. After the end: no manifest of intops can be applied.",
            look=(
                _LOGS,
                "kubectl -n NAMESPACE get secrets",
                "kubectl -n NAMESPACE get certificates.cert-manager.io",
                "kubectl get validatingwebhookconfigurations",
            ),
            act=(
                (
                    "Mode operator: the log of the leader says why it cannot write its Secret or its webhook "
                    "configuration, mostly a right that was taken away. Once that is mended, it renews by itself."
                ),
                "Mode certManager: `kubectl describe certificate` says why cert-manager does not renew it.",
                (
                    "Mode secret: put a new certificate with its key into your Secret, in one write. The operator "
                    "uses it within two minutes, without a restart."
                ),
            ),
        ),
        Alert(
            name="IntopsAdmissionCertificateWrong",
            severity="warning",
            expression="max by (namespace, reason)"
            ' (intops_operator_certificate_problem{reason!~"EndsSoon|Expired"}) == 1',
            holds_for="5m",
            summary="The admission certificate is not one that an API server would take: {{ $labels.reason }}",
            description="The operator was given a certificate that no API server would take ({{ $labels.reason }}). "
            "Replicas that have an older one that works go on with it.",
            means="Somebody, or cert-manager, has put a certificate into the Secret that is of another name, has "
            "another key, is not valid yet, or is none. It is not shown while the one before still works; a replica "
            "that starts with it does not become ready.",
            noticed="Nothing while older replicas run. Without them: no manifest of intops can be applied.",
            look=(
                _LOGS,
                "kubectl -n NAMESPACE get secrets",
                "kubectl -n NAMESPACE get certificates.cert-manager.io",
            ),
            act=(
                (
                    "The line `certificate` in the log says what is wrong, and which name the certificate needs: "
                    "`<service>.<namespace>.svc` of the operator."
                ),
                "Put a right one into the Secret, certificate and key in one write. It is used within two minutes.",
                "Do not restart the operator before: an older certificate lives in its memory only.",
            ),
        ),
        Alert(
            name="IntopsOperatorFailing",
            severity="warning",
            expression="sum by (namespace)"
            ' (rate(intops_operator_reconciles_total{result="failed"}[10m]))'
            " / sum by (namespace) (rate(intops_operator_reconciles_total[10m])) > 0.2",
            holds_for="15m",
            summary="The operator cannot bring objects to what they should be",
            description="{{ $value | humanizePercentage }} of what the operator tries fails, and has for a quarter "
            "of an hour.",
            means="Reconciles fail: the API server refuses what the operator writes, is not reached, or the operator "
            "trips over an object. Each is tried again, with growing pauses.",
            noticed="Changes of some Flows have no effect, and statuses may be old. Running workers go on.",
            look=(
                _LOGS,
                "kubectl get flows --all-namespaces",
                "kubectl get events --all-namespaces --field-selector type=Warning",
            ),
            act=(
                "The log names the object and the API server's answer in each failure.",
                "`forbidden`: the chart's roles were changed; `helm upgrade` brings them back.",
                "`quota`, or refusals by another admission webhook: their messages say what to change.",
                (
                    "`reconcile failed` with the name of an error is a defect: report it with the log. It concerns "
                    "that one object."
                ),
            ),
        ),
        Alert(
            name="IntopsCatalogueRefused",
            severity="warning",
            expression="max by (namespace) (intops_operator_shipped_refused) > 0",
            holds_for="15m",
            summary="Shipped classes, models or Patterns are not applied",
            description="{{ $value }} objects that this version of intops ships are refused by the API server; what "
            "stands in the cluster is older.",
            means="The leader applies what its image ships and is refused, mostly because a live Flow would lose its "
            "plan by it. It tries again once a minute.",
            noticed="Flows go on with the older objects. What is new in this version is missing, and a class may not "
            "fit a model that was applied.",
            look=(_LOGS, "kubectl get flows --all-namespaces"),
            act=(
                "The log has each refusal once, with the Flows that it would break, and the hash that accepts it.",
                (
                    "Change what the refusal names, or accept it: `kubectl annotate KIND NAME "
                    "intops.io/accept-impact=HASH`. The leader goes on within a minute."
                ),
                (
                    "Who keeps these objects in Git sets `catalog.manage: false`; then the leader applies none of "
                    "them."
                ),
            ),
        ),
        Alert(
            name="IntopsRolloutHalted",
            severity="warning",
            expression="sum by (namespace) (intops_operator_rollout_halted) > 0",
            holds_for="5m",
            summary="A new worker image is not rolled any further",
            description="A Flow is worse off with the new worker image, so no other Flow gets it.",
            means="After an upgrade the operator gives its worker image to one Flow, then to others in waves; a pool "
            "is one of them. A Flow that was Ready is not Ready with it, its pods do not start, or more of its "
            "messages wait in review.",
            noticed="Nothing, but at the Flow or the pool where it halted. All others run the image that they had.",
            look=(
                "kubectl get events --all-namespaces --field-selector reason=RolloutHalted",
                "kubectl get flows --all-namespaces -o wide",
                _LOGS,
            ),
            act=(
                "The Event names the Flow and says why. If its target is down, wait: it goes on by itself.",
                "The image cannot be pulled or does not start: mend that; it goes on by itself.",
                (
                    "The image is bad: give the operator another one (`worker.image` of the chart). The last good "
                    "one takes back only the Flows that had left it."
                ),
            ),
        ),
    ),
)
