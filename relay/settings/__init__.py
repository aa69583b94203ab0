"""Settings, loaded and checked once: a TOML file, over it the environment, secrets from files.

`load_settings` is for every command, `dev_settings` for `presend serve --dev`. Both raise
`SettingsError` with every problem found: the key as the user wrote it, the value, what is allowed.
"""

from relay.settings.catalogue import Setting, env_name, every_setting
from relay.settings.endpoints import Endpoint, Upstream
from relay.settings.fields import Conflict
from relay.settings.loading import Loaded, dev_directory, dev_settings, load, load_settings
from relay.settings.model import Settings
from relay.settings.problems import MASK, Problem, SettingsError

__all__ = [
    "MASK",
    "Conflict",
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
