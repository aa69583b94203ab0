"""presend's relay: SMTP in, a verdict for each recipient, SMTP out."""

from typing import Final

VERSION: Final = "0.1.0"
"""The version in pyproject.toml, for a check at the start that must not take time."""
