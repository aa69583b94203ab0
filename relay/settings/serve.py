"""Settings of `presend serve`, and the combinations of them that are refused."""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Final

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from relay.settings.clients import WIDEST_IPV4, WIDEST_IPV6, Access
from relay.settings.common import ProcessSettings
from relay.settings.endpoints import Endpoint, Upstream
from relay.settings.fields import Listeners, Networks, Path, Upstreams, setting
from relay.settings.groups import Auth, Limits, Pool, Tls, UpstreamTimeouts, UpstreamTls
from relay.settings.judging import JudgingSettings

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,253}[A-Za-z0-9_])?\Z")


def _host_name() -> str:
    return socket.gethostname() or "localhost"


def _readable(file: FilePath) -> bool:
    """Return whether a file can be read to its end, which a device such as /dev/zero has not."""
    return os.access(file, os.R_OK) and (file.is_file() or file.is_fifo())


def _holds_certificates(file: FilePath) -> bool:
    """Return whether OpenSSL finds certificates in a file; a pipe, which is read once, counts."""
    try:
        if file.is_file():
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return False
    return True


def _belong_together(chain: FilePath, key: FilePath) -> bool:
    """Return whether OpenSSL can use this certificate with this key; pipes count as usable."""
    try:
        if chain.is_file() and key.is_file():
            # A password keeps OpenSSL from asking for one on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key, password="")
    except (OSError, ValueError):
        return False
    return True


class ServeSettings(JudgingSettings, ProcessSettings):
    """The relay: its listeners, its clients, the upstreams, and how recipients are judged."""

    listen: Listeners = setting(
        (Endpoint("localhost", 25),),
        "SMTP listeners; `localhost` means both loopback addresses.",
        unit="host:port",
    )
    allow_clients: Networks = setting(
        (),
        "Networks whose clients may connect, besides loopback; empty means loopback only.",
        unit="CIDR",
    )
    hostname: str = Field(
        default_factory=_host_name,
        description="The relay's own name in the banner, in EHLO and in Received.",
        json_schema_extra={"unit": "", "default": "the machine's"},
    )
    # The password stands before `upstream`, whose validator reads it.
    upstream_password: SecretStr | None = setting(
        None, "Password of the upstream's user (AUTH), the same for all upstreams."
    )
    upstream_password_file: FilePath | None = setting(
        None, "File that holds the upstream password.", unit="path"
    )
    upstream: Upstreams = setting(
        (),
        "Mail servers to relay to, in order: mail goes to the first that is available.",
        unit="URL",
    )
    limits: Limits = Limits()
    pool: Pool = Pool()
    upstream_timeouts: UpstreamTimeouts = UpstreamTimeouts()
    upstream_tls: UpstreamTls = UpstreamTls()
    tls: Tls = Tls()
    auth: Auth = Auth()

    @field_validator("hostname")
    @classmethod
    def _hostname(cls, value: str) -> str:
        if not _HOST_NAME.match(value):
            raise ValueError("a host name, such as relay.example.com")
        return value

    @field_validator("listen")
    @classmethod
    def _not_empty(cls, value: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        if not value:
            raise ValueError("at least one host:port")
        return value

    @field_validator("upstream")
    @classmethod
    def _with_password(
        cls, value: tuple[Upstream, ...], info: ValidationInfo
    ) -> tuple[Upstream, ...]:
        password = info.data.get("upstream_password")
        return tuple(
            upstream
            if upstream.user is None or upstream.password
            else replace(upstream, password=password)
            for upstream in value
        )

    @property
    def access(self) -> Access:
        """Who may relay: the start is refused where it is anyone, and the server asks it."""
        return Access(self.allow_clients, self.auth.credentials, tls_required=self.tls.required)

    def missing(self) -> Iterator[tuple[Path, str | None, str]]:
        """Yield what `serve` cannot run without: an upstream, its password, usable PEM files."""
        if not self.upstream:
            allowed = (
                "needed: the mail server to relay to, such as "
                "smtp+starttls://user@smtp.example.com:587 (or start with --dev)"
            )
            yield ("upstream",), None, allowed
        password = self.upstream_password
        authenticated = [upstream for upstream in self.upstream if upstream.user is not None]
        if authenticated and not (password and password.get_secret_value()):
            allowed = f"needed for {authenticated[0]} (or PRESEND_UPSTREAM_PASSWORD_FILE)"
            yield ("upstream_password",), None, allowed
        if self.upstream and password is not None and not authenticated:
            allowed = "used only by an upstream with a user: user@host"
            yield ("upstream_password",), str(password), allowed
        for path, file, allowed in self._unusable_files():
            yield path, str(file), allowed

    def _unusable_files(self) -> Iterator[tuple[Path, FilePath, str]]:
        """Yield the certificate files that cannot be used, each with what is allowed."""
        files = (
            (("tls", "cert_file"), self.tls.cert_file),
            (("tls", "key_file"), self.tls.key_file),
            (("upstream_tls", "ca_file"), self.upstream_tls.ca_file),
        )
        unreadable = [(path, file) for path, file in files if file and not _readable(file)]
        if unreadable:
            yield from ((path, file, "a readable PEM file") for path, file in unreadable)
            return
        (chain_path, chain), (key_path, key), (ca_path, ca_file) = files
        if ca_file and not _holds_certificates(ca_file):
            yield ca_path, ca_file, "a PEM file of CA certificates"
        if chain and key:
            if not _holds_certificates(chain):
                yield chain_path, chain, "a PEM file of the certificate and its chain"
            elif not _belong_together(chain, key):
                allowed = "a PEM file of the certificate's private key, without a pass phrase"
                yield key_path, key, allowed

    def conflicts(self) -> Iterator[tuple[Path, str]]:
        """Yield what would make an open relay or send a password in clear."""
        yield from self._open_relay()
        for upstream in self.upstream:
            if upstream.user is not None and upstream.scheme == "smtp" and not upstream.loopback:
                allowed = (
                    "smtp+starttls:// or smtps:// where a user is given: smtp:// would send the "
                    "password in clear"
                )
                yield ("upstream",), allowed
        yield from super().conflicts()

    def _open_relay(self) -> Iterator[tuple[Path, str]]:
        access = self.access
        reachable = [endpoint for endpoint in self.listen if not endpoint.loopback]
        if reachable and not access.networks:
            allowed = (
                f"{reachable[0]} is not loopback: allowed only with PRESEND_ALLOW_CLIENTS, "
                "the networks of the clients, such as 10.42.0.0/16"
            )
            yield ("listen",), allowed
        wide = access.open_to()
        if wide is not None:
            allowed = (
                f"{wide} would make an open relay: networks no wider than /{WIDEST_IPV4} (IPv4) "
                f"or /{WIDEST_IPV6} (IPv6), and together no more public addresses than one such "
                "network, unless PRESEND_AUTH__USERNAME and PRESEND_AUTH__PASSWORD are set"
            )
            yield ("allow_clients",), allowed
        if access.credentials is not None and reachable and not self.tls.cert_file:
            allowed = (
                f"needed where AUTH is required on {reachable[0]}: AUTH is offered only under TLS "
                "or on loopback"
            )
            yield ("tls", "cert_file"), allowed
