"""Judges recipients before mail is sent to them. A library of its own: it knows no SMTP session."""

from typing import Final

PRESEND_VERSION: Final = "0.1.0"
"""The version of presend to which this package belongs; another package has the same name."""
