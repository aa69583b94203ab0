"""What keeps the relay from starting."""

from __future__ import annotations


class StartError(Exception):
    """The relay cannot start; the message is for the person who can change that."""
