"""What is wrong with settings, told so that the person who wrote them can mend it."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from relay.settings.catalogue import Path, env_name, fields, is_secret
from relay.settings.endpoints import mask_credentials
from relay.settings.fields import Conflict

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
    """Settings are wrong; `problems` has every one of them, secrets masked."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def suggest(name: str, known: list[str], sentence: str) -> str:
    """End a sentence about an unknown name with the known one that is closest."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"{sentence}; did you mean {close[0]}?" if close else sentence


def written(path: Path, origins: Mapping[Path, str]) -> str:
    """Name a key as its user wrote it: a TOML key, otherwise the environment variable."""
    if origins.get(path) == "file":
        return ".".join(path)
    return env_name(path)


def problems_of(
    error: ValidationError, raw: Mapping[str, Any], origins: Mapping[Path, str]
) -> Iterator[Problem]:
    """Tell pydantic's errors in our words; `raw` and `origins` are what was validated."""
    for entry in error.errors():
        location = tuple(part for part in entry["loc"] if isinstance(part, str))
        cause = entry.get("ctx", {}).get("error")
        if isinstance(cause, Conflict):
            for tail, allowed in cause.problems.items():
                path = (*location, *tail)
                yield Problem(written(path, origins), _shown(path, _value(raw, path)), allowed)
        elif entry["type"] == "extra_forbidden":
            known = [".".join(path) for path, _ in fields()]
            name = ".".join(location)
            yield Problem(name, None, suggest(name, known, "no such setting"))
        else:
            # A list that is wrong as a whole, or a dict's key, ends with a marker of pydantic's.
            path = tuple(part for part in location if part != "[key]")
            allowed = str(cause) if cause is not None else _sentence(path, entry["msg"])
            yield Problem(written(path, origins), _shown(path, entry["input"]), allowed)


def _sentence(path: Path, message: str) -> str:
    """Say which values a field takes: its bounds where it has them, else pydantic's words."""
    info = dict(fields()).get(path)
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


def _value(raw: Mapping[str, Any], path: Path) -> object:
    value: object = raw
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _shown(path: Path, value: object) -> str | None:
    if value is None:
        return None
    if is_secret(path):
        return MASK
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    return mask_credentials(str(value))
