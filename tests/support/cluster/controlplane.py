"""etcd, kube-apiserver and the controllers: a Kubernetes API that needs neither root nor Linux.

`ControlPlane` alone serves tests of CRDs, admission, RBAC and reconciling (fixture `api_server`);
node.py adds what runs pods. Everything listens on the addresses of `Place` and nowhere else.
"""

from __future__ import annotations

import http.client
import shutil
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.cluster import binaries, paths
from support.cluster.certificates import Authority, Pair
from support.cluster.kubectl import Kubectl, write_kubeconfig
from support.cluster.polling import HarnessError, until
from support.cluster.services import Service, is_abandoned, stop, take
from support.ports import free_port

CONTROLLERS = ("kube-controller-manager", "kube-scheduler")
"""Stopped before the API server, which they would otherwise call in vain."""


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports of the control plane; all but `api` are for loopback only."""

    api: int
    etcd: int
    etcd_peer: int
    controllers: int
    scheduler: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a control plane lives: addresses, and how to get into its network namespace."""

    address: str
    """The API server binds and advertises this one."""
    ports: Ports
    enter: tuple[str, ...] = ()
    """Put before every command; empty outside a namespace."""
    services: str = "10.96.0.0/20"
    pods: str = "10.244.0.0/20"

    @property
    def first_service(self) -> str:
        """The ClusterIP of the Service `kubernetes`: the first address of the range."""
        return self.services.rpartition(".")[0] + ".1"


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody uses now, all different."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port("127.0.0.1"))
    return sorted(found)


def on_loopback() -> Place:
    """A place for the light level: free ports on 127.0.0.1."""
    return Place("127.0.0.1", Ports(*free_ports(5)))


def home(name: str) -> Path:
    """The directory of a control plane on loopback that outlives or may outlive its process."""
    return paths.cache() / "control-plane" / name


def remove_abandoned(prefix: str) -> None:
    """Remove the control planes on loopback whose session was killed.

    Args:
        prefix: How the names of the sessions' control planes begin.
    """
    for state in home("").glob(f"{prefix}*"):
        if is_abandoned(state):
            ControlPlane(state).remove()


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A Kubernetes API of its own, in one directory. Start and stop may be repeated."""

    state: Path
    place: Place = field(default_factory=on_loopback)
    controllers: bool = True
    """Run kube-controller-manager: garbage collection, namespaces, Deployments' ReplicaSets."""
    scheduler: bool = False
    api_flags: Sequence[str] = ()
    """More flags for kube-apiserver."""

    @property
    def server(self) -> str:
        """The URL of the API."""
        return f"https://{self.place.address}:{self.place.ports.api}"

    @property
    def authority(self) -> Authority:
        """What signs the certificates of this cluster."""
        return Authority(self.state / "pki")

    @property
    def admin(self) -> Pair:
        """The client certificate of a cluster administrator."""
        return self.authority.issue("admin", "admin", groups=("system:masters",))

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; exists once started."""
        return self.state / "kubeconfig"

    @property
    def kubectl(self) -> Kubectl:
        """kubectl as the administrator."""
        return Kubectl(self.kubeconfig)

    def kubeconfig_of(self, user: str, *, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig for another user, who has the rights that RBAC gives them."""
        name = user.replace(":", "_").replace("/", "_")
        pair = self.authority.issue(f"user-{name}", user, groups=groups)
        path = self.state / f"{name}.kubeconfig"
        return write_kubeconfig(path, self.server, self.authority, pair)

    @property
    def services(self) -> list[Service]:
        """The programs, in the order in which they start."""
        programs = [self._etcd(), self._api_server()]
        if self.controllers:
            programs.append(self._controller_manager())
        if self.scheduler:
            programs.append(self._scheduler())
        return programs

    def start(self) -> None:
        """Start what does not run and wait until the API is ready.

        Raises:
            HarnessError: A binary is missing, or a program ended or did not become ready.
        """
        if shutil.which("openssl") is None:
            raise HarnessError("openssl is needed to make the cluster's certificates; install it")
        take(self.state)
        self.authority.ensure()
        write_kubeconfig(self.kubeconfig, self.server, self.authority, self.admin)
        store_and_server, controllers = self.services[:2], self.services[2:]
        for service in store_and_server:
            service.start()
        context = self._client_context()
        until(
            lambda: self._is_ready(store_and_server, context),
            "the API server to be ready",
            explain=self._api_server().tail,
        )
        # Only now: controllers end when the API server is not ready within ten seconds.
        for service in controllers:
            service.start()
        if self.controllers:
            # Made by the controllers: nothing that uses a service account can be created before.
            until(
                lambda: self._exists(context, "/api/v1/namespaces/default/serviceaccounts/default"),
                "the default service account",
                explain=self._controller_manager().tail,
            )

    def stop(self) -> None:
        """Stop all programs, the API server before its store."""
        stop(self.state, *CONTROLLERS)
        stop(self.state, "kube-apiserver")
        stop(self.state, "etcd")

    def remove(self) -> None:
        """Stop, and delete everything that was written."""
        self.stop()
        shutil.rmtree(self.state, ignore_errors=True)

    def _is_ready(self, services: Sequence[Service], context: ssl.SSLContext) -> bool:
        for service in services:
            service.must_live()
        return self._exists(context, "/readyz")

    def _client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.ca.cert))
        context.load_cert_chain(self.admin.cert, self.admin.key)
        return context

    def _exists(self, context: ssl.SSLContext, path: str) -> bool:
        connection = http.client.HTTPSConnection(
            self.place.address, self.place.ports.api, context=context, timeout=5
        )
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _service(self, name: str, *flags: str) -> Service:
        binary = str(binaries.path(name))
        return Service(name, (*self.place.enter, binary, *flags), self.state)

    def _etcd(self) -> Service:
        client, peer = (
            f"http://127.0.0.1:{port}"
            for port in (self.place.ports.etcd, self.place.ports.etcd_peer)
        )
        return self._service(
            "etcd",
            f"--data-dir={self.state / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            # A power cut costs a test run; waiting for the disk costs every write of every run.
            "--unsafe-no-fsync",
            "--log-level=warn",
        )

    def _api_server(self) -> Service:
        place, pki = self.place, self.authority
        hosts = [
            *(f"DNS:{name}" for name in ("localhost", "kubernetes", "kubernetes.default",
                                         "kubernetes.default.svc")),
            *(f"IP:{address}" for address in ("127.0.0.1", place.address, place.first_service)),
        ]  # fmt: skip
        serving = pki.issue("apiserver", "kube-apiserver", hosts=hosts)
        # Without controllers nobody makes the `default` service account that this plugin demands.
        without = () if self.controllers else ("--disable-admission-plugins=ServiceAccount",)
        return self._service(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{place.ports.etcd}",
            f"--bind-address={place.address}",
            f"--advertise-address={place.address}",
            f"--secure-port={place.ports.api}",
            f"--tls-cert-file={serving.cert}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={pki.ca.cert}",
            f"--service-account-key-file={pki.key('service-accounts')}",
            f"--service-account-signing-key-file={pki.key('service-accounts')}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={place.services}",
            "--authorization-mode=Node,RBAC",
            f"--kubelet-client-certificate={self.admin.cert}",
            f"--kubelet-client-key={self.admin.key}",
            "--kubelet-preferred-address-types=InternalIP",
            "--allow-privileged",
            *without,
            *self.api_flags,
        )

    def component_kubeconfig(self, name: str, *, groups: Sequence[str] = ()) -> Path:
        """The kubeconfig of a part of Kubernetes, e.g. `kube-scheduler`."""
        pair = self.authority.issue(name, f"system:{name}", groups=groups)
        path = self.state / "pki" / f"{name.replace(':', '_')}.kubeconfig"
        return write_kubeconfig(path, self.server, self.authority, pair)

    def _controller_manager(self) -> Service:
        ca = self.authority.ca
        return self._service(
            "kube-controller-manager",
            f"--kubeconfig={self.component_kubeconfig('kube-controller-manager')}",
            f"--service-account-private-key-file={self.authority.key('service-accounts')}",
            f"--root-ca-file={ca.cert}",
            f"--cluster-signing-cert-file={ca.cert}",
            f"--cluster-signing-key-file={ca.key}",
            "--use-service-account-credentials",
            # The default of 20 a second, meant for a shared API server, costs 4 s at each start.
            "--kube-api-qps=1000",
            "--kube-api-burst=1000",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.place.ports.controllers}",
            "--allocate-node-cidrs",
            f"--cluster-cidr={self.place.pods}",
        )

    def _scheduler(self) -> Service:
        return self._service(
            "kube-scheduler",
            f"--kubeconfig={self.component_kubeconfig('kube-scheduler')}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.place.ports.scheduler}",
        )
