"""All settings: name, type, default, unit, meaning and secrecy. `relay.config` loads them.

A field's description is its meaning, `json_schema_extra["unit"]` its unit; a secret is a SecretStr.
docs/configuration.md is tested against both.
"""

from relay.settings.fields import Conflict
from relay.settings.model import Settings

__all__ = ["Conflict", "Settings"]
