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

from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException
from kubernetes.stream import portforward
from urllib3.exceptions import HTTPError

from intops_api import names
from intops_api.kinds import FLOW, FLOW_ACTION, Kind
from intops_cli.worker_client import REPLAY_TIMEOUT_S, Refused, WorkerUnavailable

TIMEOUT_S: Final = 15.0
POLL_S: Final = 0.5
IN_MEMORY: Final = frozenset({"/shadow"})
"""Questions about what each replica keeps for itself, which all are asked; a store they share."""
PAGE: Final = 500
SUMMARY: Final = 300
"""Signs of an answer that is no JSON, which are shown."""


class ClusterAccess:
    """One cluster and one namespace, with the rights of the person who types."""

    def __init__(self, kubeconfig: str | None, context: str | None, namespace: str) -> None:
        """Read the kubeconfig, or use the pod's own access.

        Raises:
            WorkerUnavailable: there is no access to a cluster.
        """
        self.namespace = namespace
        try:
            load: Any = config.new_client_from_config  # the library says nothing of types
            api = load(config_file=kubeconfig, context=context)
        except (ConfigException, OSError) as error:
            raise WorkerUnavailable(
                f"No cluster can be reached: {error}. Name a kubeconfig with --kubeconfig, or start "
                "a local worker with `intops run DIR`."
            ) from error
        self._api = api
        self._core = client.CoreV1Api(api)
        self._objects = client.CustomObjectsApi(api)

    def ask(self, path: str, *, given: bytes | None = None, **query: Any) -> Any:
        """JSON answer of the workers that are meant; None where none knows anything of that name.

        Lists of several workers are put together; of anything else the first answer counts.

        Raises:
            WorkerUnavailable: no worker can be asked.
        """
        parameters = {name: str(value) for name, value in query.items() if value is not None}
        listed: list[Any] | None = None
        for pod in self._pods(query.get("flow"), every=path in IN_MEMORY):
            answer = self._ask_pod(pod, path, parameters, given)
            if isinstance(answer, list):
                listed = (listed or []) + answer
            elif answer is not None:
                return answer
        return listed

    def user(self) -> str:
        """The name by which the API server knows who asks.

        Raises:
            WorkerUnavailable: the API server did not say.
        """
        review = self._call(
            client.AuthenticationV1Api(self._api).create_self_subject_review,
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
            made: dict[str, Any] = self._call(
                self._objects.create_namespaced_custom_object, *self._place(), body
            )
        except Refused as refused:
            if refused.status != http.client.CONFLICT:
                raise
            return self.action(name)
        return made

    def action(self, name: str) -> dict[str, Any]:
        """A FlowAction as it is now."""
        found: dict[str, Any] = self._call(
            self._objects.get_namespaced_custom_object, *self._place(), name
        )
        return found

    def approve(self, name: str, user: str) -> dict[str, Any]:
        """Approve a decision of somebody else, in one's own name."""
        found: dict[str, Any] = self._call(
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

    def objects(self, kind: Kind, namespace: str | None = None) -> list[dict[str, Any]]:
        """Every object of a kind, in one namespace or everywhere.

        Raises:
            Refused: RBAC does not let them be read, or the cluster does not know the kind.
        """
        found: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            part = {"limit": PAGE, **({"_continue": token} if token else {})}
            place = names.GROUP, names.VERSION
            if namespace is None:
                listed = self._call(
                    self._objects.list_cluster_custom_object, *place, kind.plural, **part
                )
            else:
                listed = self._call(
                    self._objects.list_namespaced_custom_object,
                    *place, namespace, kind.plural, **part,
                )  # fmt: skip
            found += [{**one, "kind": kind.name} for one in listed["items"]]
            token = listed["metadata"].get("continue")
            if not token:
                return found

    def _place(self) -> tuple[str, str, str, str]:
        return names.GROUP, names.VERSION, self.namespace, FLOW_ACTION.plural

    def _pods(self, flow: str | None, *, every: bool = False) -> list[str]:
        """One running worker of each Flow or pool that is meant, since replicas share a store; or every one."""
        selector = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{names.LABEL_COMPONENT}=worker"
        found = self._workers(f"{selector},{names.LABEL_FLOW}={flow}" if flow else selector)
        pool = self._pool(flow) if flow and not found else None
        if pool is not None:
            found = self._workers(f"{selector},{names.LABEL_POOL}={pool}")
        chosen: dict[tuple[str | None, ...], str] = {}
        for pod in sorted(found, key=lambda pod: pod.metadata.name):
            if pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None:
                name, labels = pod.metadata.name, pod.metadata.labels
                crew = labels.get(names.LABEL_FLOW), labels.get(names.LABEL_POOL)
                chosen.setdefault((name,) if every else crew, name)
        if not chosen:
            whose = f'Flow "{flow}"' if flow else "any Flow"
            raise WorkerUnavailable(
                f'No worker of {whose} runs in namespace "{self.namespace}"; see `kubectl get flows '
                f"-n {self.namespace}`, or name another namespace with -n."
            )
        return list(chosen.values())

    def _workers(self, selector: str) -> list[Any]:
        found: list[Any] = self._call(
            self._core.list_namespaced_pod, self.namespace, label_selector=selector
        ).items
        return found

    def _pool(self, flow: str) -> str | None:
        """The pool in whose worker a Flow has its place; None if in none, or if it may not be read."""
        try:
            found = self._call(
                self._objects.get_namespaced_custom_object,
                names.GROUP, names.VERSION, self.namespace, FLOW.plural, flow,
            )  # fmt: skip
        except Refused:
            return None
        pool = (found["spec"].get("runtime") or {}).get("pool")
        return str(pool) if pool else None

    def _ask_pod(
        self, pod: str, path: str, parameters: Mapping[str, str], given: bytes | None
    ) -> Any:
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        try:
            forward = portforward(
                self._core.connect_get_namespaced_pod_portforward,
                pod, self.namespace, ports=str(names.PORT_CONSOLE),
            )  # fmt: skip
        except (client.ApiException, HTTPError, OSError) as error:
            raise WorkerUnavailable(
                f'Pod "{pod}" cannot be asked: {_why(error)}. It takes the right `create` on '
                f'pods/portforward in namespace "{self.namespace}".'
            ) from error
        method, timeout_s = ("GET", TIMEOUT_S) if given is None else ("POST", REPLAY_TIMEOUT_S)
        connection = http.client.HTTPConnection("worker", timeout=timeout_s)
        try:
            connection.sock = forward.socket(names.PORT_CONSOLE)
            connection.sock.settimeout(timeout_s)
            connection.request(method, target, body=given, headers={"Connection": "close"})
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            why = forward.error(names.PORT_CONSOLE) or error
            raise WorkerUnavailable(f'Pod "{pod}" did not answer: {why}.') from error
        finally:
            connection.close()
        if answer.status == http.client.NOT_FOUND:
            return None
        if answer.status == http.client.CONFLICT:
            raise Refused(str(json.loads(text)["refused"]), answer.status)
        if answer.status != http.client.OK:
            raise WorkerUnavailable(f'Pod "{pod}" could not answer: {text[:SUMMARY].strip()}')
        return json.loads(text)

    def _call(self, what: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return what(*arguments, **named, _request_timeout=TIMEOUT_S)
        except client.ApiException as error:
            raise Refused(_why(error), error.status) from error
        except (HTTPError, OSError) as error:
            raise WorkerUnavailable(f"The API server did not answer: {error}") from error


def ready_of(action: Mapping[str, Any]) -> dict[str, Any]:
    """The condition Ready of a FlowAction; empty while it has none."""
    conditions = (action.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == "Ready"), {})


def _why(error: Exception) -> str:
    """The sentence of the API server, without HTTP around it."""
    body = getattr(error, "body", None)
    try:
        return str(json.loads(body)["message"]) if body else str(getattr(error, "reason", error))
    except (ValueError, KeyError, TypeError):
        return str(getattr(error, "reason", error))
