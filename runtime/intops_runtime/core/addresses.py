"""Which network addresses a worker may talk to: link-local, metadata and reserved ones never.

Pure. The HTTP edge asks for every address that a name resolves to. Python's `is_global` is no such
filter: it lets NAT64, 6to4 and cloud metadata forms through, so embedded IPv4 is unpacked here first.
"""

import ipaddress
from dataclasses import dataclass, field

from intops_api.report import NOT_IN_RANGES

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Metadata services outside the link-local range: Azure, Oracle, Alibaba, AWS over IPv6.
_METADATA = tuple(
    ipaddress.ip_network(n)
    for n in ("168.63.129.16/32", "192.0.0.192/32", "100.100.100.200/32", "fd00:ec2::254/128")
)
# Private for all that matters here, though Python does not call all of them so: shared address space, in which
# some clouds have pods and nodes; the old site-local range; NAT64 of a site's own.
_SHARED = tuple(ipaddress.ip_network(n) for n in ("100.64.0.0/10", "fec0::/10", "64:ff9b:1::/48"))


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What is allowed beside public addresses, and what is denied on top of what always is."""

    allow_loopback: bool = False
    allowed: tuple[IpNetwork, ...] = field(
        default=tuple(
            ipaddress.ip_network(n)
            for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
        )
    )
    denied: tuple[IpNetwork, ...] = ()

    def refusal(self, text: str) -> str | None:
        """Why this address must not be used, in a few words; None where it may."""
        try:
            address = _unpacked(ipaddress.ip_address(text.split("%", maxsplit=1)[0]))
        except ValueError:
            return "it is no network address"
        if any(_within(address, network) for network in (*_METADATA, *self.denied)):
            return "it belongs to the platform (metadata or the API server)"
        if address.is_link_local:
            return "it is link-local, where cloud metadata services live"
        if address.is_loopback:
            return None if self.allow_loopback else "it is the worker itself (loopback)"
        if address.is_multicast or address.is_unspecified or address.is_reserved:
            return "it is no address of one host"
        if any(_within(address, network) for network in self.allowed):
            return None
        if address.is_private or any(_within(address, network) for network in _SHARED):
            return f"it is private and {NOT_IN_RANGES}"
        return None


def _within(address: IpAddress, network: IpNetwork) -> bool:
    return address.version == network.version and address in network


def _unpacked(address: IpAddress) -> IpAddress:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address.sixtofour:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
