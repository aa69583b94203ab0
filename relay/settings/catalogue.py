"""The list of all settings, by path, environment name and TOML key."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from relay.settings.model import Settings
from validators.verdict import Reason

Path: TypeAlias = tuple[str, ...]
"""Names from the outermost table to the setting: `("limits", "idle")`."""

CONFIG_FILE: Final = "PRESEND_CONFIG"
"""The one variable that is no setting: it names the settings file."""
PREFIX: Final = "PRESEND_"
SECRETS: Final[tuple[Path, ...]] = (("upstream_password",), ("auth", "password"))
"""Settings that are masked, and that a `_FILE` twin may hold instead."""
_UNPREFIXED: Final[Mapping[Path, str]] = {("campaign_id",): "CAMPAIGN_ID"}


class Setting(NamedTuple):
    """One setting as documented: its names, default (as text), unit and meaning."""

    path: Path
    env: str
    toml: str
    default: str
    unit: str
    meaning: str
    secret: bool


def every_setting() -> Iterator[Setting]:
    """List every setting, in the order of the documentation; policy once for each reason."""
    for path, info in fields():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        default = str(extra.get("default", _default_text(info.default)))
        meaning = info.description or ""
        if path[0] == "policy":
            reason = Reason(path[1])
            default, meaning = reason.row.default.value, reason.row.meaning
        yield Setting(
            path,
            env_name(path),
            ".".join(path),
            default,
            str(extra.get("unit", "")),
            meaning,
            is_secret(path),
        )


def env_name(path: Path) -> str:
    """Name the environment variable of a setting."""
    return _UNPREFIXED.get(path, PREFIX + "__".join(path).upper())


def _default_text(default: object) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def fields(
    model: type[BaseModel] = Settings, parent: Path = ()
) -> Iterator[tuple[Path, FieldInfo]]:
    """Go through the settings; those of the policy are one for each reason."""
    for name, info in model.model_fields.items():
        path = (*parent, name)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from fields(info.annotation, path)
        elif path == ("policy",):
            yield from ((("policy", reason.value), info) for reason in Reason)
        else:
            yield path, info


def is_secret(path: Path) -> bool:
    """Whether a setting must never be shown."""
    return path in SECRETS


def known_names() -> dict[str, Path]:
    """Map environment variables to settings."""
    return {env_name(path): path for path, _ in fields()}
