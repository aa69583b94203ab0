"""Masking of addresses in log lines: a local part is reduced to its first character.

The first character stays so that an operator can tell two recipients of a domain apart. The domain
stays because most faults concern a whole domain.
"""

from typing import Final

STARS: Final = "***"
_BEFORE: Final = " \t\r\n<>()[],;:"
"""Characters that end the text before an unquoted address. None of them may stand in a local part
(RFC 5321 4.1.2, atext), so too much may be masked, but never too little."""
_ATS: Final = ("@", "%40")
"""The at sign, and its form in a URL."""


def mask(address: str) -> str:
    """Return `j***@example.com` for `john@example.com`; the null sender stays as it is."""
    at = address.rfind("@")
    if at > 0:
        return f"{address[0]}{STARS}{address[at:]}"
    if at == 0 or address in {"", "<>"}:
        return address
    return address[0] + STARS


def mask_text(text: str) -> str:
    """Mask everything that looks like an address in a text, such as an upstream's reply."""
    for at in _ATS:
        if at in text:
            *heads, last = text.split(at)
            text = at.join([*map(_mask_end, heads), last])
    return text


def _mask_end(head: str) -> str:
    """Mask the local part at the end of `head`, if there is one."""
    if head.endswith('"'):  # quoted; from the first quote of the line, since it may contain quotes
        return head[: head.index('"', head.rfind("\n") + 1) + 1] + STARS
    start = max(head.rfind(mark) for mark in _BEFORE) + 1
    return head[: start + 1] + STARS if start < len(head) else head
