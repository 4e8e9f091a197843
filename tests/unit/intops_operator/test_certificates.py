"""The certificate is made once, renewed in time, and its authority never leaves a gap."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from intops_operator.edges.certificates import Material, expires, renewed

NOW = datetime(2026, 11, 25, tzinfo=UTC)
HOSTS = ("intops.intops-system.svc", "127.0.0.1")


@pytest.fixture(scope="module")
def first() -> Material:
    """What a new installation has."""
    return renewed(None, HOSTS, NOW)


def authorities(material: Material) -> list[x509.Certificate]:
    """All that are trusted."""
    return x509.load_pem_x509_certificates(material.ca.encode())


def serving(material: Material) -> x509.Certificate:
    """The certificate that is shown."""
    return x509.load_pem_x509_certificate(material.certificate.encode())


def test_a_new_certificate_is_of_its_authority_and_for_its_hosts(first: Material) -> None:
    """An API server that trusts the bundle accepts it."""
    serving(first).verify_directly_issued_by(authorities(first)[0])
    names = serving(first).extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == [HOSTS[0]]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == [HOSTS[1]]


def test_nothing_is_made_anew_while_all_is_well(first: Material) -> None:
    """Two looks are one Secret."""
    assert renewed(first, HOSTS, NOW + timedelta(days=59)) is first


def test_a_certificate_is_renewed_a_month_before_its_end(first: Material) -> None:
    """S-53: By the same authority, so that nobody notices."""
    later = renewed(first, HOSTS, NOW + timedelta(days=61))

    assert later.ca == first.ca
    assert expires(later.certificate) > expires(first.certificate)


def test_another_host_makes_another_certificate(first: Material) -> None:
    """A renamed Service works without a hand."""
    assert renewed(first, ("other.svc",), NOW).certificate != first.certificate


def test_an_old_authority_is_trusted_beside_its_successor(first: Material) -> None:
    """S-53: Replicas that still show the old certificate are accepted."""
    later = renewed(first, HOSTS, NOW + timedelta(days=3650 - 300))

    new, old = authorities(later)
    assert old == authorities(first)[0]
    serving(later).verify_directly_issued_by(new)


@pytest.mark.parametrize(
    "spoiled",
    [
        pytest.param({"ca": "nonsense"}, id="no authority"),
        pytest.param({"ca_key": "nonsense"}, id="no key of the authority"),
        pytest.param({"certificate": "nonsense"}, id="no certificate"),
        pytest.param({"key": "nonsense"}, id="no key"),
    ],
)
def test_a_damaged_secret_is_repaired(first: Material, spoiled: dict[str, str]) -> None:
    """Whatever somebody wrote into it."""
    repaired = renewed(replace(first, **spoiled), HOSTS, NOW)

    assert renewed(repaired, HOSTS, NOW) is repaired
    serving(repaired).verify_directly_issued_by(authorities(repaired)[0])


def test_keys_are_not_shown(first: Material) -> None:
    """A log line with the object shows no secret."""
    assert "PRIVATE" not in repr(first)
