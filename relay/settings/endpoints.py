"""Types and parsers for listeners, DNS servers, upstreams and stores as an operator writes them.

For any text, a parser returns a value or raises `EndpointError`.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias, cast
from urllib.parse import unquote

from pydantic import SecretStr

Scheme: TypeAlias = Literal["smtp", "smtp+starttls", "smtps"]

DEFAULT_PORTS: dict[Scheme, int] = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
"""Ports where the URL has none: RFC 5321, RFC 6409 (submission), RFC 8314 (implicit TLS)."""

LOOPBACK_NAME = "localhost"
_HIGHEST_PORT = 65535
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
                        r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?\Z")  # fmt: skip


class EndpointError(ValueError):
    """A text cannot be parsed. The message says what is allowed; it never holds a password."""


class Endpoint(NamedTuple):
    """A host and a port as the operator wrote them; `host` is an address or an unresolved name."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write `host:port`, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Hosts to bind: `localhost` stands for both loopback addresses, IPv4 first."""
        return ("127.0.0.1", "::1") if self.host == LOOPBACK_NAME else (self.host,)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it; false for any name other than `localhost`."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Upstream:
    """A mail server to relay to. `user` is None where presend does not authenticate."""

    scheme: Scheme
    user: str | None
    host: str
    port: int
    password: SecretStr | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """`host:port`, for logs and replies."""
        return str(Endpoint(self.host, self.port))

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine, so that the connection crosses no network."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        """Write the URL as `parse_upstream` takes it; it never holds the password."""
        user = "" if self.user is None else f"{_quote_user(self.user)}@"
        return f"{self.scheme}://{user}{self.name}"


def is_loopback(host: str) -> bool:
    """Whether a host is `localhost` or a loopback address; no name is resolved."""
    if host == LOOPBACK_NAME:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_endpoint(text: str, *, default_port: int | None = None, lowest: int = 1) -> Endpoint:
    """Parse `host:port`, `[::1]:port` or, with a default port, a bare host.

    `lowest` is the lowest port allowed; 0 lets the system choose one. Raises EndpointError.
    """
    host, port = _split_port(text)
    if port is None:
        if default_port is None:
            raise EndpointError("host:port, such as localhost:25, 192.0.2.1:25 or [::1]:25")
        return Endpoint(_host(host), default_port)
    return Endpoint(_host(host), _port(port, lowest))


def parse_upstream(text: str) -> Upstream:
    """Parse `scheme://[user@]host[:port]`; the user may be percent-encoded or hold an `@`.

    Raises EndpointError, also for a password inside the URL: URLs end up in logs and manifests.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in DEFAULT_PORTS:
        raise EndpointError("smtp://, smtp+starttls:// or smtps://, then [user@]host[:port]")
    kind = cast("Scheme", scheme.lower())
    user, at, host_text = rest.rpartition("@")
    if ":" in user:
        raise EndpointError(
            "a URL without a password: set PRESEND_UPSTREAM_PASSWORD or "
            "PRESEND_UPSTREAM_PASSWORD_FILE (a colon that belongs to the user is written %3A)"
        )
    if at and not user:
        raise EndpointError("a user in front of the @, or no @")
    endpoint = parse_endpoint(host_text.removesuffix("/"), default_port=DEFAULT_PORTS[kind])
    return Upstream(kind, _user(user) if at else None, endpoint.host, endpoint.port)


def mask_credentials(text: str) -> str:
    """Mask what may be a password in a list of URLs that an error message quotes.

    A password may hold the comma that splits the list, so both halves of such a URL are masked.
    """
    return ",".join(map(_mask_piece, text.split(",")))


def _mask_piece(text: str) -> str:
    scheme, separator, rest = text.rpartition("://")
    user, at, host = rest.rpartition("@")
    if at:
        name, colon, _ = user.partition(":")
        shown = (f"{name}:***" if colon else name) if separator else "***"
        return f"{scheme}{separator}{shown}@{host}"
    name, colon, port = rest.partition(":")
    if separator and colon and not port.isdigit() and not rest.startswith("["):
        return f"{scheme}{separator}{name}:***"
    return text


def _split_port(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or ":" not in host:
            raise EndpointError("an IPv6 address in brackets, then a port: [::1]:25")
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        raise EndpointError("an IPv6 address in brackets: [::1]:25")
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _host(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
        return text
    if not _HOST_NAME.match(text) or text.rpartition(".")[2].isdigit():
        raise EndpointError(
            "a host name or an address, such as mail.example.com, 192.0.2.1 or [2001:db8::1]"
        )
    return LOOPBACK_NAME if text.lower() == LOOPBACK_NAME else text


def _port(text: str, lowest: int) -> int:
    # int() also takes "+25", "2_5" and digits of other scripts.
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_HIGHEST_PORT))):
        raise EndpointError(f"a port from {lowest} to {_HIGHEST_PORT}")
    port = int(text)
    if not lowest <= port <= _HIGHEST_PORT:
        raise EndpointError(f"a port from {lowest} to {_HIGHEST_PORT}")
    return port


def _user(text: str) -> str:
    try:
        user = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise EndpointError("a user whose percent-encoding is UTF-8") from None
    if any(character < " " or character == "\x7f" for character in user):
        raise EndpointError("a user without control characters")
    return user


def _quote_user(user: str) -> str:
    # `@` stays readable: the last one splits. Colons and percent signs would be misread.
    return (
        user.replace("%", "%25")
        .replace(":", "%3A")
        .replace(",", "%2C")
        .replace("/", "%2F")
        .replace(" ", "%20")
    )
