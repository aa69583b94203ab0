"""Who may relay: by the client's address, by AUTH and by TLS. `Access` decides, and nothing else.

The settings build an `Access`, refuse to start with one that would be an open relay, and the SMTP
server asks the same object about each client.
"""

import hmac
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Need: TypeAlias = Literal["tls", "auth"]
"""What a client has to do before it may relay: STARTTLS or AUTH."""

WIDEST_IPV4: Final = 8
"""Prefix length of the widest IPv4 network, and of the share of public addresses of them all."""
WIDEST_IPV6: Final = 16
"""The same for IPv6."""
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(block)
    for block in (
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # RFC 6598, carrier-grade NAT; used for pods as well
        "127.0.0.0/8",  # loopback, which is always allowed
        "fc00::/7",  # RFC 4193
        "::1/128",
    )
)
"""Networks that no stranger on the internet sends from: they do not count as public."""
_PRIVATE_IPV6: Final = ipaddress.IPv6Network("fc00::/7")
_MAPPED_IPV4: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_6TO4: Final = ipaddress.IPv6Network("2002::/16")  # RFC 3056
_REMEMBERED: Final = 4096
"""Most client addresses whose answer is cached."""


class Credentials:
    """The one account that clients may use."""

    __slots__ = ("_password", "_username")

    def __init__(self, username: str, password: str) -> None:
        """Keep both as octets. ValueError if one is empty: that would be no account at all."""
        if not username or not password:
            raise ValueError("a user name and a password, neither of them empty")
        self._username = username.encode()
        self._password = password.encode()

    def match(self, username: bytes, password: bytes) -> bool:
        """Compare in a time that does not depend on how much of them is right."""
        same_name = hmac.compare_digest(username, self._username)
        same_password = hmac.compare_digest(password, self._password)
        return same_name and same_password


class Access:
    """Whether a client may relay.

    It may if its address is permitted and nothing is needed of it any more: STARTTLS where TLS is
    required, AUTH where there are credentials. Loopback is always permitted.
    """

    __slots__ = ("_known", "credentials", "networks", "tls_required")

    def __init__(
        self,
        networks: Iterable[Network] = (),
        credentials: Credentials | None = None,
        *,
        tls_required: bool = False,
    ) -> None:
        """Take the networks of `PRESEND_ALLOW_CLIENTS`, and the account for AUTH."""
        self.networks = tuple(networks)
        self.credentials = credentials
        """The account with which every client has to authenticate; None: no AUTH."""
        self.tls_required = tls_required
        self._known: dict[str, bool] = {}

    def permits(self, ip: str) -> bool:
        """Whether a peer at this address may connect; text that is no address may not.

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

    def needs(self, *, tls: bool, authenticated: bool) -> Need | None:
        """Return what a permitted client has yet to do before MAIL; None if it may relay."""
        if self.tls_required and not tls:
            return "tls"
        if self.credentials is not None and not authenticated:
            return "auth"
        return None

    def open_to(self) -> str | None:
        """Return the networks from which strangers could relay without AUTH, or None."""
        if self.needs(tls=True, authenticated=False) is not None:
            return None
        wide = too_wide(self.networks)
        return str(wide) if wide is not None else too_many(self.networks)

    def _decide(self, ip: str) -> bool:
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False
        address = _unmapped(address)
        return address.is_loopback or any(address in network for network in self.networks)


def site_of(ip: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 of an IPv6 site (RFC 6177).

    Text that is no address is returned as it is.
    """
    try:
        address = _unmapped(ipaddress.ip_address(ip))
    except ValueError:
        return ip
    if isinstance(address, ipaddress.IPv6Address):  # that of ::1 and its neighbours is 0
        address = ipaddress.IPv6Address(int(address) >> 64 << 64 or int(address))
    return str(address)


def _unmapped(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the IPv4 address where one is mapped into IPv6, as a dual-stack socket reports it."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


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
    """Find a network, or a union of adjacent ones, that is too wide to list clients of a relay.

    Too wide is more than /8 for IPv4 or /16 for IPv6, unless it lies in fc00::/7 (RFC 4193).
    """
    four, six = _collapsed(networks)
    for network in four:
        if network.prefixlen < WIDEST_IPV4:
            return network
    for wide in six:
        if wide.prefixlen < WIDEST_IPV6 and not wide.subnet_of(_PRIVATE_IPV6):
            return wide
    return None


def too_many(networks: Iterable[Network]) -> str | None:
    """Describe networks that hold too many public addresses together, however they are spread.

    Too many is more than a /8 has for IPv4, and more than a /16 has for IPv6. Ranges from which
    no stranger sends (RFC 1918, RFC 6598, RFC 4193, loopback) do not count. An IPv6 network that
    embeds IPv4 addresses (NAT64, 6to4) counts as those.
    """
    four, six = _collapsed(networks)
    return _too_many(four, 32 - WIDEST_IPV4) or _too_many(six, 128 - WIDEST_IPV6)


def _too_many(networks: Sequence[Network], bits: int) -> str | None:
    if sum(map(_public_addresses, networks)) <= 1 << bits:
        return None
    first = ", ".join(map(str, networks[:2]))
    return f"{first}{', ...' if networks[2:] else ''} together"


def _collapsed(
    networks: Iterable[Network],
) -> tuple[list[ipaddress.IPv4Network], list[ipaddress.IPv6Network]]:
    """Return the IPv4 networks, with those that IPv6 networks embed, and the IPv6 networks."""
    four: list[ipaddress.IPv4Network] = []
    six: list[ipaddress.IPv6Network] = []
    for network in networks:
        if isinstance(network, ipaddress.IPv4Network):
            four.append(network)
        else:
            six.append(network)
            four += _embedded(network)
    return [*ipaddress.collapse_addresses(four)], [*ipaddress.collapse_addresses(six)]


def _embedded(network: ipaddress.IPv6Network) -> Iterator[ipaddress.IPv4Network]:
    """Yield the IPv4 networks whose hosts are seen under an IPv6 network's addresses."""
    for prefix in (_NAT64, _6TO4):
        if network.subnet_of(prefix):
            length = min(network.prefixlen - prefix.prefixlen, 32)
            address = int(network.network_address) >> (96 - prefix.prefixlen) & 0xFFFF_FFFF
            yield ipaddress.IPv4Network((address, length))
        elif network.supernet_of(prefix):
            yield ipaddress.IPv4Network("0.0.0.0/0")


def _public_addresses(network: Network) -> int:
    """Return how many addresses of a network strangers on the internet may have."""
    number = network.num_addresses
    for other in _NOT_PUBLIC:
        if other.version != network.version or not network.overlaps(other):
            continue
        number -= min(network.num_addresses, other.num_addresses)  # one holds the other
    return number
