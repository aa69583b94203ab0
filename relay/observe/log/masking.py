"""Keeps personal data out of the log: local parts are cut down to their first character.

The first character stays so that an operator can tell two recipients of a domain apart; the
domain stays because most of what goes wrong goes wrong for a domain.
"""

from typing import Final

STARS: Final = "***"
_BEFORE: Final = " \t\r\n<>()[],;:"
"""What can stand right before an unquoted address in running text. Characters that may stand in a
local part (RFC 5321 4.1.2, atext) are not among them: better to mask a word too much."""
_ATS: Final = ("@", "%40")
"""The sign itself, and as it stands in a link."""


def mask(address: str) -> str:
    """Return `j***@example.com` for `john@example.com`; the null sender stays as it is."""
    at = address.rfind("@")
    if at > 0:
        return f"{address[0]}{STARS}{address[at:]}"
    if at == 0 or address in {"", "<>"}:
        return address
    return address[0] + STARS


def mask_text(text: str) -> str:
    """Mask whatever looks like an address in running text, such as an upstream's reply."""
    for at in _ATS:
        if at in text:
            *heads, last = text.split(at)
            text = at.join([*map(_mask_end, heads), last])
    return text


def _mask_end(head: str) -> str:
    """Mask the local part that ends here, if one does."""
    if head.endswith('"'):  # quoted: from the first quote of the line, for it may hold others
        return head[: head.index('"', head.rfind("\n") + 1) + 1] + STARS
    start = max(head.rfind(mark) for mark in _BEFORE) + 1
    return head[: start + 1] + STARS if start < len(head) else head
