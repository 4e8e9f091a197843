"""Read a certificate and its key from a folder into which a Secret is mounted.

The admission endpoint asks again and again; kubelet exchanges both files at once by renaming a link.
"""

from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from intops_operator.core.certificate import Facts


class FilesError(Exception):
    """The folder holds no certificate with a key. The text names the file, never what is in it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """PEM texts of a certificate, with what it was issued by, and of its key."""

    certificate: str
    key: str = field(repr=False)


def read_pair(folder: Path) -> Pair:
    """The pair that is there now, never half of two.

    Raises:
        FilesError: A file is missing or empty, or cannot be read.
    """
    # kubelet's link to the present state: reading through it twice could meet two states.
    present = (folder / "..data").resolve() if (folder / "..data").exists() else folder
    texts = []
    for name in ("tls.crt", "tls.key"):
        try:
            text = (present / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise FilesError(f"{name} cannot be read in {folder}") from None
        if not text.strip():
            raise FilesError(f"{name} is empty in {folder}")
        texts.append(text)
    return Pair(*texts)


def facts_of(pair: Pair) -> Facts:
    """What the certificate says, and whether the key is its own.

    Raises:
        FilesError: One of them is no PEM text of its kind, or the key wants a password.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.encode())
    except ValueError:
        raise FilesError("tls.crt is no certificate") from None
    try:
        key = serialization.load_pem_private_key(pair.key.encode(), None)
    except (ValueError, TypeError):
        raise FilesError("tls.key is no private key without a password") from None
    try:
        return Facts(
            names=_names(certificate),
            begins=certificate.not_valid_before_utc,
            ends=certificate.not_valid_after_utc,
            key_fits=certificate.public_key() == key.public_key(),
        )
    except Exception as error:  # whatever the library cannot read no API server could
        raise FilesError(f"tls.crt cannot be used: {error}") from None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    addresses = [str(one) for one in found.get_values_for_type(x509.IPAddress)]
    return (*found.get_values_for_type(x509.DNSName), *addresses)
