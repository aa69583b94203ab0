"""Error messages about settings: the key as its user wrote it, the value, and what is allowed."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path as File
from typing import Any, Final, NamedTuple, get_args, get_origin

from pydantic import ValidationError

from relay.settings.catalogue import FIELDS, SECRETS, env_name, every_setting, plain
from relay.settings.endpoints import mask_credentials, mask_urls
from relay.settings.fields import Conflict, Path

MASK: Final = "**********"
_SCALARS: Final = (str, int, float)
_PATHS: Final = frozenset(
    path for path, info in FIELDS.items() if File in get_args(info.annotation)
)
_URLS: Final = frozenset(
    setting.path
    for setting in every_setting()
    if "URL" in setting.unit or setting.unit == "host:port"
)
_WORD: Final = re.compile(r"[\w.+, -]{0,16}")
_PATH: Final = re.compile(r"\.{0,2}/|~/|[\w./-]+\.(?:toml|pem|crt|cer|key)\Z|\Z")


class Problem(NamedTuple):
    """One wrong setting: the key as written, the value (None: not given), what is allowed."""

    key: str
    value: str | None
    allowed: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value!r}"
        return f"{self.key}{shown}: {self.allowed}"


class SettingsError(Exception):
    """Settings are wrong; `problems` has every one of them, with secrets masked."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def no_such_setting(name: str, known: Collection[str]) -> Problem:
    """Report an unknown name with the known name closest to it.

    The value is left out, because it may be a secret under a misspelt name.
    """
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"; did you mean {close[0]}?" if close else ""
    return Problem(name, None, f"no such setting{meant}")


def key_of(path: Path, origin: str | None) -> str:
    """Return the key of a setting as its user wrote it: the TOML key or the variable's name."""
    return ".".join(path) if origin == "file" else env_name(path)


def problems_of(error: ValidationError, origins: Mapping[Path, str]) -> Iterator[Problem]:
    """Translate pydantic's errors; `origins` tells where the validated values came from."""
    for entry in error.errors():
        location = tuple(part for part in entry["loc"] if isinstance(part, str))
        cause = entry.get("ctx", {}).get("error")
        if isinstance(cause, Conflict):
            for tail, allowed in cause.problems.items():
                yield _problem((*location, *tail), origins, _value(entry["input"], tail), allowed)
        elif entry["type"] == "extra_forbidden":
            yield no_such_setting(".".join(location), [".".join(path) for path in FIELDS])
        else:
            # pydantic ends the location of a wrong key of a dict with "[key]".
            path = tuple(part for part in location if part != "[key]")
            allowed = str(cause) if cause is not None else _allowed(path, entry["msg"])
            value = None if "[key]" in location else entry["input"]
            yield _problem(path, origins, value, allowed)


def _problem(path: Path, origins: Mapping[Path, str], value: object, allowed: str) -> Problem:
    origin = origins.get(path)
    if origin is None:  # a table where a value belongs: its keys have origins
        below = (each for key, each in origins.items() if key[: len(path)] == path)
        origin = next(below, None)
    return Problem(key_of(path, origin), shown(path, value), allowed)


def _allowed(path: Path, message: str) -> str:
    """Say which values a field takes: its bounds where it has them, else pydantic's message."""
    info = FIELDS.get(path)
    if info is not None:
        bounds: dict[str, Any] = {}
        for rule in info.metadata:
            bounds |= {name: getattr(rule, name) for name in ("ge", "le") if hasattr(rule, name)}
        if bounds:
            kind = "a whole number" if info.annotation is int else "a number"
            extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
            low, high = plain(bounds["ge"]), plain(bounds["le"])
            return f"{kind} from {low} to {high} ({extra['unit']})"
    if info is not None and info.annotation is bool:
        return "true or false"
    return message.replace("Input should be", "allowed is")


def _value(tables: object, path: Path) -> object:
    for name in path:
        tables = tables.get(name) if isinstance(tables, Mapping) else None
    return tables


def shown(path: Path, value: object) -> str | None:
    """Return a wrong value as a message may show it: without anything that may be a secret.

    A secret stands in its own setting, in a URL, in a table that holds it, in place of such a
    table, or in place of the path of the file that holds it.
    """
    if value is None:
        return None
    info = FIELDS.get(path)
    several = info is not None and get_origin(info.annotation) is tuple
    items = list(value) if several and isinstance(value, list | tuple) else [value]
    if path in SECRETS or not all(isinstance(each, _SCALARS) for each in items):
        return MASK
    text = ",".join(map(str, items))
    if info is None:
        return MASK if isinstance(value, str) else text
    if path in _PATHS:
        return shown_path(text)
    if not several and info.annotation is not str and not _WORD.fullmatch(text):
        return MASK  # too long to be a mistyped number or word
    return mask_urls(text) if path in _URLS else mask_credentials(text)


def shown_path(text: str) -> str:
    """Return a path of a file, or the mask: the content may stand where its path belongs."""
    return text if text.isprintable() and _PATH.match(text) else MASK
