"""The error that every command of the composition root may raise at its start."""

from __future__ import annotations


class StartError(Exception):
    """The process cannot start. The message is for the operator."""
