"""Settings that every command has, and those that every long-running command has besides."""

import re
from collections.abc import Iterator
from typing import Final, Self

from pydantic import field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from relay.settings.endpoints import Endpoint
from relay.settings.fields import (
    Conflict,
    Listeners,
    Path,
    RefusesEmpty,
    seconds,
    setting,
)
from relay.settings.groups import Log, Suppressions
from relay.settings.store_urls import check_store
from validators.suppression import ALL

PREFIX: Final = "PRESEND_"
_CAMPAIGN = re.compile(r"[A-Za-z0-9._-]{1,63}\Z")


class CommonSettings(RefusesEmpty, BaseSettings):
    """The campaign, its store and the log: all that `presend suppress` needs.

    The settings of other commands derive from this class. An instance that is built directly, as
    tests do, takes its arguments only; `relay.settings.load_settings` reads environment and file.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        # Keys of a TOML file are case-sensitive. Lists in the environment are not JSON.
        case_sensitive=True,
        enable_decoding=False,
        extra="forbid",
        frozen=True,
    )

    campaign_id: str = setting(
        "default",
        "Name of the campaign: the metrics label, and the scope of suppressions.",
        # pydantic-settings puts no prefix in front of an alias.
        validation_alias="campaign_id",
    )
    store: str = setting(
        "sqlite:///var/lib/presend/presend.db", "Where the suppression list is kept.", unit="URL"
    )
    suppressions: Suppressions = Suppressions()
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
        """Take arguments only: `loading` runs the other sources, and records what each gave."""
        return (init_settings,)

    def missing(self) -> Iterator[tuple[Path, str | None, str]]:
        """Yield what the command cannot run without: the path, the value, what is allowed."""
        yield from ()

    def conflicts(self) -> Iterator[tuple[Path, str]]:
        """Yield settings that exclude each other: the path of one, and what is allowed there.

        A class that overrides this yields from `super().conflicts()` too.
        """
        yield from ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = dict(self.conflicts())
        if problems:
            raise Conflict(problems)
        return self

    @field_validator("campaign_id")
    @classmethod
    def _campaign(cls, value: str) -> str:
        if not _CAMPAIGN.match(value) or value == ALL:
            raise ValueError(
                f"1 to 63 letters, digits, dots, hyphens and underscores, and not {ALL!r}: "
                "it is a metrics label"
            )
        return value

    @field_validator("store")
    @classmethod
    def _store(cls, value: str) -> str:
        return check_store(value)


class ProcessSettings(CommonSettings):
    """What `relay.app.process` needs: HTTP for metrics and health, and the time for draining."""

    http_listen: Listeners = setting(
        (Endpoint("0.0.0.0", 9100),),  # noqa: S104 - Prometheus scrapes from another pod
        "HTTP listeners for metrics, health and the status page.",
        unit="host:port",
    )
    grace: float = seconds(
        30.0, "Time for transactions in flight to finish after SIGTERM.", ge=0.0, le=3600
    )
    last_scrape: float = seconds(
        30.0,
        "Longest wait at the end for one more scrape of the metrics, where they are scraped.",
        ge=0.0,
        le=3600,
    )

    @field_validator("http_listen")
    @classmethod
    def _some_listener(cls, value: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        if not value:
            raise ValueError("at least one host:port")
        return value
