"""Make, keep and renew the certificate of the admission endpoint, without any add-on.

The leader makes a CA and a serving certificate, keeps both in one Secret of its own, and puts the
CA into its one webhook configuration. Every replica reads that Secret. It is the only Secret that
the operator ever reads.
"""

import base64
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from intops_api import names
from intops_operator.edges.cluster import Cluster, Conflict, Manifest
from intops_operator.journal import Journal

journal = Journal("certificates")

BACKDATE = timedelta(minutes=10)  # clocks of API servers may be behind ours
KEYS = ("ca.crt", "ca.key", "tls.crt", "tls.key")


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long certificates live; each is followed by the next one at two thirds of its life."""

    authority: timedelta = timedelta(days=3650)
    """At least three times `serving`: what an authority has signed must not outlive it."""
    serving: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Material:
    """PEM texts. `ca` may hold two authorities while one follows the other; the newest is first."""

    ca: str
    ca_key: str = field(repr=False)
    certificate: str
    key: str = field(repr=False)


def renewed(
    current: Material | None,
    hosts: Sequence[str],
    now: datetime,
    lifetimes: Lifetimes = Lifetimes(),
) -> Material:
    """The material that should be in use; `current` itself if nothing is to be done.

    A new authority signs nothing yet: it has to be trusted everywhere before anybody shows what it has signed.
    """
    known = _known_authority(current, now)
    if current is None or known is None:
        ca, ca_key = _new_authority(now, lifetimes.authority)
        old = "" if current is None else _trusted(current, now)
        certificate, key = _new_serving(ca, ca_key, hosts, now, lifetimes.serving)
        return Material(_pem(ca) + old, _key_pem(ca_key), _pem(certificate), _key_pem(key))
    ca, ca_key = known
    wanted = current
    if not _serves(current, hosts, now, lifetimes.serving):
        certificate, key = _new_serving(ca, ca_key, hosts, now, lifetimes.serving)
        wanted = replace(wanted, certificate=_pem(certificate), key=_key_pem(key))
    if not _is_fresh(ca, now, lifetimes.authority):
        ca, ca_key = _new_authority(now, lifetimes.authority)
        wanted = replace(wanted, ca=_pem(ca) + _trusted(current, now), ca_key=_key_pem(ca_key))
    return wanted


def expires(certificate: str) -> datetime:
    """When a PEM certificate ends."""
    return x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc


def _known_authority(
    current: Material | None, now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """The newest authority with its key; None if it can sign nothing any more."""
    if current is None:
        return None
    found = _certificates(current.ca)
    try:
        key = serialization.load_pem_private_key(current.ca_key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not found or not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    if found[0].not_valid_after_utc <= now or found[0].public_key() != key.public_key():
        return None
    return found[0], key


def _is_fresh(certificate: x509.Certificate, now: datetime, life: timedelta) -> bool:
    """Whether more than a third of its life is left, and not more than it may have."""
    left = certificate.not_valid_after_utc - now
    return life / 3 < left <= life + BACKDATE


def _trusted(current: Material, now: datetime) -> str:
    """All authorities that somebody may still show a certificate of."""
    return "".join(_pem(ca) for ca in _certificates(current.ca) if ca.not_valid_after_utc > now)


def _certificates(bundle: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(bundle.encode())
    except ValueError:
        return []


def _serves(current: Material, hosts: Sequence[str], now: datetime, life: timedelta) -> bool:
    """Whether the serving certificate is of a trusted authority, for these hosts, and fresh enough."""
    found = _certificates(current.certificate)
    if not found or not _is_fresh(found[0], now, life):
        return False
    certificate = found[0]
    if not any(_issued(certificate, ca) for ca in _certificates(current.ca)):
        return False
    try:
        key = serialization.load_pem_private_key(current.key.encode(), None)
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return False
    if certificate.public_key() != key.public_key():
        return False
    return list(alternatives.value) == _alternatives(hosts)


def _issued(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _alternatives(hosts: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for host in hosts:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            found.append(x509.DNSName(host))
    return found


def _new_authority(
    now: datetime, life: timedelta
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "intops admission authority")])
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder(name, name, key, now, life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _new_serving(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    hosts: Sequence[str],
    now: datetime,
    life: timedelta,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "intops admission")])
    certificate = (
        _builder(name, ca.subject, key, now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternatives(hosts)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
            critical=False,
        )
        .sign(ca_key, hashes.SHA256())
    )
    return certificate, key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


class CertificateSecret:
    """The Secret that holds the material, and the webhook configuration that trusts it."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        hosts: Sequence[str],
        webhook_configuration: str | None,
        lifetimes: Lifetimes,
    ) -> None:
        self._cluster = cluster
        self._namespace, self._name = namespace, name
        self._hosts = hosts
        self._webhooks = webhook_configuration
        self._lifetimes = lifetimes

    async def read(self) -> Material | None:
        """The material in the Secret; None if there is none that can be used."""
        return _material(await self._cluster.get("Secret", self._namespace, self._name))

    async def begin(self) -> None:
        """Make the first material where there is none. For any replica.

        In an upgrade the leader may be an older replica, of a mode in which it makes none, and it stays until a
        newer one is ready. Whoever writes first is right: the Secret is replaced only as it was read.

        Raises:
            ClusterError: To be tried again.
        """
        secret = await self._cluster.get("Secret", self._namespace, self._name)
        if _material(secret) is None:
            wanted = renewed(None, self._hosts, datetime.now(UTC), self._lifetimes)
            try:
                await _keep(self._cluster, secret, self._manifest(wanted))
            except Conflict:
                return
            journal.info("certificate made", until=expires(wanted.certificate).isoformat())

    async def ensure(self, leader: Cluster) -> None:
        """Make or renew what is needed. For the leader only.

        Raises:
            ClusterError: To be tried again.
        """
        secret = await self._cluster.get("Secret", self._namespace, self._name)
        current = _material(secret)
        if current is not None and await self._inject(leader, current.ca):
            # API servers hear of it a moment later: what they do not know yet signs at the next look.
            return
        wanted = renewed(current, self._hosts, datetime.now(UTC), self._lifetimes)
        if wanted == current:
            return
        try:
            await _keep(leader, secret, self._manifest(wanted))
        except Conflict:
            # Somebody else was faster; what they wrote is looked at the next time.
            return
        journal.info("certificate made", until=expires(wanted.certificate).isoformat())
        await self._inject(leader, wanted.ca)

    def _manifest(self, material: Material) -> Manifest:
        texts = (material.ca, material.ca_key, material.certificate, material.key)
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": self._name,
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/part-of": names.MANAGED_BY},
            },
            "data": {
                key: base64.b64encode(text.encode()).decode()
                for key, text in zip(KEYS, texts, strict=True)
            },
        }

    async def _inject(self, leader: Cluster, ca: str) -> bool:
        """Put the CA into every webhook of our configuration that does not have it; whether one had not."""
        name, kind = self._webhooks, "ValidatingWebhookConfiguration"
        configuration = await self._cluster.get(kind, None, name) if name else None
        if name is None or configuration is None:
            return False
        bundle = base64.b64encode(ca.encode()).decode()
        change: list[Manifest] = []
        for at, webhook in enumerate(configuration.get("webhooks") or ()):
            if webhook["clientConfig"].get("caBundle") != bundle:
                change += [
                    # The order may change between reading and writing: never trust the wrong one.
                    {"op": "test", "path": f"/webhooks/{at}/name", "value": webhook["name"]},
                    {"op": "add", "path": f"/webhooks/{at}/clientConfig/caBundle", "value": bundle},
                ]
        if not change:
            return False
        await leader.patch(kind, None, name, change)
        journal.info("authority put into the webhook configuration", name=name)
        return True


def _material(secret: Manifest | None) -> Material | None:
    data = (secret or {}).get("data") or {}
    try:
        texts = [base64.b64decode(data[key]).decode() for key in KEYS]
    except (KeyError, ValueError):
        return None
    return Material(*texts)


async def _keep(leader: Cluster, present: Manifest | None, manifest: Manifest) -> None:
    """Write the Secret only if it is still as it was read: two leaders never mix their keys."""
    if present is None:
        await leader.create(manifest)
        return
    merged = {**present, "data": {**(present.get("data") or {}), **manifest["data"]}}
    await leader.replace(merged)
