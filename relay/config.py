"""Loading the settings: a TOML file (`PRESEND_CONFIG`) and over it the environment.

`load_settings` is for every command, `dev_settings` for `presend serve --dev`. Both raise
`SettingsError` with every problem found: the key as the user wrote it, the value, what is allowed.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from relay.endpoints import Endpoint, Upstream, mask_credentials
from relay.settings import Conflict, Settings
from validators.policy import DEFAULT_ACTIONS
from validators.verdict import Reason

__all__ = [
    "Endpoint", "Loaded", "Problem", "Setting", "Settings", "SettingsError", "Upstream",
    "dev_directory", "dev_settings", "every_setting", "load", "load_settings",
]  # fmt: skip

Path_: TypeAlias = tuple[str, ...]

CONFIG_FILE: Final = "PRESEND_CONFIG"
PREFIX: Final = "PRESEND_"
MASK: Final = "**********"
_UNPREFIXED: Final[Mapping[Path_, str]] = {("campaign_id",): "CAMPAIGN_ID"}
_SECRETS: Final = (("upstream_password",), ("auth", "password"))
"""Settings that a `_FILE` twin may hold instead."""
_SECRET_LIMIT: Final = 65_536
# A Service named presend (or presend-...) makes Kubernetes put these into every pod beside it.
_KUBERNETES = re.compile(
    r"PRESEND_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)\Z"
)


class Problem(NamedTuple):
    """One wrong setting: the key as written, the value (None: not given), what is allowed."""

    key: str
    value: str | None
    allowed: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value!r}"
        return f"{self.key}{shown}: {self.allowed}"


class SettingsError(Exception):
    """Settings are wrong; `problems` has every one of them, secrets masked."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class Setting(NamedTuple):
    """One setting as documented: its names, default (as text), unit and meaning."""

    path: Path_
    env: str
    toml: str
    default: str
    unit: str
    meaning: str
    secret: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each came from: `default`, `file` or `environment`, by path."""

    settings: Settings
    origins: Mapping[Path_, str] = field(default_factory=dict)

    def origin(self, path: Path_) -> str:
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
    for secret in _SECRETS:
        _choose_secret(secret, toml, env)
    raw = _merge(_merge(dict(defaults or {}), toml), env)
    origins = dict.fromkeys(_leaves(toml), "file") | dict.fromkeys(_leaves(env), "environment")
    for secret in _SECRETS:
        _read_secret(secret, raw, origins, problems)
    settings = None
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        problems.extend(_problems(error, raw, origins))
    if settings is not None and need_upstream:
        problems.extend(_missing(settings))
    if settings is None or problems:
        raise SettingsError(list(dict.fromkeys(problems)))
    return Loaded(settings, origins)


def every_setting() -> Iterator[Setting]:
    """List every setting, in the order of the documentation; policy once for each reason."""
    for path, info in _fields(Settings):
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        default = str(extra.get("default", _default_text(info.default)))
        if path[0] == "policy":
            default = DEFAULT_ACTIONS[Reason(path[1])].value
        yield Setting(
            path,
            env_name(path),
            ".".join(path),
            default,
            str(extra.get("unit", "")),
            info.description or "",
            _is_secret(path),
        )


def env_name(path: Path_) -> str:
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


def _fields(model: type[BaseModel], parent: Path_ = ()) -> Iterator[tuple[Path_, FieldInfo]]:
    for name, info in model.model_fields.items():
        path = (*parent, name)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _fields(info.annotation, path)
        elif path == ("policy",):
            yield from ((("policy", reason.value), info) for reason in Reason)
        else:
            yield path, info


def _is_secret(path: Path_) -> bool:
    return path in _SECRETS


def _known_names() -> dict[str, Path_]:
    return {env_name(path): path for path, _ in _fields(Settings)}


def _unknown_variables(environment: Mapping[str, str]) -> Iterator[Problem]:
    known = [*_known_names(), CONFIG_FILE]
    for name in environment:
        if name.startswith(PREFIX) and name not in known and not _KUBERNETES.match(name):
            value = MASK if "PASSWORD" in name else mask_credentials(environment[name])
            yield Problem(name, value, _suggest(name, known, "no such setting"))


def _suggest(name: str, known: list[str], sentence: str) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"{sentence}; did you mean {close[0]}?" if close else f"{sentence}"


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(Settings)
    source.env_vars = {
        (PREFIX + "__".join(path)).lower(): environment[name]
        for name, path in _known_names().items()
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


def _leaves(raw: Mapping[str, Any], parent: Path_ = ()) -> Iterator[Path_]:
    for name, value in raw.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*parent, name))
        else:
            yield (*parent, name)


def _table(raw: dict[str, Any], path: Path_) -> dict[str, Any]:
    """Return the table that holds a setting; a table that is missing or no table reads as empty."""
    table: Any = raw
    for name in path[:-1]:
        table = table.get(name) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else {}


def _choose_secret(path: Path_, toml: dict[str, Any], env: dict[str, Any]) -> None:
    """Let a secret of the environment, or its file, displace both forms in the TOML file."""
    names = (path[-1], f"{path[-1]}_file")
    if any(name in _table(env, path) for name in names):
        for name in names:
            _table(toml, path).pop(name, None)


def _read_secret(
    path: Path_, raw: dict[str, Any], origins: dict[Path_, str], problems: list[Problem]
) -> None:
    table, file_path = _table(raw, path), (*path[:-1], f"{path[-1]}_file")
    name = table.get(file_path[-1])
    if not isinstance(name, str):
        return
    key = _written(file_path, origins)
    if path[-1] in table:
        problems.append(Problem(key, name, f"either this or {_written(path, origins)}, not both"))
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


def _written(path: Path_, origins: Mapping[Path_, str]) -> str:
    """Name a key as its user wrote it: a TOML key, otherwise the environment variable."""
    if origins.get(path) == "file":
        return ".".join(path)
    return env_name(path)


def _problems(
    error: ValidationError, raw: Mapping[str, Any], origins: Mapping[Path_, str]
) -> Iterator[Problem]:
    for entry in error.errors():
        location = tuple(part for part in entry["loc"] if isinstance(part, str))
        cause = entry.get("ctx", {}).get("error")
        if isinstance(cause, Conflict):
            for tail, allowed in cause.problems.items():
                path = (*location, *tail)
                yield Problem(_written(path, origins), _shown(path, _value(raw, path)), allowed)
        elif entry["type"] == "extra_forbidden":
            known = [".".join(path) for path, _ in _fields(Settings)]
            name = ".".join(location)
            yield Problem(
                name, _shown(location, entry["input"]), _suggest(name, known, "no such setting")
            )
        else:
            # A list that is wrong as a whole, or a dict's key, ends with a marker of pydantic's.
            path = tuple(part for part in location if part != "[key]")
            allowed = str(cause) if cause is not None else _sentence(path, entry["msg"])
            yield Problem(_written(path, origins), _shown(path, entry["input"]), allowed)


def _sentence(path: Path_, message: str) -> str:
    """Say which values a field takes: its bounds where it has them, else pydantic's words."""
    info = dict(_fields(Settings)).get(path)
    if info is not None:
        bounds: dict[str, Any] = {}
        for rule in info.metadata:
            bounds |= {name: getattr(rule, name) for name in ("ge", "le") if hasattr(rule, name)}
        if bounds:
            kind = "a whole number" if info.annotation is int else "a number"
            extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
            return f"{kind} from {bounds['ge']:.12g} to {bounds['le']:.12g} ({extra['unit']})"
    if info is not None and info.annotation is bool:
        return "true or false"
    return message.replace("Input should be", "allowed is")


def _value(raw: Mapping[str, Any], path: Path_) -> object:
    value: object = raw
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _shown(path: Path_, value: object) -> str | None:
    if value is None:
        return None
    if _is_secret(path):
        return MASK
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    return mask_credentials(str(value))


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
