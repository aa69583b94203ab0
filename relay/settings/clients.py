"""Access control by client address, which keeps presend from being an open relay."""

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_WIDEST_IPV4 = 8
_WIDEST_IPV6 = 16
_PRIVATE_IPV6 = ipaddress.IPv6Network("fc00::/7")
_MAPPED_IPV4 = ipaddress.IPv6Network("::ffff:0:0/96")
_REMEMBERED = 4096
"""Most client addresses whose answer is cached."""


class AllowList:
    """Networks whose clients may connect. Loopback is always allowed."""

    __slots__ = ("_known", "_networks")

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        """Take the networks of `PRESEND_ALLOW_CLIENTS`."""
        self._networks = tuple(networks)
        self._known: dict[str, bool] = {}

    def permits(self, ip: str) -> bool:
        """Whether a peer at this address may use the relay; text that is no address may not.

        An IPv4 address mapped into IPv6 (`::ffff:192.0.2.1`, RFC 4291 section 2.5.5.2), as a
        dual-stack socket reports it, counts as the IPv4 address.
        """
        answer = self._known.get(ip)
        if answer is None:
            answer = self._decide(ip)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[ip] = answer
        return answer

    def _decide(self, ip: str) -> bool:
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return address.is_loopback or any(address in network for network in self._networks)


def parse_network(text: str) -> Network:
    """Parse a CIDR network or a single address; raises ValueError that says what is allowed."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            message = "networks in CIDR notation, such as 10.42.0.0/16 or fd00:42::/64"
        else:
            message = f"a network without host bits: {meant}"
        raise ValueError(message) from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED_IPV4):
        raise ValueError("an IPv4 network written as such, not mapped into IPv6")
    return network


def too_wide(networks: Iterable[Network]) -> Network | None:
    """Find a network, or a union of several, that is too wide to list the clients of a relay.

    Too wide is more than /8 for IPv4 or /16 for IPv6, unless it lies in fc00::/7 (RFC 4193).
    """
    given = tuple(networks)
    four = [network for network in given if isinstance(network, ipaddress.IPv4Network)]
    six = [network for network in given if isinstance(network, ipaddress.IPv6Network)]
    for network in ipaddress.collapse_addresses(four):
        if network.prefixlen < _WIDEST_IPV4:
            return network
    for wide in ipaddress.collapse_addresses(six):
        if wide.prefixlen < _WIDEST_IPV6 and not wide.subnet_of(_PRIVATE_IPV6):
            return wide
    return None
