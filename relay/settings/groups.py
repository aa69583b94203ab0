"""Groups of settings: a group is a table of the settings file.

The part of presend that a group is about takes the group as it is (`Limits` in relay.smtp.server,
`Pool` in relay.smtp.upstream), so that a setting is declared once, here.
"""

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from relay.settings.clients import Credentials
from relay.settings.fields import (
    AnyCase,
    Conflict,
    Domains,
    Group,
    Names,
    Sources,
    count,
    seconds,
    setting,
)

_LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


class Limits(Group):
    """Limits of the SMTP server, for one session or all of them together."""

    connections: int = count(
        1024,
        "Most sessions at once; a further connection is answered 421.",
        unit="connections",
        le=100_000,
    )
    message_size: int = count(
        67_108_864,
        "Largest message accepted, announced in EHLO as SIZE (RFC 1870).",
        unit="octets",
        le=2**40,
    )
    recipients: int = count(
        1000,
        "Most recipients of one message, announced in EHLO as RCPTMAX (RFC 9422).",
        unit="recipients",
        le=1_000_000,
    )
    idle: float = seconds(
        300.0, "Longest wait for a client's next command or data (RFC 5321 section 4.5.3.2.7)."
    )
    message_time: float = seconds(
        3600.0, "Most time that a client may take for one message, from MAIL to the final dot."
    )
    least_rate: int = count(
        500,
        "Least rate at which a client has to send content, over a minute; 0 means any.",
        unit="octets/s",
        ge=0,
        le=10**9,
    )
    buffers: int = count(
        33_554_432,
        "Octets held in memory for peers that do not read, above which sessions are held back.",
        unit="octets",
        ge=1_048_576,
        le=2**40,
    )
    junk_commands: int = count(
        100,
        "Number of EHLO, RSET, NOOP, VRFY, EXPN and HELP commands without a recipient between "
        "them, above which each counts as a bad command.",
        unit="commands",
        le=1_000_000,
    )
    bad_commands: int = count(
        10,
        "Number of bad commands after which a session is ended with 421.",
        unit="commands",
        le=1000,
    )


class Pool(Group):
    """Limits of the connection pool, which is one for each upstream."""

    connections: int = count(20, "Most connections to one upstream.", unit="connections", le=10_000)
    idle: float = seconds(20.0, "Time after which an unused connection is closed.")
    messages: int = count(
        500, "Most messages sent over one connection.", unit="messages", le=1_000_000
    )
    age: float = seconds(900.0, "Age at which a connection is not used again.")
    wait: float = seconds(30.0, "Longest wait for a free connection, after which the reply is 451.")
    backoff: float = seconds(60.0, "Longest pause before a failed upstream is tried again.")


class UpstreamTimeouts(Group):
    """How long to wait for an upstream. Short times make duplicates (RFC 5321 section 4.5.3.2)."""

    connect: float = seconds(
        30.0, "Longest time for the whole handshake: TCP, TLS, banner, EHLO, STARTTLS and AUTH."
    )
    command: float = seconds(300.0, "Longest wait for the reply to MAIL, RCPT, DATA, RSET or QUIT.")
    body: float = seconds(
        180.0,
        "Longest time in which the upstream accepts no octet of a message that is being sent.",
    )
    final: float = seconds(600.0, "Longest wait for the reply to the final dot.")


class UpstreamTls(Group):
    """How an upstream's certificate is checked."""

    ca_file: Path | None = setting(
        None, "CA certificates to trust instead of the system's, in PEM form.", unit="path"
    )
    verify: bool = setting(
        default=True,
        meaning="Check the upstream's certificate and host name; false accepts any certificate.",
    )


class Tls(Group):
    """STARTTLS on the SMTP listeners."""

    cert_file: Path | None = setting(
        None,
        "File with the certificate chain in PEM form; STARTTLS is offered if it is set.",
        unit="path",
    )
    key_file: Path | None = setting(
        None, "File with the private key of the certificate, in PEM form.", unit="path"
    )
    required: bool = setting(
        default=False, meaning="Refuse MAIL until the client has used STARTTLS."
    )

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
    """The account with which clients authenticate; without one, AUTH is not offered."""

    username: str | None = setting(
        None, "User name; if it is set, clients must authenticate before MAIL."
    )
    password: SecretStr | None = setting(None, "Password of that user.")
    password_file: Path | None = setting(None, "File that holds the password.", unit="path")

    @property
    def credentials(self) -> Credentials | None:
        """The account; None if clients need not authenticate."""
        if self.username is None or self.password is None:
            return None
        return Credentials(self.username, self.password.get_secret_value())

    @model_validator(mode="after")
    def _complete(self) -> "Auth":
        if self.username is not None and self.password is None:
            raise Conflict({("password",): "needed together with username (or password_file)"})
        if self.password is not None and self.username is None:
            raise Conflict({("username",): "needed together with password"})
        return self


class Dns(Group):
    """Limits of the resolver."""

    timeout: float = seconds(
        5.0, "Longest time for all DNS look-ups of one recipient domain.", le=120
    )
    queries: int = count(64, "Most DNS queries in flight.", unit="queries", le=10_000)
    cache: int = count(50_000, "Most domains in the cache.", unit="domains", le=10_000_000)
    pending: int = count(
        5000,
        "Most domains that are looked up or wait for their turn; beyond it, sessions wait.",
        unit="domains",
        le=1_000_000,
    )
    canaries: Domains = setting(
        ("gmail.com", "outlook.com", "yahoo.com", "icloud.com"),
        "Domains that exist. While DNS denies one, no domain is refused. `none`: no such test.",
        unit="domain",
    )


class SyntaxRules(Group):
    """Address forms that are valid in some places only, or that hardly any mailbox uses."""

    allow_quoted_local: bool = setting(
        default=False, meaning='Accept a quoted local part: "a b"@example.com.'
    )
    allow_domain_literal: bool = setting(
        default=False, meaning="Accept an address in place of a domain: user@[192.0.2.1]."
    )
    single_label_sender: bool = setting(
        default=True,
        meaning="Accept a sender whose domain is a single label: root@localhost, root@vm-7c9f.",
    )


class Suppressions(Group):
    """How much the suppression list has to hold, and what it is loaded from."""

    required: int = Field(
        0,
        description="Least number of entries on the suppression list. With fewer, the relay is not "
        "ready and answers every recipient 451. `off`: no such number.",
        ge=0,
        le=10**10,
        json_schema_extra={"unit": "entries", "default": "off"},
    )
    sources: Sources = setting(
        (), "What `presend suppress load` imports: files, directories and URLs.", unit="path or URL"
    )

    @field_validator("required", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return 0 if isinstance(value, str) and value.strip().lower() == "off" else value


class Risk(Group):
    """Thresholds for the risk of a recipient, which all findings add up to."""

    reject: float | None = setting(
        None, "Risk from which a recipient is rejected (`risk`); unset: never.", ge=0.0, le=1.0
    )
    defer: float | None = setting(
        None, "Risk from which a recipient is deferred (`risk`); unset: never.", ge=0.0, le=1.0
    )

    @model_validator(mode="after")
    def _in_order(self) -> "Risk":
        if self.reject is not None and self.defer is not None and self.defer >= self.reject:
            raise Conflict({("defer",): f"less than reject, which is {self.reject:g}"})
        return self


class Blocklists(Group):
    """Domain blocklists that are asked about recipient domains and their mail hosts."""

    zones: Domains = setting(
        (), "Zones of domain blocklists, such as dbl.example.org; empty: none.", unit="domain"
    )
    key: SecretStr | None = setting(
        None, "Key of the account at the list, which is a label in front of the zone."
    )
    key_file: Path | None = setting(None, "File that holds the key.", unit="path")

    @property
    def questions(self) -> tuple[str, ...]:
        """What follows a domain's name in a question to each list."""
        prefix = f"{self.key.get_secret_value()}." if self.key is not None else ""
        return tuple(f"{prefix}{zone}" for zone in self.zones)

    @model_validator(mode="after")
    def _complete(self) -> "Blocklists":
        if self.key is not None and not self.zones:
            raise Conflict({("key",): "used only together with zones"})
        if self.key is not None and not _LABEL.fullmatch(self.key.get_secret_value()):
            raise Conflict({("key",): "up to 63 letters, digits and hyphens"})
        return self


class ListFiles(Group):
    """Files with lists of the operator. They are read again when they change, and on SIGHUP."""

    suppressed_domains: Path | None = setting(
        None, "Domains whose recipients are suppressed.", unit="path"
    )
    role_allow: Path | None = setting(
        None, "Names and addresses that are not role accounts.", unit="path"
    )
    disposable: Path | None = setting(
        None, "Domains of disposable addresses, besides those that presend knows.", unit="path"
    )
    disposable_allow: Path | None = setting(
        None, "Domains that are not disposable, though they are on the list.", unit="path"
    )
    trap_mx: Path | None = setting(
        None, "Mail hosts of spam traps: domains, IP addresses and networks.", unit="path"
    )


class Role(Group):
    """Exceptions from the list of role accounts."""

    allow: Names = setting(
        (),
        "Names (`support`) or addresses (`postmaster@example.com`) that are not role accounts.",
    )


class Log(Group):
    """The log on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], AnyCase] = setting(
        "info", "Lowest level that is logged."
    )
    format: Annotated[Literal["json", "text"], AnyCase] = setting(
        "json", "Format of a line: a JSON object, or text."
    )
    mask: bool = setting(
        default=True, meaning="Write only the first letter of the local part of addresses."
    )
