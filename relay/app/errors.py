"""The error that a long-running command raises if it cannot start."""

from __future__ import annotations


class StartError(Exception):
    """The process cannot start. The message is shown to the operator, without a traceback."""
