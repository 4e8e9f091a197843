"""Addresses that a worker may and may not talk to."""

from __future__ import annotations

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
    """Whatever form an address hides in, the platform's own services are out of reach."""
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
