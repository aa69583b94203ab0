"""The tables of the settings file: what belongs together, with its defaults."""

from pathlib import Path
from typing import Literal

from pydantic import SecretStr, model_validator

from relay.settings.fields import Conflict, Group, Names, count, seconds, setting


class Limits(Group):
    """What one client, or all of them, may take."""

    connections: int = count(
        1024, "Sessions at once; a further one gets 421.", unit="connections", le=100_000
    )
    message_size: int = count(
        67_108_864,
        "Largest message, offered in EHLO as SIZE (RFC 1870).",
        unit="octets",
        le=2**40,
    )
    recipients: int = count(
        1000, "Most recipients of one message (RFC 9422 RCPTMAX).", unit="recipients", le=1_000_000
    )
    idle: float = seconds(
        300.0, "Longest wait for a client's next command or data (RFC 5321 section 4.5.3.2.7)."
    )
    bad_commands: int = count(
        10, "Bad commands after which a session ends with 421.", unit="commands", le=1000
    )


class Pool(Group):
    """Connections kept to each upstream."""

    connections: int = count(20, "Most connections to one upstream.", unit="connections", le=10_000)
    idle: float = seconds(20.0, "An unused connection is closed after this time.")
    messages: int = count(500, "Most messages over one connection.", unit="messages", le=1_000_000)
    age: float = seconds(900.0, "A connection this old is not used again.")
    wait: float = seconds(30.0, "Longest wait for a free connection; then 451.")
    backoff: float = seconds(60.0, "Longest pause before a failed upstream is tried again.")


class UpstreamTimeouts(Group):
    """How long an upstream may take. Short times make duplicates (RFC 5321 section 4.5.3.2)."""

    connect: float = seconds(
        30.0, "The whole handshake: TCP, TLS, banner, EHLO, STARTTLS and AUTH."
    )
    command: float = seconds(300.0, "A reply to MAIL, RCPT, DATA, RSET or QUIT.")
    body: float = seconds(180.0, "While sending the message: no octet accepted for this long.")
    final: float = seconds(600.0, "The reply to the final dot.")


class UpstreamTls(Group):
    """How an upstream's certificate is checked."""

    ca_file: Path | None = setting(
        None, "Certificates to trust, in PEM form, instead of the system's.", unit="path"
    )
    verify: bool = setting(
        default=True,
        meaning="Check the upstream's certificate and name; false accepts any certificate.",
    )


class Tls(Group):
    """TLS towards the application."""

    cert_file: Path | None = setting(
        None, "Certificate chain in PEM form; with it STARTTLS is offered.", unit="path"
    )
    key_file: Path | None = setting(None, "Its private key in PEM form.", unit="path")
    required: bool = setting(default=False, meaning="Refuse MAIL before STARTTLS.")

    @model_validator(mode="after")
    def _complete(self) -> "Tls":
        problems: dict[tuple[str, ...], str] = {}
        if self.cert_file and not self.key_file:
            problems["key_file",] = "needed together with cert_file"
        if self.key_file and not self.cert_file:
            problems["cert_file",] = "needed together with key_file"
        if self.required and not self.cert_file:
            problems["required",] = "true only together with cert_file and key_file"
        if problems:
            raise Conflict(problems)
        return self


class Auth(Group):
    """The account a client must authenticate with (PLAIN, LOGIN) before MAIL, where set."""

    username: str | None = setting(None, "User name; with it AUTH is required before MAIL.")
    password: SecretStr | None = setting(None, "Its password.")
    password_file: Path | None = setting(None, "File that holds the password.", unit="path")

    @property
    def required(self) -> bool:
        """Whether clients must authenticate."""
        return self.username is not None

    @model_validator(mode="after")
    def _complete(self) -> "Auth":
        if self.username and self.password is None:
            raise Conflict({("password",): "needed together with username (or password_file)"})
        if self.password is not None and not self.username:
            raise Conflict({("username",): "needed together with password"})
        if self.password is not None and not self.password.get_secret_value():
            raise Conflict({("password",): "not empty"})
        return self


class Dns(Group):
    """Limits of the resolver."""

    timeout: float = seconds(5.0, "All the time one recipient domain may take.", le=120)
    queries: int = count(64, "Most queries in flight.", unit="queries", le=10_000)
    cache: int = count(50_000, "Most domains remembered.", unit="domains", le=10_000_000)


class SyntaxRules(Group):
    """Address forms allowed beyond the usual (RFC 5321 section 4.1.2)."""

    allow_quoted_local: bool = setting(
        default=False, meaning='Accept a quoted local part: "a b"@example.com.'
    )
    allow_domain_literal: bool = setting(
        default=False, meaning="Accept an address in place of a domain: user@[192.0.2.1]."
    )


class Role(Group):
    """Role accounts that may be written to."""

    allow: Names = setting(
        (), "Names (`support`) or addresses (`postmaster@example.com`) that are no role accounts."
    )


class Log(Group):
    """The log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "Least severe line.")
    format: Literal["json", "text"] = setting("json", "One JSON object or one text a line.")
    mask: bool = setting(default=True, meaning="Show only the first letter of local parts.")
