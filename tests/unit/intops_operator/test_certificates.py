"""The certificate is made once, renewed in time, and its authority never leaves a gap."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from intops_operator.edges.certificates import Lifetimes, Material, expires, renewed

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


def test_a_new_authority_is_trusted_before_it_signs_anything(first: Material) -> None:
    """S-53: What is shown stays of the old one until the next renewal, which comes long before the old one ends."""
    third = timedelta(days=3650 * 2 / 3)
    shown = renewed(first, HOSTS, NOW + third - timedelta(days=1))
    later = renewed(shown, HOSTS, NOW + third + timedelta(days=1))
    at_last = renewed(later, HOSTS, NOW + third + timedelta(days=61))

    new, old = authorities(later)
    assert old == authorities(first)[0]
    assert (later.certificate, later.key) == (shown.certificate, shown.key)
    serving(at_last).verify_directly_issued_by(new)
    assert authorities(at_last) == [new, old]


@pytest.mark.parametrize("look_s", [5, 7, 30])
def test_whatever_is_shown_is_of_an_authority_that_was_trusted_at_the_look_before(
    look_s: int,
) -> None:
    """An API server that is one look behind accepts everything, through twelve authorities."""
    lives = Lifetimes(authority=timedelta(seconds=360), serving=timedelta(seconds=120))
    material, moment, seen = renewed(None, HOSTS, NOW, lives), NOW, set()
    while moment < NOW + timedelta(seconds=12 * 240):
        moment += timedelta(seconds=look_s)
        before, material = material, renewed(material, HOSTS, moment, lives)
        known = {ca for ca in authorities(before) if ca.not_valid_after_utc > moment}
        assert expires(before.certificate) > moment
        assert any(_issued(material, ca) for ca in known)
        seen.add(authorities(material)[0].serial_number)
        assert len(authorities(material)) <= 2
    assert len(seen) >= 12


def test_a_shorter_life_counts_for_what_was_made_before(first: Material) -> None:
    """Who writes thirty days does not wait two months for it."""
    lives = Lifetimes(authority=timedelta(days=365), serving=timedelta(days=30))
    later = renewed(first, HOSTS, NOW + timedelta(hours=1), lives)

    assert expires(later.certificate) < expires(first.certificate)
    assert len(authorities(later)) == 2


def _issued(material: Material, ca: x509.Certificate) -> bool:
    try:
        serving(material).verify_directly_issued_by(ca)
    except InvalidSignature:
        return False
    return True


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
