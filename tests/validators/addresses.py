"""Helpers to parse addresses in tests."""

from typing import Final

from validators.address import DEFAULT, DETAIL_LIMIT, Address, SyntaxOptions, parse
from validators.verdict import Finding, Reason

EVERYTHING: Final = SyntaxOptions(allow_quoted_local=True, allow_domain_literal=True)


def valid(text: str, options: SyntaxOptions = DEFAULT) -> Address:
    """Parse `text`, which must be a valid address."""
    found = parse(text, options)
    assert isinstance(found, Address), found
    return found


def fault(text: str, options: SyntaxOptions = DEFAULT) -> str:
    """Return the error detail of `text`, checked to fit into a reply line."""
    found = parse(text, options)
    assert isinstance(found, Finding), found
    assert found.reason is Reason.SYNTAX
    assert found.detail.isascii()
    assert found.detail.isprintable()
    assert 0 < len(found.detail) <= DETAIL_LIMIT
    return found.detail
