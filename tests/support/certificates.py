"""Certificates for tests: an authority, and what it signs, sound or not.

Used by tests of TLS.
"""

from __future__ import annotations

import ipaddress
import ssl
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority of its own."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """Its certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server_context(
        self, folder: Path, *, host: str = "127.0.0.1", expired: bool = False
    ) -> ssl.SSLContext:
        """What a server shows that this authority has signed for a host, by name or address."""
        until = datetime.now(UTC) + (-DAY if expired else DAY)
        certificate, private = self.pair(host, ends=until)
        file = folder / f"server-{uuid.uuid4()}.pem"
        file.write_text(private + certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def pair(
        self,
        *hosts: str,
        begins: datetime | None = None,
        ends: datetime | None = None,
        with_rsa: bool = False,
    ) -> tuple[str, str]:
        """Certificate and key, as PEM, that this authority has signed for hosts, by name or address."""
        key = (
            rsa.generate_private_key(65537, 2048)
            if with_rsa
            else ec.generate_private_key(ec.SECP256R1())
        )
        signed = (
            _builder(
                "server", self.certificate.subject, ends or datetime.now(UTC) + 5 * DAY, begins
            )
            .public_key(key.public_key())
            .add_extension(x509.SubjectAlternativeName([_named(h) for h in hosts]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return signed.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def _named(host: str) -> x509.GeneralName:
    if host.replace(".", "").isdigit():
        return x509.IPAddress(ipaddress.ip_address(host))
    return x509.DNSName(host)


def new_authority(name: str = "tests") -> Authority:
    """An authority that nobody knows yet."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _builder(name, subject, datetime.now(UTC) + DAY)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, content_commitment=False, key_encipherment=False,
                data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
                encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return Authority(certificate, key)


def _builder(
    name: str, issuer: x509.Name, until: datetime, since: datetime | None = None
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since or until - 10 * DAY)
        .not_valid_after(until)
    )
