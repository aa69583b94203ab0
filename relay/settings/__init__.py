"""Settings, loaded and checked once: a TOML file, over it the environment, secrets from files.

`load_settings` is for a command that takes its own class of settings, `dev_settings` for `presend
serve --dev`, `load` for `presend config`, which shows all of them with their origins. Each raises
`SettingsError` with every problem found: the key as the user wrote it, the value, what is allowed.
"""

from relay.settings.catalogue import Setting, Settings, env_name, every_setting
from relay.settings.common import CommonSettings
from relay.settings.endpoints import Endpoint, Upstream
from relay.settings.judging import JudgingSettings
from relay.settings.loading import (
    Loaded,
    dev_directory,
    dev_settings,
    lacking,
    load,
    load_settings,
)
from relay.settings.problems import MASK, Problem, SettingsError
from relay.settings.serve import ServeSettings

__all__ = [
    "MASK",
    "CommonSettings",
    "Endpoint",
    "JudgingSettings",
    "Loaded",
    "Problem",
    "ServeSettings",
    "Setting",
    "Settings",
    "SettingsError",
    "Upstream",
    "dev_directory",
    "dev_settings",
    "env_name",
    "every_setting",
    "lacking",
    "load",
    "load_settings",
]
