"""Loading the settings: a TOML file (`PRESEND_CONFIG`) and over it the environment.

pydantic-settings reads both. They are merged here, because `presend config` and the error messages
need to know which of the two a value came from.
"""

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from relay.settings.catalogue import CONFIG_FILE, ENVIRONMENT, SECRETS, Settings
from relay.settings.common import PREFIX, CommonSettings
from relay.settings.fields import Path
from relay.settings.problems import (
    Problem,
    SettingsError,
    key_of,
    no_such_setting,
    problems_of,
    shown,
    shown_path,
)

Command = TypeVar("Command", bound=CommonSettings)
Values: TypeAlias = dict[Path, Any]

_SECRET_LIMIT: Final = 65_536
"""Octets read of a file that holds a secret."""
# A Service named presend (or presend-...) makes Kubernetes put these into every pod beside it.
_KUBERNETES: Final = re.compile(
    r"PRESEND_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)\Z"
)


class Loaded(NamedTuple):
    """Settings, and where each came from: `file` or `environment`, by path."""

    settings: Settings
    origins: Mapping[Path, str]

    def origin(self, path: Path) -> str:
        """Return the source of one setting: `default`, `file` or `environment`."""
        return self.origins.get(path, "default")


def load_settings(command: type[Command], *, environ: Mapping[str, str] | None = None) -> Command:
    """Load and check the settings of one command, such as `ServeSettings`.

    The settings of all other commands are checked too, but what `command.missing` yields is needed
    by this command only. `environ` stands in for the process's environment. Raises SettingsError.
    """
    settings = load(environ=environ).settings
    if not isinstance(settings, command):
        raise TypeError(f"{command.__name__} is not among the bases of Settings")
    # Called by its class, since `Settings` inherits what other commands need as well.
    problems = [
        Problem(key_of(path, None), shown(path, value), allowed)
        for path, value, allowed in command.missing(settings)
    ]
    if problems:
        raise SettingsError(problems)
    return settings


def dev_settings(*, environ: Mapping[str, str] | None = None) -> Settings:
    """Load the settings of `presend serve --dev`: ports, store and log for a developer's machine.

    File and environment override them. The upstream is always empty, so that no mail leaves a
    developer's machine; the caller relays to the embedded sink. Makes `dev_directory()`. Raises
    SettingsError.
    """
    directory = dev_directory(environ=environ)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        allowed = f"a directory that can be made and written ({error.strerror})"
        raise SettingsError([Problem("--dev", str(directory), allowed)]) from None
    defaults: Values = {
        ("listen",): "127.0.0.1:2525",
        ("http_listen",): "127.0.0.1:9100",
        ("store",): f"sqlite://{directory.resolve() / 'presend.db'}",
        ("last_scrape",): 0,
        ("log", "format"): "text",
    }
    return load(environ=environ, defaults=defaults).settings.model_copy(update={"upstream": ()})


def dev_directory(*, environ: Mapping[str, str] | None = None) -> FilePath:
    """Return where `--dev` keeps its store and Maildir: `$XDG_STATE_HOME/presend`, else `./var`."""
    state = (os.environ if environ is None else environ).get("XDG_STATE_HOME")
    return FilePath(state) / "presend" if state else FilePath("var")


def load(
    *, environ: Mapping[str, str] | None = None, defaults: Mapping[Path, Any] | None = None
) -> Loaded:
    """Load the settings of all commands, with their origins. Raises SettingsError.

    File and environment override `defaults`, which override the defaults of the fields.
    """
    environment = {
        name.upper(): value
        for name, value in (os.environ if environ is None else environ).items()
        if value
    }
    problems = list(_unknown_variables(environment))
    env = dict(_flat(_read_environment(environment)))
    toml = dict(_flat(_read_toml(environment.get(CONFIG_FILE), problems)))
    origins = dict.fromkeys(toml, "file") | dict.fromkeys(env, "environment")
    for secret in SECRETS:
        _read_secret(secret, env, toml, origins, problems)
    settings = None
    try:
        settings = Settings.model_validate(_nested({**(defaults or {}), **toml, **env}))
    except ValidationError as error:
        problems.extend(problems_of(error, origins))
    if settings is None or problems:
        raise SettingsError(list(dict.fromkeys(problems)))
    return Loaded(settings, origins)


def _unknown_variables(environment: Mapping[str, str]) -> Iterator[Problem]:
    known = [*ENVIRONMENT, CONFIG_FILE]
    for name in environment:
        if name.startswith(PREFIX) and name not in known and not _KUBERNETES.match(name):
            yield no_such_setting(name, known)


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(Settings, case_sensitive=False)
    # The source has read os.environ. Names that are no settings would make it read JSON, as
    # PRESEND_LIMITS does.
    source.env_vars = {
        name.lower(): value for name, value in environment.items() if name in ENVIRONMENT
    }
    return source()


def _read_toml(path: str | None, problems: list[Problem]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        # The source silently passes over what is not a regular file, such as a pipe of `sops -d`.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - is_file hides the error
            return tomllib.loads(FilePath(path).read_text(encoding="utf-8"))
        return TomlConfigSettingsSource(Settings, path)()
    except OSError as error:
        allowed = f"a readable TOML file ({error.strerror})"
    except RecursionError:
        allowed = "a TOML file without arrays or tables that are nested so deeply"
    except ValueError as error:
        allowed = f"a TOML file in UTF-8: {error}"
    problems.append(Problem(CONFIG_FILE, shown_path(path), allowed))
    return {}


def _flat(tables: Mapping[str, Any], parent: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the values of nested tables with their paths; an empty table counts as a value."""
    for name, value in tables.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, (*parent, name))
        else:
            yield (*parent, name), value


def _nested(values: Mapping[Path, Any]) -> dict[str, Any]:
    """Make nested tables again. A value where a table belongs stays, for validation to report."""
    tables: dict[str, Any] = {}
    for (*parents, last), value in values.items():
        table: Any = tables
        for name in parents:
            table = table.setdefault(name, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[last] = table.get(last, {}) if value == {} else value
    return tables


def _read_secret(
    path: Path,
    env: Values,
    toml: Values,
    origins: dict[Path, str],
    problems: list[Problem],
) -> None:
    """Read a secret from the file that its `_file` twin names.

    A secret or twin in the environment displaces both in the TOML file. pydantic-settings reads
    secrets from one directory, from files named like the settings; the twin names any path.
    """
    twin = (*path[:-1], f"{path[-1]}_file")
    source = toml
    if path in env or twin in env:
        source = env
        toml.pop(path, None)
        toml.pop(twin, None)
    name = source.get(twin)
    if not isinstance(name, str) or not name:
        return  # validation reports it
    key = key_of(twin, origins[twin])
    if path in source:
        other = key_of(path, origins[path])
        problems.append(Problem(key, shown_path(name), f"either this or {other}, not both"))
        return
    try:
        with FilePath(name).open(encoding="utf-8") as file:
            text = file.read(_SECRET_LIMIT)
    except OSError as error:
        allowed = f"a readable file ({error.strerror})"
    except ValueError:
        allowed = "a text file in UTF-8"
    else:
        source[path] = text.removesuffix("\n")
        origins[path] = origins[twin]
        if source[path]:
            return
        del source[path]
        allowed = "a file that is not empty"
    problems.append(Problem(key, shown_path(name), allowed))
