"""Loading the settings: a TOML file (`PRESEND_CONFIG`) and over it the environment."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource

from relay.settings import catalogue
from relay.settings.catalogue import CONFIG_FILE, PREFIX, SECRETS, env_name, known_names
from relay.settings.model import Settings
from relay.settings.problems import (
    MASK,
    Problem,
    SettingsError,
    problems_of,
    suggest,
    written,
)

_SECRET_LIMIT: Final = 65_536
"""Octets read of a file that holds a secret."""
# A Service named presend (or presend-...) makes Kubernetes put these into every pod beside it.
_KUBERNETES: Final = re.compile(
    r"PRESEND_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)\Z"
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each came from: `default`, `file` or `environment`, by path."""

    settings: Settings
    origins: Mapping[catalogue.Path, str] = field(default_factory=dict)

    def origin(self, path: catalogue.Path) -> str:
        """Name the source of one setting."""
        return self.origins.get(path, "default")


def load_settings(*, need_upstream: bool, environ: Mapping[str, str] | None = None) -> Settings:
    """Load and check the settings; `need_upstream` for `serve`, which cannot work without one.

    With `need_upstream`, passwords and certificate files must be at hand too. `environ` stands in
    for the process's environment. Raises SettingsError.
    """
    return load(need_upstream=need_upstream, environ=environ).settings


def dev_settings(*, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings of `presend serve --dev`: ports, store and log for a developer's machine.

    File and environment go before them. The upstream is always empty: no mail leaves a developer's
    machine, the caller puts the embedded sink there. Makes `dev_directory()`. Raises SettingsError.
    """
    directory = dev_directory(environ=environ)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        allowed = f"a directory that can be made and written ({error.strerror})"
        raise SettingsError([Problem("--dev", str(directory), allowed)]) from None
    defaults = {
        "listen": "127.0.0.1:2525",
        "http_listen": "127.0.0.1:9100",
        "store": f"sqlite://{directory.resolve() / 'presend.db'}",
        "log": {"format": "text"},
    }
    loaded = load(need_upstream=False, environ=environ, defaults=defaults)
    return loaded.settings.model_copy(update={"upstream": ()})


def dev_directory(*, environ: Mapping[str, str] | None = None) -> Path:
    """Where `--dev` keeps its store and Maildir: `$XDG_STATE_HOME/presend`, else `./var`."""
    state = (os.environ if environ is None else environ).get("XDG_STATE_HOME")
    return Path(state) / "presend" if state else Path("var")


def load(
    *,
    need_upstream: bool = False,
    environ: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Loaded:
    """Load the settings with their origins. `defaults` go below file and environment."""
    environment = {
        name.upper(): value
        for name, value in (os.environ if environ is None else environ).items()
        if value
    }
    problems = list(_unknown_variables(environment))
    toml = _read_toml(environment.get(CONFIG_FILE), problems)
    env = _read_environment(environment)
    for secret in SECRETS:
        _choose_secret(secret, toml, env)
    raw = _merge(_merge(dict(defaults or {}), toml), env)
    origins = dict.fromkeys(_leaves(toml), "file") | dict.fromkeys(_leaves(env), "environment")
    for secret in SECRETS:
        _read_secret(secret, raw, origins, problems)
    settings = None
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        problems.extend(problems_of(error, raw, origins))
    if settings is not None and need_upstream:
        problems.extend(_missing(settings))
    if settings is None or problems:
        raise SettingsError(list(dict.fromkeys(problems)))
    return Loaded(settings, origins)


def _unknown_variables(environment: Mapping[str, str]) -> Iterator[Problem]:
    known = [*known_names(), CONFIG_FILE]
    for name in environment:
        if name.startswith(PREFIX) and name not in known and not _KUBERNETES.match(name):
            # Its value is not shown: it may be a secret under a misspelt name.
            yield Problem(name, None, suggest(name, known, "no such setting"))


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(Settings)
    source.env_vars = {
        (PREFIX + "__".join(path)).lower(): environment[name]
        for name, path in known_names().items()
        if name in environment
    }
    return source()


def _read_toml(path: str | None, problems: list[Problem]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        allowed = f"a readable TOML file ({error.strerror})"
    except ValueError as error:
        allowed = f"a TOML file in UTF-8: {error}"
    problems.append(Problem(CONFIG_FILE, path, allowed))
    return {}


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[name] = _merge(old, value) if both and isinstance(old, dict) else value
    return merged


def _leaves(raw: Mapping[str, Any], parent: catalogue.Path = ()) -> Iterator[catalogue.Path]:
    for name, value in raw.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*parent, name))
        else:
            yield (*parent, name)


def _table(raw: dict[str, Any], path: catalogue.Path) -> dict[str, Any]:
    """Return the table that holds a setting; a table that is missing or no table reads as empty."""
    table: Any = raw
    for name in path[:-1]:
        table = table.get(name) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else {}


def _choose_secret(path: catalogue.Path, toml: dict[str, Any], env: dict[str, Any]) -> None:
    """Let a secret of the environment, or its file, displace both forms in the TOML file."""
    names = (path[-1], f"{path[-1]}_file")
    if any(name in _table(env, path) for name in names):
        for name in names:
            _table(toml, path).pop(name, None)


def _read_secret(
    path: catalogue.Path,
    raw: dict[str, Any],
    origins: dict[catalogue.Path, str],
    problems: list[Problem],
) -> None:
    table, file_path = _table(raw, path), (*path[:-1], f"{path[-1]}_file")
    name = table.get(file_path[-1])
    if not isinstance(name, str):
        return
    key = written(file_path, origins)
    if path[-1] in table:
        problems.append(Problem(key, name, f"either this or {written(path, origins)}, not both"))
        return
    try:
        with Path(name).open(encoding="utf-8") as file:
            text = file.read(_SECRET_LIMIT)
    except OSError as error:
        problems.append(Problem(key, name, f"a readable file ({error.strerror})"))
    except ValueError:
        problems.append(Problem(key, name, "a text file in UTF-8"))
    else:
        table[path[-1]] = text.removesuffix("\n")
        origins[path] = origins[file_path]


def _missing(settings: Settings) -> Iterator[Problem]:
    """Find what only `serve` needs."""
    if not settings.upstream:
        yield Problem(
            env_name(("upstream",)),
            None,
            "needed: the mail server to relay to, such as smtp+starttls://user@smtp.example.com:587"
            " (or start with --dev)",
        )
    authenticated = [upstream for upstream in settings.upstream if upstream.user is not None]
    if authenticated and not _text_of(settings.upstream_password):
        yield Problem(
            env_name(("upstream_password",)),
            None,
            f"needed for {authenticated[0]} (or PRESEND_UPSTREAM_PASSWORD_FILE)",
        )
    if settings.upstream and settings.upstream_password is not None and not authenticated:
        yield Problem(
            env_name(("upstream_password",)),
            MASK,
            "used only by an upstream with a user: user@host",
        )
    files = {
        ("tls", "cert_file"): settings.tls.cert_file,
        ("tls", "key_file"): settings.tls.key_file,
        ("upstream_tls", "ca_file"): settings.upstream_tls.ca_file,
    }
    for path, file in files.items():
        if file is not None and not os.access(file, os.R_OK):
            yield Problem(env_name(path), str(file), "a readable PEM file")


def _text_of(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()
