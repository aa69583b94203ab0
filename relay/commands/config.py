"""`presend config`: print the effective settings as TOML, each with its origin, secrets masked.

The settings of all commands are printed, also where `serve` cannot run with them. The output is
itself a valid settings file, except that secrets stand in it as comments.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from enum import Enum
from itertools import groupby

from pydantic import SecretStr

from relay.commands import DONE, WRONG, examples, say
from relay.settings import (
    MASK,
    Loaded,
    ServeSettings,
    Setting,
    env_name,
    every_setting,
    lacking,
    load,
)
from validators.policy import Policy
from validators.verdict import Reason


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments: everything comes from the environment and the settings file."""
    examples(parser, "presend config", "PRESEND_CONFIG=presend.toml presend config")


def main(_: argparse.Namespace) -> int:
    """Print the settings; return the exit code: WRONG if `serve` would refuse to start with them.

    Raises SettingsError if they are wrong for every command.
    """
    loaded = load()
    print("\n".join(lines(loaded)))
    problems = lacking(ServeSettings, loaded)
    if not problems:
        return DONE
    sys.stdout.flush()
    say("presend: `serve` would not start:", *(f"  {problem}" for problem in problems.values()))
    return WRONG


def lines(loaded: Loaded) -> Iterator[str]:
    """Yield the settings as lines of TOML."""

    def table(setting: Setting) -> tuple[str, ...]:
        return setting.path[:-1]

    for path, group in groupby(sorted(every_setting(), key=table), key=table):
        if path:
            yield ""
            yield f"[{'.'.join(path)}]"
        for setting in group:
            yield _line(loaded, setting)


def _line(loaded: Loaded, setting: Setting) -> str:
    name, origin = setting.path[-1], loaded.origin(setting.path)
    if origin == "environment":
        origin = f"environment, {env_name(setting.path)}"
    value = _value(loaded, setting)
    if value is None:
        return f"# {name} is not set"
    if isinstance(value, SecretStr):
        return f'# {name} = "{MASK}"  # {origin}'
    return f"{name} = {_toml(value)}  # {origin}"


def _value(loaded: Loaded, setting: Setting) -> object:
    if setting.path[0] == "policy":
        reason = Reason(setting.path[1])
        return Policy(loaded.settings.policy, mode=loaded.settings.mode).action(reason)
    value: object = loaded.settings
    for name in setting.path:
        value = getattr(value, name)
    return value


def _toml(value: object) -> str:
    """Write a value in TOML. A JSON string is a TOML string, except for DEL (TOML 1.0, String)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return f"[{', '.join(map(_toml, value))}]"
    text = value.value if isinstance(value, Enum) else str(value)
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
