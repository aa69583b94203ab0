"""Types and field descriptions that the settings are declared with.

A list is comma-separated text in the environment and an array in TOML. The types parse either into
values, so that no other part of presend parses an operator's text.
"""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from relay.settings.clients import Network, parse_network
from relay.settings.endpoints import (
    LOOPBACK_NAME,
    Endpoint,
    Upstream,
    parse_endpoint,
    parse_upstream,
)
from relay.settings.sources import Source, parse_source
from validators.address import parse_domain

Path: TypeAlias = tuple[str, ...]
"""Names from the outermost table to the setting: `("limits", "idle")`."""


class Conflict(ValueError):  # noqa: N818 - a validator raises it; `SettingsError` reports it
    """Settings that are valid one by one and not together: paths, each with what is allowed.

    The paths are relative to the model whose validator raises it.
    """

    def __init__(self, problems: Mapping[Path, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = dict(problems)


def _split(value: object) -> object:
    """Turn the comma-separated text of an environment variable into a list; leave lists alone."""
    if isinstance(value, str):
        return [part for part in (piece.strip() for piece in value.split(",")) if part]
    return value


def _word(value: object) -> object:
    """Return a word in lower case, so that `INFO` is `info`; leave any other value alone."""
    return value.strip().lower() if isinstance(value, str) else value


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
    server = parse_endpoint(_text(value, "host:port, such as 192.0.2.53:53"), default_port=53)
    if server.host != LOOPBACK_NAME:
        try:
            ipaddress.ip_address(server.host)
        except ValueError:  # the name would have to be looked up at the server that it names
            raise ValueError("an address, not a name, such as 192.0.2.53:53") from None
    return server


def _upstream(value: object) -> Upstream:
    if isinstance(value, Upstream):
        return value
    return parse_upstream(_text(value, "a URL such as smtp+starttls://user@smtp.example.com:587"))


def _source(value: object) -> Source:
    if isinstance(value, Source):
        return value
    return parse_source(_text(value, "a path or a URL"))


def _domains(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() == "none":
        return ()
    found = _split(value)
    if isinstance(value, str) and not found:
        raise ValueError("a domain such as example.com, or none")
    return found


def _domain(value: object) -> str:
    try:
        return parse_domain(_text(value, "a domain").rstrip("."))
    except ValueError:
        raise ValueError("a domain such as example.com, or none") from None


def _network(value: object) -> Network:
    return parse_network(str(value).strip())


def _name(value: str) -> str:
    if not value.strip():
        raise ValueError("names, none of them empty")
    return value


Listeners: TypeAlias = Annotated[
    tuple[Annotated[Endpoint, PlainValidator(_listener)], ...], BeforeValidator(_split)
]
Servers: TypeAlias = Annotated[
    tuple[Annotated[Endpoint, PlainValidator(_server)], ...], BeforeValidator(_split)
]
Upstreams: TypeAlias = Annotated[
    tuple[Annotated[Upstream, PlainValidator(_upstream)], ...], BeforeValidator(_split)
]
Networks: TypeAlias = Annotated[
    tuple[Annotated[Network, PlainValidator(_network)], ...], BeforeValidator(_split)
]
Names: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_name)], ...], BeforeValidator(_split)
]
AnyCase: Final = BeforeValidator(_word)
"""Marks a setting whose value is one of a few words: they may be written in any case."""
Sources: TypeAlias = Annotated[
    tuple[Annotated[Source, PlainValidator(_source)], ...], BeforeValidator(_split)
]
Domains: TypeAlias = Annotated[
    tuple[Annotated[str, PlainValidator(_domain)], ...], BeforeValidator(_domains)
]
"""Domains in A-labels. The word `none` is an empty list: an empty variable means "not set"."""


def setting(
    default: object,
    meaning: str,
    *,
    unit: str = "",
    ge: float | None = None,
    le: float | None = None,
    validation_alias: str | None = None,
) -> Any:  # noqa: ANN401 - as pydantic's Field: the type checker sees the default of a field
    """Describe a setting: its default, meaning, unit and bounds."""
    return Field(
        default,
        description=meaning,
        json_schema_extra={"unit": unit},
        ge=ge,
        le=le,
        validation_alias=validation_alias,
    )


def seconds(default: float, meaning: str, *, ge: float = 0.001, le: float = 86_400) -> Any:  # noqa: ANN401
    """Describe a time in seconds."""
    return setting(default, meaning, unit="s", ge=ge, le=le)


def count(default: int, meaning: str, *, unit: str, le: int, ge: int = 1) -> Any:  # noqa: ANN401
    """Describe a whole number."""
    return setting(default, meaning, unit=unit, ge=ge, le=le)


class RefusesEmpty(BaseModel):
    """A model whose settings that may be left out are not set by an empty text.

    A user name or a password that is empty would pass tests for "is set" that it does not deserve.
    An empty variable of the environment never gets here: it counts as not set.
    """

    @field_validator("*", mode="before")
    @classmethod
    def _set_or_left_out(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields.get(info.field_name or "")
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and "\0" in text:
            raise ValueError("a text without NUL characters")
        if isinstance(value, bool) and field is not None and field.annotation in {int, float}:
            raise ValueError("a number, not true or false")
        if text == "" and field is not None and field.default is None:
            raise ValueError("a value that is not empty; leave the key out where there is none")
        return value


class Group(RefusesEmpty):
    """A table of the settings file: unknown keys are errors, and values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
