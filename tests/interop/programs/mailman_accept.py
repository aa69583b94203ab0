"""Called by `mailman shell -l LIST -r mailman_accept`: posts need no moderation."""

import importlib
from typing import Any

# By name, as Mailman is not a dependency of the project: the command installs it elsewhere.
_ACCEPT = importlib.import_module("mailman.interfaces.action").Action.accept


def mailman_accept(mlist: Any) -> None:  # noqa: ANN401 - a class of Mailman
    """Let a list accept the posts of everybody."""
    mlist.default_nonmember_action = _ACCEPT
    mlist.default_member_action = _ACCEPT
