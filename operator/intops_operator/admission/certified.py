"""The admission endpoint with its certificate: started, loaded, renewed while it runs.

`__main__` starts it in every replica; the leader also makes the certificate.
"""

import asyncio
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

from intops_operator import metrics
from intops_operator.admission.server import AdmissionServer
from intops_operator.cache import Cache
from intops_operator.edges.certificates import CertificateSecret, expires
from intops_operator.edges.cluster import Cluster, ClusterError, NotLeading
from intops_operator.edges.lease import Lease
from intops_operator.journal import Journal
from intops_operator.settings import Settings

journal = Journal("admission")

EAGER_S = 0.5  # until the first certificate is there
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
        self._secret = CertificateSecret(
            cluster,
            settings.namespace,
            settings.certificate_secret,
            settings.certificate_hosts or _service_hosts(settings.namespace),
            settings.webhook_configuration,
        )
        self._server = AdmissionServer(cache, is_complete, deadline_s=settings.admission_deadline_s)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._loaded: tuple[str, str] | None = None

    @property
    def port(self) -> int:
        """The port that was bound; 0 if admission is off."""
        return self._server.port

    def missing(self) -> list[str]:
        """What keeps the endpoint from judging, in words."""
        if self._settings.certificate_mode == "off" or self._loaded is not None:
            return []
        return ["The admission endpoint has no certificate yet."]

    async def start(self) -> None:
        """Bind. Without a certificate handshakes fail, which refuses."""
        if self._settings.certificate_mode != "off":
            await self._server.start(
                self._settings.admission_host, self._settings.admission_port, self._context
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
            await asyncio.sleep(EAGER_S if self._loaded is None else CALM_S)
        await asyncio.Event().wait()

    async def _refresh(self) -> None:
        if self._settings.certificate_mode == "files":
            folder = Path(self._settings.certificate_dir or "")
            self._load((folder / "tls.crt").read_text(), (folder / "tls.key").read_text())
            return
        if self._lease.leads():
            await self._secret.ensure(self._leader_cluster)
        material = await self._secret.read()
        if material is not None:
            self._load(material.certificate, material.key)

    def _load(self, certificate: str, key: str) -> None:
        """Serve new connections with this pair; open ones go on."""
        if self._loaded == (certificate, key):
            return
        # The standard library loads key pairs from files only.
        with tempfile.TemporaryDirectory(prefix="intops-") as folder:
            pem = Path(folder) / "serving.pem"
            pem.touch(mode=0o600)
            pem.write_text(f"{certificate}\n{key}")
            self._context.load_cert_chain(pem)
        self._loaded = (certificate, key)
        until = expires(certificate)
        metrics.CERTIFICATE_EXPIRES.set(until.timestamp())
        journal.info("certificate loaded", until=until.isoformat())


def _service_hosts(namespace: str) -> tuple[str, ...]:
    """Names under which an API server reaches a Service called intops-admission."""
    return (f"intops-admission.{namespace}.svc", f"intops-admission.{namespace}.svc.cluster.local")
