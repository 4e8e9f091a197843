"""Requests to an API server with the rights of the person who types, and connections through it to a pod.

Used by `cluster_access` and `cluster_installation`. What goes wrong is a sentence: `Refused` where the API server
said no, `WorkerUnavailable` where nobody answered.
"""

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kubernetes import client, config
from kubernetes.stream import portforward
from urllib3.exceptions import HTTPError

from intops_cli import kubeconfigs
from intops_cli.worker_client import Refused, WorkerUnavailable

TIMEOUT_S: Final = 15.0
PAGE: Final = 500
"""Objects of one answer, so that an estate of any size can be listed."""


class ClusterRequests:
    """One cluster, by a kubeconfig and a context of it.

    Attributes:
        api: The library's client, for its typed parts.
        namespace: That of the context, as kubectl takes it.
    """

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        """Read the kubeconfig.

        Raises:
            WorkerUnavailable: there is no access to a cluster.
        """
        try:
            load: Any = config.new_client_from_config  # the library says nothing of types
            self.api: Any = load(config_file=kubeconfig, context=context)
            self.namespace = kubeconfigs.namespace_of(kubeconfig, context)
        except kubeconfigs.UNREADABLE as error:
            raise WorkerUnavailable(
                f"No cluster can be reached: {error}. Name a kubeconfig with --kubeconfig, or start "
                "a local worker with `intops run DIR`."
            ) from error

    def call(self, what: Any, *arguments: Any, **named: Any) -> Any:
        """One call of the library.

        Raises:
            Refused: the API server said no.
            WorkerUnavailable: it did not answer, or does not know who asks.
        """
        try:
            return what(*arguments, **named, _request_timeout=TIMEOUT_S)
        except client.ApiException as error:
            if error.status == http.client.UNAUTHORIZED:
                raise self._unknown(why(error)) from error
            raise Refused(why(error), error.status) from error
        except (HTTPError, OSError) as error:
            raise WorkerUnavailable(
                f"The API server at {self.api.configuration.host} did not answer: {_root(error)}. See whether it is "
                "the cluster that you mean: `kubectl config current-context`, `kubectl cluster-info`."
            ) from error

    def _unknown(self, words: str) -> WorkerUnavailable:
        return WorkerUnavailable(
            f"The API server at {self.api.configuration.host} does not know who you are: {words}. Log in again, or "
            "name another context with --context; `kubectl auth whoami` says who you are."
        )

    def read(self, path: str, **query: str) -> dict[str, Any]:
        """The object at a path of the API, such as `/api/v1/pods`, as plain JSON.

        Raises:
            Refused, WorkerUnavailable: as `call`.
        """
        return self._send("GET", path, query, None)

    def create(self, path: str, body: Mapping[str, Any], **query: str) -> dict[str, Any]:
        """What became of an object that was posted to a path.

        Raises:
            Refused, WorkerUnavailable: as `call`.
        """
        return self._send("POST", path, query, body)

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """Every object of a list, page by page.

        Raises:
            Refused, WorkerUnavailable: as `call`.
        """
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            part = {"limit": str(PAGE), **({"continue": token} if token else {})}
            listed = self.read(path, **query, **part)
            found += listed["items"]
            token = str(listed["metadata"].get("continue") or "")
            if not token:
                return found

    def _send(
        self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        sent = self.api.param_serialize(
            method, path, query_params=list(query.items()), body=body,
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            auth_settings=["BearerToken"],
        )  # fmt: skip
        answer = self.call(self.api.call_api, *sent)
        text = answer.read()
        if answer.status == http.client.UNAUTHORIZED:
            raise self._unknown(_words(text, str(answer.reason)))
        if not http.client.OK <= answer.status < http.client.MULTIPLE_CHOICES:
            raise Refused(_words(text, str(answer.reason)), answer.status)
        found: dict[str, Any] = json.loads(text)
        return found

    @contextlib.contextmanager
    def connection(
        self, namespace: str, pod: str, port: int, timeout_s: float = TIMEOUT_S
    ) -> Iterator[Any]:
        """A socket to a port of a pod, through the API server.

        Raises:
            WorkerUnavailable: RBAC does not let it be made, or the pod does not answer.
        """
        try:
            forward = portforward(
                client.CoreV1Api(self.api).connect_get_namespaced_pod_portforward,
                pod, namespace, ports=str(port),
            )  # fmt: skip
        except (client.ApiException, HTTPError, OSError) as error:
            raise WorkerUnavailable(
                f'Pod "{pod}" cannot be asked: {why(error)}. It takes the right `create` on '
                f'pods/portforward in namespace "{namespace}".'
            ) from error
        try:
            found = forward.socket(port)
            found.settimeout(timeout_s)
            yield found
        except (OSError, http.client.HTTPException) as error:
            said = forward.error(port) or error
            raise WorkerUnavailable(f'Pod "{pod}" did not answer: {said}.') from error

    def answer(
        self,
        namespace: str,
        pod: str,
        port: int,
        target: str,
        *,
        given: bytes | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> tuple[int, str]:
        """Status and text of a pod's answer to GET, or to POST of what is given.

        Raises:
            WorkerUnavailable: as `connection`.
        """
        with self.connection(namespace, pod, port, timeout_s) as found:
            connection = http.client.HTTPConnection("worker", timeout=timeout_s)
            try:
                connection.sock = found
                method = "GET" if given is None else "POST"
                connection.request(method, target, body=given, headers={"Connection": "close"})
                answer = connection.getresponse()
                return answer.status, answer.read().decode("utf-8", "replace")
            finally:
                connection.close()

    def certificate(self, namespace: str, pod: str, port: int) -> str:
        """The PEM certificate that a pod shows to whoever connects with TLS.

        Raises:
            WorkerUnavailable: as `connection`.
        """
        with self.connection(namespace, pod, port) as found:
            return shown_certificate(found)


def shown_certificate(connected: Any) -> str:
    """The PEM certificate that the other end of a connected socket shows; nothing else is said or trusted.

    Raises:
        OSError: it speaks no TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # What is shown is judged afterwards, also where it is wrong: that is what it is read for.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(connected) as wrapped:
        return ssl.DER_cert_to_PEM_cert(wrapped.getpeercert(binary_form=True) or b"")


def _root(error: BaseException) -> str:
    """What the system said below the layers of libraries."""
    while True:
        reason = getattr(error, "reason", None)
        below = reason if isinstance(reason, BaseException) else error.__cause__
        if below is None or below is error:
            return getattr(error, "strerror", None) or str(error)
        error = below


def why(error: Exception) -> str:
    """The sentence of the API server, without HTTP around it."""
    body = getattr(error, "body", None)
    return _words(body, str(getattr(error, "reason", error)))


def _words(body: Any, otherwise: str) -> str:
    try:
        return str(json.loads(body)["message"]) if body else otherwise
    except (ValueError, KeyError, TypeError):
        return otherwise
