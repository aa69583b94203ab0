"""`Settings`: every setting, and which of them cannot stand together."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from relay.settings.clients import too_wide
from relay.settings.endpoints import Endpoint, Upstream
from relay.settings.fields import (
    Conflict,
    Listeners,
    Names,
    Networks,
    Servers,
    Upstreams,
    seconds,
    setting,
)
from relay.settings.groups import (
    Auth,
    Dns,
    Limits,
    Log,
    Pool,
    Role,
    SyntaxRules,
    Tls,
    UpstreamTimeouts,
    UpstreamTls,
)
from relay.settings.store_urls import check_store
from validators.policy import Policy
from validators.suppression import ALL
from validators.verdict import Action, Reason

_CAMPAIGN = re.compile(r"[A-Za-z0-9._-]{1,63}\Z")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,253}[A-Za-z0-9_])?\Z")


def _host_name() -> str:
    return socket.gethostname() or "localhost"


class Settings(BaseSettings):
    """Everything an operator can set. Made by `relay.settings.load_settings`.

    Built directly (`Settings(listen=...)`, as tests do) it takes only its arguments: it reads
    neither environment nor file.
    """

    model_config = SettingsConfigDict(
        env_prefix="PRESEND_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    campaign_id: str = setting("default", "The campaign, as metrics label and suppression scope.")
    listen: Listeners = setting(
        (Endpoint("localhost", 25),),
        "SMTP listeners; `localhost` means both loopback addresses.",
        unit="host:port",
    )
    allow_clients: Networks = setting(
        (),
        "Client networks; empty means loopback only. Loopback is always allowed.",
        unit="CIDR",
    )
    hostname: str = Field(
        default_factory=_host_name,
        description="Name used in the banner, in EHLO and in Received.",
        json_schema_extra={"unit": "", "default": "the machine's"},
    )
    trusted_domains: Names = setting(
        (), "Recipient domains, with their subdomains, that skip DNS checks.", unit="domain"
    )
    http_listen: Listeners = setting(
        (Endpoint("0.0.0.0", 9100),),  # noqa: S104 - Prometheus scrapes from another pod
        "Listeners of metrics, health and the status page.",
        unit="host:port",
    )
    upstream_password: SecretStr | None = setting(
        None, "Password of the upstream's user (AUTH), the same for all upstreams."
    )
    upstream_password_file: Path | None = setting(
        None, "File that holds the upstream password.", unit="path"
    )
    upstream: Upstreams = setting(
        (), "Mail servers to relay to; the first that works takes the mail.", unit="URL"
    )
    store: str = setting("sqlite:///var/lib/presend/presend.db", "Suppression store.", unit="URL")
    on_store_failure: Literal["defer", "accept"] = setting(
        "defer", "What happens to a recipient while the store does not answer."
    )
    dns_servers: Servers = setting(
        (), "DNS servers to ask; empty means the system's.", unit="host:port"
    )
    grace: float = seconds(
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
        """Take arguments only: `relay.settings` reads the sources, so that it knows the origins."""
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
