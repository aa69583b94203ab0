"""Settings, loaded and checked once: a TOML file, over it the environment, secrets from files.

`load_settings` is for every command, `dev_settings` for `presend serve --dev`. Both raise
`SettingsError` with every problem found: the key as the user wrote it, the value, what is allowed.
"""

from relay.config.catalogue import Setting, env_name, every_setting
from relay.config.loading import Loaded, dev_directory, dev_settings, load, load_settings
from relay.config.problems import MASK, Problem, SettingsError
from relay.endpoints import Endpoint, Upstream
from relay.settings import Settings

__all__ = [
    "MASK",
    "Endpoint",
    "Loaded",
    "Problem",
    "Setting",
    "Settings",
    "SettingsError",
    "Upstream",
    "dev_directory",
    "dev_settings",
    "env_name",
    "every_setting",
    "load",
    "load_settings",
]
