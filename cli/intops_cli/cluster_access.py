"""The cluster that a command means: who asks, decisions as FlowActions, questions through port-forward.

Used by commands through `whereabouts` and by `review`. Reads need `pods/portforward`, decisions need
`create` on flowactions: RBAC decides, and the API server verifies the name of who decides.
"""

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from kubernetes import client

from intops_api import names
from intops_api.kinds import FLOW, FLOW_ACTION, Kind
from intops_cli.cluster_requests import PAGE, TIMEOUT_S, ClusterRequests
from intops_cli.merging import merged
from intops_cli.worker_client import REPLAY_TIMEOUT_S, Refused, WorkerUnavailable

POLL_S: Final = 0.5
IN_MEMORY: Final = frozenset({"/shadow"})
"""Questions about what each replica keeps for itself, which all are asked; a store they share."""
SUMMARY: Final = 300
"""Signs of an answer that is no JSON, which are shown."""


class ClusterAccess:
    """One cluster and one namespace of it, or all of them, with the rights of the person who types.

    Attributes:
        namespace: Where objects are meant that say no namespace; the context's own if none was named.
        everywhere: Whether questions go to every namespace.
        unanswered: Why workers did not answer the last question, a sentence each, where others did.
    """

    def __init__(
        self,
        kubeconfig: str | None,
        context: str | None,
        namespace: str | None,
        *,
        everywhere: bool = False,
    ) -> None:
        """Read the kubeconfig.

        Raises:
            WorkerUnavailable: there is no access to a cluster.
        """
        self.everywhere = everywhere
        self.unanswered: list[str] = []
        self.requests = ClusterRequests(kubeconfig, context)
        self.namespace = namespace or self.requests.namespace
        self._core = client.CoreV1Api(self.requests.api)
        self._objects = client.CustomObjectsApi(self.requests.api)

    def ask(self, path: str, *, given: bytes | None = None, **query: Any) -> Any:
        """JSON answer of the workers that are meant; None where none knows anything of that name.

        Lists of several workers are put together, see `merged`; of anything else the first answer counts. A worker
        that does not answer hides nothing of the others: it is told in `unanswered`.

        Raises:
            WorkerUnavailable: no worker can be asked.
        """
        parameters = {name: str(value) for name, value in query.items() if value is not None}
        self.unanswered = []
        lists: list[list[Any]] = []
        has_answer = False
        for namespace, pod in self._pods(query.get("flow"), every=path in IN_MEMORY):
            try:
                answer = self._ask_pod(namespace, pod, path, parameters, given)
            except WorkerUnavailable as error:
                self.unanswered.append(f"{namespace}: {error}" if self.everywhere else str(error))
                continue
            has_answer = True
            if isinstance(answer, list):
                lists.append(
                    [{"namespace": namespace, **one} if self.everywhere else one for one in answer]
                )
            elif answer is not None:
                return answer
        if not has_answer or (self.unanswered and not lists):
            raise WorkerUnavailable("\n".join(self.unanswered))
        return merged(path, lists, query.get("limit")) if lists else None

    def user(self) -> str:
        """The name by which the API server knows who asks.

        Raises:
            WorkerUnavailable: the API server did not say.
        """
        review = self.requests.call(
            client.AuthenticationV1Api(self.requests.api).create_self_subject_review,
            {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        )
        return str(review.status.user_info.username)

    def decide(self, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Make a FlowAction; one of this name that exists already is taken as it is.

        Raises:
            Refused: admission or RBAC does not let it in.
        """
        body = {
            "apiVersion": names.API_VERSION,
            "kind": FLOW_ACTION.name,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }
        try:
            made: dict[str, Any] = self.requests.call(
                self._objects.create_namespaced_custom_object, *self._place(), body
            )
        except Refused as refused:
            if refused.status != http.client.CONFLICT:
                raise
            return self.action(name)
        return made

    def action(self, name: str) -> dict[str, Any]:
        """A FlowAction as it is now."""
        found: dict[str, Any] = self.requests.call(
            self._objects.get_namespaced_custom_object, *self._place(), name
        )
        return found

    def approve(self, name: str, user: str) -> dict[str, Any]:
        """Approve a decision of somebody else, in one's own name."""
        found: dict[str, Any] = self.requests.call(
            self._objects.patch_namespaced_custom_object,
            *self._place(), name, {"spec": {"approvedBy": user}},
        )  # fmt: skip
        return found

    def await_answer(self, name: str, timeout_s: float) -> dict[str, Any]:
        """The FlowAction once it is answered or waits for an approval, else as it is after the time."""
        end = time.monotonic() + timeout_s
        while True:
            found = self.action(name)
            reason = ready_of(found).get("reason")
            if reason not in (None, "Pending") or time.monotonic() >= end:
                return found
            time.sleep(POLL_S)

    def here(self, kind: Kind, name: str | None = None) -> list[dict[str, Any]]:
        """Objects of a kind where the person means them: in the namespace, or everywhere; or the one of a name.

        Raises:
            Refused: RBAC does not let them be read, or the cluster does not know the kind.
        """
        everywhere = self.everywhere or not kind.namespaced
        return self.objects(kind, None if everywhere else self.namespace, name=name)

    def objects(
        self, kind: Kind, namespace: str | None = None, *, name: str | None = None
    ) -> list[dict[str, Any]]:
        """Every object of a kind, in one namespace or everywhere; only those of a name where one is given.

        Raises:
            Refused: RBAC does not let them be read, or the cluster does not know the kind.
        """
        found: list[dict[str, Any]] = []
        token: str | None = None
        chosen = {"field_selector": f"metadata.name={name}"} if name else {}
        while True:
            part = {"limit": PAGE, **chosen, **({"_continue": token} if token else {})}
            place = names.GROUP, names.VERSION
            if namespace is None:
                listed = self.requests.call(
                    self._objects.list_cluster_custom_object, *place, kind.plural, **part
                )
            else:
                listed = self.requests.call(
                    self._objects.list_namespaced_custom_object,
                    *place, namespace, kind.plural, **part,
                )  # fmt: skip
            found += [{**one, "kind": kind.name} for one in listed["items"]]
            token = listed["metadata"].get("continue")
            if not token:
                return found

    def _place(self) -> tuple[str, str, str, str]:
        return names.GROUP, names.VERSION, self.namespace, FLOW_ACTION.plural

    def _pods(self, flow: str | None, *, every: bool = False) -> list[tuple[str, str]]:
        """Namespace and name of one running worker of each Flow or pool, since replicas share their store.

        Or of every one.
        """
        selector = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{names.LABEL_COMPONENT}=worker"
        found = self._workers(f"{selector},{names.LABEL_FLOW}={flow}" if flow else selector)
        # Also beside own workers: of another namespace, or of a Flow that is about to move.
        for namespace, pool in self._pools(flow) if flow else ():
            more = self._workers(f"{selector},{names.LABEL_POOL}={pool}")
            found += [pod for pod in more if pod.metadata.namespace == namespace]
        chosen: dict[tuple[str | None, ...], tuple[str, str]] = {}
        for pod in sorted(found, key=lambda pod: (pod.metadata.namespace, pod.metadata.name)):
            if pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None:
                place, name, labels = pod.metadata.namespace, pod.metadata.name, pod.metadata.labels
                crew = place, labels.get(names.LABEL_FLOW), labels.get(names.LABEL_POOL)
                chosen.setdefault((place, name) if every else crew, (place, name))
        if not chosen:
            whose = f'Flow "{flow}"' if flow else "any Flow"
            if self.everywhere:
                raise WorkerUnavailable(f"No worker of {whose} runs; see `kubectl get flows -A`.")
            raise WorkerUnavailable(
                f'No worker of {whose} runs in namespace "{self.namespace}"; see `kubectl get flows '
                f"-n {self.namespace}`, or name another namespace with -n, or all with -A."
            )
        return list(chosen.values())

    def _workers(self, selector: str) -> list[Any]:
        if self.everywhere:
            listed = self.requests.call(
                self._core.list_pod_for_all_namespaces, label_selector=selector
            )
        else:
            listed = self.requests.call(
                self._core.list_namespaced_pod, self.namespace, label_selector=selector
            )
        return list(listed.items)

    def _pools(self, flow: str) -> list[tuple[str, str]]:
        """Namespace and name of the pools in which Flows of this name have their place, as far as one may read."""
        place = (names.GROUP, names.VERSION)
        try:
            if self.everywhere:
                listed = self.requests.call(
                    self._objects.list_cluster_custom_object,
                    *place,
                    FLOW.plural,
                    field_selector=f"metadata.name={flow}",
                )["items"]
            else:
                listed = [
                    self.requests.call(
                        self._objects.get_namespaced_custom_object,
                        *place,
                        self.namespace,
                        FLOW.plural,
                        flow,
                    )
                ]
        except Refused:
            return []
        pools = [
            (one["metadata"]["namespace"], (one["spec"].get("runtime") or {}).get("pool"))
            for one in listed
        ]
        return [(namespace, str(pool)) for namespace, pool in pools if pool]

    def _ask_pod(
        self,
        namespace: str,
        pod: str,
        path: str,
        parameters: Mapping[str, str],
        given: bytes | None,
    ) -> Any:
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        status, text = self.requests.answer(
            namespace, pod, names.PORT_CONSOLE, target,
            given=given, timeout_s=TIMEOUT_S if given is None else REPLAY_TIMEOUT_S,
        )  # fmt: skip
        if status == http.client.NOT_FOUND:
            return None
        if status == http.client.CONFLICT:
            raise Refused(str(json.loads(text)["refused"]), status)
        if status != http.client.OK:
            raise WorkerUnavailable(f'Pod "{pod}" could not answer: {text[:SUMMARY].strip()}')
        return json.loads(text)


def ready_of(action: Mapping[str, Any]) -> dict[str, Any]:
    """The condition Ready of a FlowAction; empty while it has none."""
    conditions = (action.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == "Ready"), {})
