"""IP addresses that the internet does not route: mail sent to them over the internet is lost."""

import ipaddress
from typing import Final


def _ranges(*blocks: tuple[str, str]) -> tuple[tuple[int, int, str], ...]:
    """Return (first, last, kind) for each (network, kind)."""
    networks = ((ipaddress.ip_network(block), kind) for block, kind in blocks)
    return tuple(
        (int(network.network_address), int(network.broadcast_address), kind)
        for network, kind in networks
    )


# IANA IPv4 and IPv6 Special-Purpose Address Registries, entries that are not globally reachable
# (https://www.iana.org/assignments/iana-ipv4-special-registry, .../iana-ipv6-special-registry).
# `ipaddress.is_global` changes with the Python version; a verdict must not.
_SPECIAL_V4: Final = _ranges(
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "reserved"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
)
_SPECIAL_V6: Final = _ranges(
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("64:ff9b:1::/48", "private"),
    ("100::/63", "discard-only"),
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "documentation"),
    ("3fff::/20", "documentation"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),
    ("ff00::/8", "multicast"),
)
_GLOBAL_UNICAST_V6: Final = 0b001
"""2000::/3 (RFC 4291 2.4): everything outside it is special or not yet assigned."""


def special_use(packed: bytes) -> str | None:
    """Return the special use of a packed address (4 or 16 octets), or None if it is routed.

    An IPv6 address that embeds an IPv4 address has the use of that one.
    """
    number = int.from_bytes(packed, "big")
    if len(packed) == 4:  # noqa: PLR2004 the octets of an IPv4 address
        return _kind(number, _SPECIAL_V4)
    embedded = _embedded(number)
    if embedded is not None:
        return _kind(embedded, _SPECIAL_V4)
    kind = _kind(number, _SPECIAL_V6)
    if kind is None and number >> 125 != _GLOBAL_UNICAST_V6:
        return "reserved"
    return kind


def _kind(number: int, ranges: tuple[tuple[int, int, str], ...]) -> str | None:
    for first, last, kind in ranges:
        if first <= number <= last:
            return kind
    return None


def _embedded(number: int) -> int | None:
    """Return the IPv4 address that is embedded in an IPv6 address, or None."""
    if number >> 32 in (0xFFFF, 0x64_FF9B << 64):
        # ::ffff:0:0/96, IPv4-mapped (RFC 4291 2.5.5.2); 64:ff9b::/96, NAT64 (RFC 6052)
        return number & 0xFFFF_FFFF
    if number >> 112 == 0x2002:  # noqa: PLR2004 2002::/16, 6to4 (RFC 3056)
        return number >> 80 & 0xFFFF_FFFF
    return None
