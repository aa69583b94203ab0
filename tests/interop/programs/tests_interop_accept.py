"""Called by `mailman shell -l LIST -r tests_interop_accept`: posts need no moderation."""

from mailman.interfaces.action import Action


def tests_interop_accept(mlist):
    """Let a list accept the posts of everybody, and leave them as they are."""
    mlist.default_nonmember_action = Action.accept
    mlist.default_member_action = Action.accept
