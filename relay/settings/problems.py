"""Error messages about settings: the key as its user wrote it, the value, and what is allowed."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from relay.settings.catalogue import FIELDS, SECRETS, env_name
from relay.settings.endpoints import mask_credentials
from relay.settings.fields import Conflict, Path

MASK: Final = "**********"


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
            yield _problem(path, origins, entry["input"], allowed)


def _problem(path: Path, origins: Mapping[Path, str], value: object, allowed: str) -> Problem:
    return Problem(key_of(path, origins.get(path)), _shown(path, value), allowed)


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
            return f"{kind} from {bounds['ge']:.12g} to {bounds['le']:.12g} ({extra['unit']})"
    if info is not None and info.annotation is bool:
        return "true or false"
    return message.replace("Input should be", "allowed is")


def _value(tables: object, path: Path) -> object:
    for name in path:
        tables = tables.get(name) if isinstance(tables, Mapping) else None
    return tables


def _shown(path: Path, value: object) -> str | None:
    if value is None:
        return None
    if path in SECRETS:
        return MASK
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    return mask_credentials(str(value))
