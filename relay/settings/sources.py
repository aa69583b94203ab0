"""The sources of a suppression list as an operator writes them: paths and URLs."""

import urllib.parse
from dataclasses import dataclass, field

from relay.settings.endpoints import EndpointError, is_loopback, mask_credentials

_ALLOWED = "paths that begin with / or ., and URLs that begin with http:// or https://"


@dataclass(frozen=True, slots=True)
class Source:
    """A file, a directory or a URL. `str` shows no user, password or query: they may be secrets."""

    text: str = field(repr=False)
    """As the operator wrote it."""

    def __str__(self) -> str:
        """Write it as a message may show it."""
        return mask_credentials(self.text)


def parse_source(text: str) -> Source:
    """Return a source. Raises EndpointError, whose message says what is allowed."""
    if not text.isprintable():
        raise EndpointError("a path or a URL without control characters")
    if "://" not in text:
        if not text.startswith(("/", ".")):  # perhaps a part of a password with a comma in it
            raise EndpointError(_ALLOWED)
        return Source(text)
    try:
        fault = _fault_of(urllib.parse.urlsplit(text))
    except ValueError:
        fault = "a URL such as https://lists.example.com/unsubscribed.csv"
    if not text.isascii() or " " in text:
        fault = "a URL in printable ASCII without spaces; others are percent-encoded"
    if fault:
        raise EndpointError(fault)
    return Source(text)


def _fault_of(url: urllib.parse.SplitResult) -> str:
    """Return what is allowed in place of this URL, or an empty text. Raises ValueError."""
    if url.scheme.lower() not in {"http", "https"}:
        return _ALLOWED
    if "@" in f"{url.path}{url.query}{url.fragment}":  # perhaps the end of a password
        return "a URL in whose user, password, path and query / ? # and @ are percent-encoded"
    if not url.hostname or url.port == 0:
        return "a URL with a host, such as https://lists.example.com/unsubscribed.csv"
    if url.scheme.lower() == "http" and "@" in url.netloc and not is_loopback(url.hostname):
        return "https:// where a user is given: http:// would send the password in clear"
    return ""
