"""Types and parsers for listeners, DNS servers, upstreams and stores as an operator writes them.

For any text, a parser returns a value or raises `EndpointError`.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias, cast
from urllib.parse import unquote

from pydantic import SecretStr

Scheme: TypeAlias = Literal["smtp", "smtp+starttls", "smtps"]

DEFAULT_PORTS: dict[Scheme, int] = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
"""Ports where the URL has none: RFC 5321, RFC 6409 (submission), RFC 8314 (implicit TLS)."""

LOOPBACK_NAME = "localhost"
_HIGHEST_PORT = 65535
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
                        r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?\Z")  # fmt: skip

_HOST: Final = r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]*\])(?::[0-9]{1,5})?/?"
_SHOWN_URL: Final = re.compile(rf"(?:[^:/?#]*@)?{_HOST}")
_LIKE_HOST: Final = re.compile(
    r"(?:[a-z]+:)?/[\w./-]*|memory:?|localhost|[\w*-]+:\d+|\d{1,5}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*"
    r"|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+(?::\d+)?|\[[0-9A-Fa-f:.]*\](?::\d+)?|"
)
_UP_TO_QUERY: Final = re.compile(r"[?#=]")
_NO_NAME: Final = re.compile(r"[/?#=@]")


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
    if "?" in user or "#" in user:
        raise EndpointError(
            "a URL without ? and #, which would begin a query or a fragment (a ? or # that belongs "
            "to the user is written %3F or %23)"
        )
    if at and not user:
        raise EndpointError("a user in front of the @, or no @")
    endpoint = parse_endpoint(host_text.removesuffix("/"), default_port=DEFAULT_PORTS[kind])
    return Upstream(kind, _user(user) if at else None, endpoint.host, endpoint.port)


def mask_credentials(text: str) -> str:
    """Mask what may be a password in a value, or in a list of them, that an error message quotes.

    A password may hold the comma that splits the list, so what follows half a URL is masked too.
    """
    return _mask(text, urls=False)


def mask_urls(text: str) -> str:
    """Mask a value where URLs belong: a text that is no URL is shown only if it is like a host."""
    return _mask(text, urls=True)


def _mask(text: str, *, urls: bool) -> str:
    given = text.split(",")
    pieces = []
    half = False
    for piece, behind in zip(given, [*given[1:], "://"], strict=True):
        if "://" in piece:
            # What looks like a port may be the beginning of a password with a comma in it.
            cut = "://" not in behind and "@" not in piece
            shown = _mask_url(piece, port_shown=not cut)
            half = cut or (shown != piece and "@" not in shown)
        elif "@" in piece:
            shown = f"***@{_shown_host(piece.rpartition('@')[2])}"
            half = False
        elif half or (urls and not _LIKE_HOST.fullmatch(piece.strip())):
            shown = "***"
        else:
            name = _UP_TO_QUERY.split(piece, maxsplit=1)[0]
            shown = piece if name == piece else f"{name}***"
        pieces.append(shown)
    return ",".join(pieces)


def _mask_url(text: str, *, port_shown: bool) -> str:
    """Show the scheme, the user and the host; a password, a path and a query are masked."""
    scheme, _, rest = text.partition("://")
    if _SHOWN_URL.fullmatch(rest) and (port_shown or ":" not in rest):
        return text
    user, at, host = rest.rpartition("@")
    name, colon, _ = (user if at else rest).partition(":")
    if at and not _UP_TO_QUERY.search(user) and "/" not in user:
        return f"{scheme}://{name}{':***' if colon else ''}@{_shown_host(host)}"
    name = _NO_NAME.split(name, maxsplit=1)[0]
    return f"{scheme}://{name}{':' if colon and rest.startswith(f'{name}:') else ''}***"


def _shown_host(text: str) -> str:
    return text if _SHOWN_URL.fullmatch(text) and "@" not in text else "***"


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
        .replace("?", "%3F")
        .replace("#", "%23")
    )
