"""The list of all settings, by path, environment name and TOML key.

`Settings` has the settings of every command, because one ConfigMap may give the same environment
or file to several commands: each has to know the others' names to tell a setting that is not its
own from a misspelt one, and to check its value. So one class is loaded and validated, whichever
command runs. It inherits from each command's class, so the loaded object is an instance of all of
them: a command is handed the object under its own class, and mypy holds the command to the
settings of that class. A new command adds its class to the bases, and nothing else.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from relay.settings.common import PREFIX
from relay.settings.fields import Path
from relay.settings.serve import ServeSettings
from validators.verdict import Reason

CONFIG_FILE: Final = "PRESEND_CONFIG"
"""The variable that names the settings file; it is no setting itself."""


class Settings(ServeSettings):
    """Every setting of every command; see the module's docstring."""


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
    """Yield every setting, in the order of the classes; a policy setting for each reason."""
    for path, info in FIELDS.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        default = str(extra.get("default", _default_text(info.default)))
        meaning = info.description or ""
        if path[0] == "policy":
            reason = Reason(path[1])
            default, meaning = reason.row.default.value, reason.row.meaning
        unit = str(extra.get("unit", ""))
        yield Setting(path, env_name(path), ".".join(path), default, unit, meaning, path in SECRETS)


def env_name(path: Path) -> str:
    """Return the name of the environment variable of a setting."""
    alias = FIELDS[path].validation_alias if path in FIELDS else None
    return alias.upper() if isinstance(alias, str) else PREFIX + "__".join(path).upper()


def _default_text(default: object) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return plain(default) if isinstance(default, float) else str(default)


def plain(number: float) -> str:
    """Write a number without an exponent, and a whole one without a fraction."""
    return str(int(number)) if number == int(number) else f"{number:.12f}".rstrip("0")


def _fields(model: type[BaseModel], parent: Path = ()) -> Iterator[tuple[Path, FieldInfo]]:
    """Yield the fields of a model and of its groups; the policy's once for each reason."""
    for name, info in model.model_fields.items():
        path = (*parent, name)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _fields(info.annotation, path)
        elif path == ("policy",):
            yield from (((*path, reason.value), info) for reason in Reason)
        else:
            yield path, info


FIELDS: Final[Mapping[Path, FieldInfo]] = dict(_fields(Settings))
SECRETS: Final = tuple(
    path for path, info in FIELDS.items() if SecretStr in get_args(info.annotation)
)
"""Settings that are masked, and that may be read from a file named by their `_file` twin."""
ENVIRONMENT: Final[Mapping[str, Path]] = {env_name(path): path for path in FIELDS}
"""The settings by the names of their environment variables."""
