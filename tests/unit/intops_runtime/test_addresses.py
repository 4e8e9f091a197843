"""Addresses that a worker may and may not talk to."""

from __future__ import annotations

import ipaddress

import pytest

from intops_runtime.core.addresses import AddressPolicy


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::",
        "168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254", "224.0.0.1", "0.0.0.0",
        "::", "127.0.0.1", "::1", "240.0.0.1", "not-an-address",
    ],
)  # fmt: skip
def test_metadata_link_local_and_odd_addresses_are_never_called(address: str) -> None:
    """S-20: Whatever form an address hides in, the platform's own services are out of reach."""
    assert AddressPolicy().refusal(address) is not None


@pytest.mark.parametrize("address", ["10.1.2.3", "172.16.0.1", "192.168.1.1", "93.184.216.34"])
def test_public_and_usual_private_addresses_are_called(address: str) -> None:
    """Most ITSM is on premises."""
    assert AddressPolicy().refusal(address) is None


def test_private_ranges_are_the_operators_choice() -> None:
    """A cluster that allows no private range refuses them all."""
    assert AddressPolicy(allowed=()).refusal("10.1.2.3") is not None


def test_loopback_is_for_try_outs_only() -> None:
    """`intops run` may call this machine; a pod may not."""
    assert AddressPolicy(allow_loopback=True).refusal("127.0.0.1") is None


@pytest.mark.parametrize(
    "address",
    [
        "100.64.0.1", "100.127.255.254", "::ffff:100.64.0.1", "fec0::1", "64:ff9b:1::a9fe:a9fe",
        "2001:0:a9fe:a9fe::1", "::a9fe:a9fe", "0:0:0:0:0:ffff:7f00:1", "2002:7f00:1::", "64:ff9b::7f00:1",
        "198.18.0.1", "192.0.2.1", "2001:db8::1", "255.255.255.255", "ff02::1", "fe80::1%eth0",
    ],
)  # fmt: skip
def test_s20_addresses_that_only_machines_around_us_have_are_never_called(address: str) -> None:
    """Shared ranges are those of pods and nodes in some clouds; an address in an address is unpacked."""
    assert AddressPolicy().refusal(address) is not None


@pytest.mark.parametrize(
    "text",
    [
        "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "169.16689662", "0xA9.0xFE.169.254",
        "169.254.169.254.", "169.254.169.254%00", "127.1", "0", "017700000001", "1.2.3", "1.2.3.4.5", "",
        "169。254。169。254", "①⑥⑨.254.169.254",
    ],
)  # fmt: skip
def test_s21_no_odd_spelling_is_an_address(text: str) -> None:
    """Whatever a resolver would make of it: what it answers is judged, and this is no answer."""
    assert AddressPolicy().refusal(text) is not None


def test_s20_a_shared_range_can_be_allowed() -> None:
    """Where a desk has such an address, the operator says so."""
    allowed = (ipaddress.ip_network("100.64.0.0/10"),)
    assert AddressPolicy(allowed=allowed).refusal("100.64.0.1") is None
