"""The admission endpoint with its certificate: started, loaded, renewed while it runs.

`__main__` starts it in every replica; the leader also makes the certificate.
"""

import asyncio
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from intops_operator.admission.presented import Presented
from intops_operator.admission.server import AdmissionServer
from intops_operator.cache import Cache
from intops_operator.edges.certificate_files import FilesError, Pair, read_pair
from intops_operator.edges.certificates import CertificateSecret, Lifetimes
from intops_operator.edges.cluster import Cluster, ClusterError, NotLeading
from intops_operator.edges.lease import Lease
from intops_operator.journal import Journal
from intops_operator.settings import Settings

journal = Journal("admission")

EAGER_S = 0.5  # until the first certificate is there
LOOKS_IN_A_LIFE = 20
CALM_S = 10.0  # an upgrade of the chart may take our CA out of its configuration


class Admission:
    """Server and certificate together."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        lease: Lease,
        cache: Cache,
        is_complete: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._lease = lease
        self._leader_cluster = cluster.fenced(lease.leads)
        hosts = settings.certificate_hosts or _service_hosts(settings.namespace)
        self._secret = CertificateSecret(
            cluster,
            settings.namespace,
            settings.certificate_secret,
            hosts,
            settings.webhook_configuration,
            Lifetimes(
                authority=timedelta(seconds=settings.authority_life_s),
                serving=timedelta(seconds=settings.certificate_life_s),
            ),
        )
        # A short life is looked at more often: its last third is all the time there is.
        self._calm_s = min(CALM_S, settings.certificate_life_s / LOOKS_IN_A_LIFE)
        self._server = AdmissionServer(cache, is_complete, deadline_s=settings.admission_deadline_s)
        self._presented = Presented(hosts, made_here=settings.certificate_mode == "selfSigned")

    @property
    def port(self) -> int:
        """The port that was bound; 0 if admission is off."""
        return self._server.port

    def missing(self) -> list[str]:
        """What keeps the endpoint from judging, in words."""
        return [] if self._settings.certificate_mode == "off" else self._presented.missing()

    async def start(self) -> None:
        """Bind. Without a certificate handshakes fail, which refuses."""
        if self._settings.certificate_mode != "off":
            await self._server.start(
                self._settings.admission_host,
                self._settings.admission_port,
                self._presented.context,
            )

    async def leave(self, seconds: float) -> None:
        """Answer for so long still, and take leave of each client with its answer."""
        self._server.is_leaving = True
        await asyncio.sleep(seconds)

    async def stop(self) -> None:
        """Close."""
        await self._server.stop()

    async def run(self) -> None:
        """Keep the certificate fresh until cancelled."""
        while self._settings.certificate_mode != "off":
            try:
                await self._refresh()
            except (ClusterError, OSError, ssl.SSLError) as error:
                journal.warning("certificate not refreshed", error=str(error))
            except NotLeading:
                pass
            await asyncio.sleep(self._calm_s if self._presented.is_there else EAGER_S)
        await asyncio.Event().wait()

    async def _refresh(self) -> None:
        if self._settings.certificate_mode == "files":
            try:
                self._presented.offer(read_pair(Path(self._settings.certificate_dir or "")))
            except FilesError as error:
                self._presented.fail(str(error))
            return
        if self._lease.leads():
            await self._secret.ensure(self._leader_cluster)
        elif not self._presented.is_there:
            await self._secret.begin()
        material = await self._secret.read()
        if material is not None:
            self._presented.offer(Pair(material.certificate, material.key))


def _service_hosts(namespace: str) -> tuple[str, ...]:
    """Names under which an API server reaches a Service called intops-admission."""
    return (f"intops-admission.{namespace}.svc", f"intops-admission.{namespace}.svc.cluster.local")
