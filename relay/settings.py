"""All settings: name, type, default, unit, meaning and secrecy. `relay.config` loads them.

A field's description is its meaning, `json_schema_extra["unit"]` its unit; a secret is a SecretStr.
docs/configuration.md is tested against both.
"""

import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from relay.clients import Network, parse_network, too_wide
from relay.endpoints import Endpoint, Upstream, check_store, parse_endpoint, parse_upstream
from validators.checks.suppression import ALL
from validators.policy import Policy
from validators.verdict import Action, Reason

_CAMPAIGN = re.compile(r"[A-Za-z0-9._-]{1,63}\Z")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,253}[A-Za-z0-9_])?\Z")


class Conflict(ValueError):  # noqa: N818 - a fact about settings; `SettingsError` reports it
    """Settings that are fine one by one and wrong together: paths, each with what is allowed."""

    def __init__(self, problems: Mapping[tuple[str, ...], str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = dict(problems)


def _split(value: object) -> object:
    """Turn the comma-separated text of an environment variable into a list; leave lists alone."""
    if isinstance(value, str):
        return [part for part in (piece.strip() for piece in value.split(",")) if part]
    return value


def _text(value: object, allowed: str) -> str:
    if not isinstance(value, str):
        raise ValueError(allowed)  # noqa: TRY004 - pydantic collects ValueError, not TypeError
    return value.strip()


def _listener(value: object) -> Endpoint:
    if isinstance(value, Endpoint):
        return value
    return parse_endpoint(_text(value, "host:port, such as localhost:25"), lowest=0)


def _server(value: object) -> Endpoint:
    if isinstance(value, Endpoint):
        return value
    return parse_endpoint(_text(value, "host:port, such as 192.0.2.53:53"), default_port=53)


def _upstream(value: object) -> Upstream:
    if isinstance(value, Upstream):
        return value
    return parse_upstream(_text(value, "a URL such as smtp+starttls://user@smtp.example.com:587"))


def _network(value: object) -> Network:
    return parse_network(str(value).strip())


Listeners: TypeAlias = Annotated[
    tuple[Annotated[Endpoint, PlainValidator(_listener)], ...], NoDecode, BeforeValidator(_split)
]
Servers: TypeAlias = Annotated[
    tuple[Annotated[Endpoint, PlainValidator(_server)], ...], NoDecode, BeforeValidator(_split)
]
Upstreams: TypeAlias = Annotated[
    tuple[Annotated[Upstream, PlainValidator(_upstream)], ...], NoDecode, BeforeValidator(_split)
]
Networks: TypeAlias = Annotated[
    tuple[Annotated[Network, PlainValidator(_network)], ...], NoDecode, BeforeValidator(_split)
]
Names: TypeAlias = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


def _setting(
    default: object,
    meaning: str,
    *,
    unit: str = "",
    ge: float | None = None,
    le: float | None = None,
) -> Any:  # noqa: ANN401 - pydantic's Field returns Any too: it stands where a default stands
    return Field(default, description=meaning, json_schema_extra={"unit": unit}, ge=ge, le=le)


def _seconds(default: float, meaning: str, *, ge: float = 0.001, le: float = 86_400) -> Any:  # noqa: ANN401
    return _setting(default, meaning, unit="s", ge=ge, le=le)


def _count(default: int, meaning: str, *, unit: str, le: int, ge: int = 1) -> Any:  # noqa: ANN401
    return _setting(default, meaning, unit=unit, ge=ge, le=le)


class Group(BaseModel):
    """A table of settings: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(Group):
    """What one client, or all of them, may take."""

    connections: int = _count(
        1024, "Sessions at once; a further one gets 421.", unit="connections", le=100_000
    )
    message_size: int = _count(
        67_108_864,
        "Largest message, offered in EHLO as SIZE (RFC 1870).",
        unit="octets",
        le=2**40,
    )
    recipients: int = _count(
        1000, "Most recipients of one message (RFC 9422 RCPTMAX).", unit="recipients", le=1_000_000
    )
    idle: float = _seconds(
        300.0, "Longest wait for a client's next command or data (RFC 5321 section 4.5.3.2.7)."
    )
    bad_commands: int = _count(
        10, "Bad commands after which a session ends with 421.", unit="commands", le=1000
    )


class Pool(Group):
    """Connections kept to each upstream."""

    connections: int = _count(
        20, "Most connections to one upstream.", unit="connections", le=10_000
    )
    idle: float = _seconds(20.0, "An unused connection is closed after this time.")
    messages: int = _count(500, "Most messages over one connection.", unit="messages", le=1_000_000)
    age: float = _seconds(900.0, "A connection this old is not used again.")
    wait: float = _seconds(30.0, "Longest wait for a free connection; then 451.")
    backoff: float = _seconds(60.0, "Longest pause before a failed upstream is tried again.")


class UpstreamTimeouts(Group):
    """How long an upstream may take. Short times make duplicates (RFC 5321 section 4.5.3.2)."""

    connect: float = _seconds(
        30.0, "The whole handshake: TCP, TLS, banner, EHLO, STARTTLS and AUTH."
    )
    command: float = _seconds(300.0, "A reply to MAIL, RCPT, DATA, RSET or QUIT.")
    body: float = _seconds(180.0, "While sending the message: no octet accepted for this long.")
    final: float = _seconds(600.0, "The reply to the final dot.")


class UpstreamTls(Group):
    """How an upstream's certificate is checked."""

    ca_file: Path | None = _setting(
        None, "Certificates to trust, in PEM form, instead of the system's.", unit="path"
    )
    verify: bool = _setting(
        default=True,
        meaning="Check the upstream's certificate and name; false accepts any certificate.",
    )


class Tls(Group):
    """TLS towards the application."""

    cert_file: Path | None = _setting(
        None, "Certificate chain in PEM form; with it STARTTLS is offered.", unit="path"
    )
    key_file: Path | None = _setting(None, "Its private key in PEM form.", unit="path")
    required: bool = _setting(default=False, meaning="Refuse MAIL before STARTTLS.")

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

    username: str | None = _setting(None, "User name; with it AUTH is required before MAIL.")
    password: SecretStr | None = _setting(None, "Its password.")
    password_file: Path | None = _setting(None, "File that holds the password.", unit="path")

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

    timeout: float = _seconds(5.0, "All the time one recipient domain may take.", le=120)
    queries: int = _count(64, "Most queries in flight.", unit="queries", le=10_000)
    cache: int = _count(50_000, "Most domains remembered.", unit="domains", le=10_000_000)


class SyntaxRules(Group):
    """Address forms allowed beyond the usual (RFC 5321 section 4.1.2)."""

    allow_quoted_local: bool = _setting(
        default=False, meaning='Accept a quoted local part: "a b"@example.com.'
    )
    allow_domain_literal: bool = _setting(
        default=False, meaning="Accept an address in place of a domain: user@[192.0.2.1]."
    )


class Role(Group):
    """Role accounts that may be written to."""

    allow: Names = _setting(
        (), "Names (`support`) or addresses (`postmaster@example.com`) that are no role accounts."
    )


class Log(Group):
    """The log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = _setting("info", "Least severe line.")
    format: Literal["json", "text"] = _setting("json", "One JSON object or one text a line.")
    mask: bool = _setting(default=True, meaning="Show only the first letter of local parts.")


def _host_name() -> str:
    return socket.gethostname() or "localhost"


class Settings(BaseSettings):
    """Everything an operator can set. Made by `relay.config.load_settings`.

    Built directly (`Settings(listen=...)`, as tests do) it takes only its arguments: it reads
    neither environment nor file.
    """

    model_config = SettingsConfigDict(
        env_prefix="PRESEND_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    campaign_id: str = _setting("default", "The campaign, as metrics label and suppression scope.")
    listen: Listeners = _setting(
        (Endpoint("localhost", 25),),
        "SMTP listeners; `localhost` means both loopback addresses.",
        unit="host:port",
    )
    allow_clients: Networks = _setting(
        (),
        "Client networks; empty means loopback only. Loopback is always allowed.",
        unit="CIDR",
    )
    hostname: str = Field(
        default_factory=_host_name,
        description="Name used in the banner, in EHLO and in Received.",
        json_schema_extra={"unit": "", "default": "the machine's"},
    )
    trusted_domains: Names = _setting(
        (), "Recipient domains, with their subdomains, that skip DNS checks.", unit="domain"
    )
    http_listen: Listeners = _setting(
        (Endpoint("0.0.0.0", 9100),),  # noqa: S104 - Prometheus scrapes from another pod
        "Listeners of metrics, health and the status page.",
        unit="host:port",
    )
    upstream_password: SecretStr | None = _setting(
        None, "Password of the upstream's user (AUTH), the same for all upstreams."
    )
    upstream_password_file: Path | None = _setting(
        None, "File that holds the upstream password.", unit="path"
    )
    upstream: Upstreams = _setting(
        (), "Mail servers to relay to; the first that works takes the mail.", unit="URL"
    )
    store: str = _setting("sqlite:///var/lib/presend/presend.db", "Suppression store.", unit="URL")
    on_store_failure: Literal["defer", "accept"] = _setting(
        "defer", "What happens to a recipient while the store does not answer."
    )
    dns_servers: Servers = _setting(
        (), "DNS servers to ask; empty means the system's.", unit="host:port"
    )
    grace: float = _seconds(
        30.0, "Time for transactions in flight to finish after SIGTERM.", ge=0.0, le=3600
    )
    policy: dict[Reason, Action] = Field(
        default_factory=dict,
        description="What a fact about a recipient leads to, where not the default.",
        json_schema_extra={"unit": ""},
    )
    limits: Limits = Limits()
    pool: Pool = Pool()
    upstream_timeouts: UpstreamTimeouts = UpstreamTimeouts()
    upstream_tls: UpstreamTls = UpstreamTls()
    tls: Tls = Tls()
    auth: Auth = Auth()
    dns: Dns = Dns()
    syntax: SyntaxRules = SyntaxRules()
    role: Role = Role()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings names them
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take arguments only: `relay.config` reads the sources, so that it knows the origins."""
        return (init_settings,)

    @field_validator("campaign_id")
    @classmethod
    def _campaign(cls, value: str) -> str:
        if not _CAMPAIGN.match(value) or value == ALL:
            raise ValueError(
                f"1 to 63 letters, digits, dots, hyphens and underscores, and not {ALL!r}: "
                "it is a metrics label"
            )
        return value

    @field_validator("hostname")
    @classmethod
    def _hostname(cls, value: str) -> str:
        if not _HOST_NAME.match(value):
            raise ValueError("a host name, such as relay.example.com")
        return value

    @field_validator("listen", "http_listen")
    @classmethod
    def _some(cls, value: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        if not value:
            raise ValueError("at least one host:port")
        return value

    @field_validator("upstream")
    @classmethod
    def _with_password(cls, value: tuple[Upstream, ...], info: Any) -> tuple[Upstream, ...]:  # noqa: ANN401
        password = info.data.get("upstream_password")
        return tuple(
            upstream if upstream.user is None or upstream.password else _armed(upstream, password)
            for upstream in value
        )

    @field_validator("store")
    @classmethod
    def _store(cls, value: str) -> str:
        return check_store(value)

    @model_validator(mode="after")
    def _together(self) -> "Settings":
        problems = dict(_conflicts(self))
        if problems:
            raise Conflict(problems)
        return self


def _armed(upstream: Upstream, password: SecretStr | None) -> Upstream:
    return Upstream(upstream.scheme, upstream.user, upstream.host, upstream.port, password)


def _conflicts(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find what would make an open relay, send a password in clear, or could never work."""
    reachable = [endpoint for endpoint in settings.listen if not endpoint.loopback]
    if reachable and not settings.allow_clients:
        yield (
            ("listen",),
            (
                f"{reachable[0]} is not loopback: allowed only with PRESEND_ALLOW_CLIENTS, "
                "the networks of the clients, such as 10.42.0.0/16"
            ),
        )
    wide = too_wide(settings.allow_clients)
    if wide is not None and not settings.auth.required:
        yield (
            ("allow_clients",),
            (
                f"{wide} would make an open relay: networks no wider than /8 (IPv4) or /16 (IPv6), "
                "unless PRESEND_AUTH__USERNAME and PRESEND_AUTH__PASSWORD are set"
            ),
        )
    if settings.auth.required and reachable and not settings.tls.cert_file:
        yield (
            ("tls", "cert_file"),
            (
                f"needed where AUTH is required on {reachable[0]}: AUTH is offered only under TLS "
                "or on loopback"
            ),
        )
    for upstream in settings.upstream:
        if upstream.user is not None and upstream.scheme == "smtp" and not upstream.loopback:
            yield (
                ("upstream",),
                (
                    "smtp+starttls:// or smtps:// where a user is given: smtp:// would send the "
                    "password in clear"
                ),
            )
    for reason, action in settings.policy.items():
        try:
            Policy({reason: action})
        except ValueError as error:
            yield ("policy", reason.value), str(error)
