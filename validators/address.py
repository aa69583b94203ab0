"""A recipient's address, parsed once: its parts, its A-label domain and its canonical form.

Nearly all addresses are plain ASCII and take the fast path: one pattern for the local part, and a
bounded memo of the domains seen. Everything else goes to email-validator (RFC 5321, 5322, 6531;
IDNA 2008), and the two never disagree.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from email_validator import SPECIAL_USE_DOMAIN_NAMES, validate_email

from validators.canonical import Rule, rules
from validators.verdict import Finding, Reason

ADDRESS_LIMIT: Final = 254
"""Octets: a path of 256 (RFC 5321 4.5.3.1.3) less its angle brackets."""
LOCAL_LIMIT: Final = 64
"""Octets (RFC 5321 4.5.3.1.1), of UTF-8 (RFC 6531 3.3)."""
DETAIL_LIMIT: Final = 200
"""Characters of a detail: it may end up in a reply line of 512 octets."""

_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]++"
_is_dot_atom = re.compile(rf"{_ATOM}(?:\.{_ATOM})*+").fullmatch
_is_plain_domain = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}",
).fullmatch


@dataclass(frozen=True, slots=True)
class SyntaxOptions:
    """Legal forms that hardly anybody uses and many systems mishandle: refused by default."""

    allow_quoted_local: bool = False
    """RFC 5321 4.1.2 Quoted-string: `"john smith"@example.com`."""
    allow_domain_literal: bool = False
    """RFC 5321 4.1.3: `user@[192.0.2.1]`, `user@[IPv6:2001:db8::1]`."""


DEFAULT: Final = SyntaxOptions()


@dataclass(slots=True)
class Address:
    """A valid address. Treat as immutable: `frozen` would cost a microsecond a recipient."""

    text: str
    """As given."""
    local: str
    """The local part as given, NFC; without quotes it does not need."""
    domain: str
    """A-labels in lower case, or a literal: `[192.0.2.1]`, `[IPv6:2001:db8::1]`."""
    canonical: str
    """The mailbox it stands for: lower case, and without what its provider ignores."""
    needs_smtputf8: bool
    """The local part is not ASCII (RFC 6531). A domain never needs it: it has its A-labels."""

    @property
    def wire(self) -> str:
        """What to say in RCPT: as given, but A-labels for the domain where that makes it ASCII."""
        if self.needs_smtputf8 or self.text.isascii():
            return self.text
        return f"{self.local}@{self.domain}"


def parse(text: str, options: SyntaxOptions = DEFAULT) -> Address | Finding:
    """Return the address, or the SYNTAX finding that says what is wrong with it. Never raises."""
    local, _, written = text.rpartition("@")
    if len(text) <= ADDRESS_LIMIT and _is_dot_atom(local):
        domain = _domain(written)
        if domain is not None and len(local) <= domain.local_limit:
            return _address(text, local, domain)
    return _parse_any(text, options)


def parse_domain(text: str) -> str:
    """Return the domain in lower-case A-labels; ValueError says what is wrong with it."""
    domain = _domain(text) if len(text) <= ADDRESS_LIMIT else None
    if domain is not None:
        return domain.name
    found = _parse_any(f"a@{text}", DEFAULT)
    raise ValueError(found.detail if isinstance(found, Finding) else "This is not a domain.")


class _Domain(NamedTuple):
    """What is known of a domain as it is written."""

    name: str
    rule: Rule | None
    local_limit: int


@lru_cache(maxsize=16_384)
def _domain(written: str) -> _Domain | None:
    """Return the domain, or None if it is not valid or a literal."""
    if _is_plain_domain(written) and "--" not in written:
        name = written.lower()
    else:
        try:
            name = _validated(f"a@{written}", DEFAULT)[1]
        except ValueError:
            return None
    longest = max(len(name), len(written.encode()))
    return _Domain(name, rules().get(name), min(LOCAL_LIMIT, ADDRESS_LIMIT - 1 - longest))


def _address(text: str, local: str, domain: _Domain) -> Address:
    """Put the address together; `local` is not quoted."""
    name, rule, _ = domain
    mailbox = local.lower()
    if rule is None:
        return Address(text, local, name, f"{mailbox}@{name}", not local.isascii())
    mailbox = rule.fold(mailbox)
    return Address(text, local, name, f"{mailbox}@{rule.mailbox or name}", not local.isascii())


def _parse_any(text: str, options: SyntaxOptions) -> Address | Finding:
    """Parse through email-validator."""
    if len(text) > ADDRESS_LIMIT:
        return Finding(Reason.SYNTAX, f"The address is longer than {ADDRESS_LIMIT} octets.")
    try:
        local, name = _validated(text, options)
    except ValueError as error:
        detail = str(error).encode("ascii", "backslashreplace").decode()
        return Finding(Reason.SYNTAX, detail[:DETAIL_LIMIT])
    if len(local.encode()) > LOCAL_LIMIT:
        detail = f"The part before the @-sign is longer than {LOCAL_LIMIT} octets."
        return Finding(Reason.SYNTAX, detail)
    mailbox = unicodedata.normalize("NFC", local.lower())
    return _address(text, local, _Domain(name, rules().get(name), LOCAL_LIMIT))


def _validated(text: str, options: SyntaxOptions) -> tuple[str, str]:
    """Return local part and A-label domain by email-validator; ValueError if it refuses."""
    found = validate_email(
        text,
        strict=True,
        allow_quoted_local=options.allow_quoted_local,
        allow_domain_literal=options.allow_domain_literal,
        check_deliverability=False,
    )
    return found.local_part, found.ascii_domain
