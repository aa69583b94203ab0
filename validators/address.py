"""Parses a recipient's address into its parts, its A-label domain and its canonical form.

Nearly all addresses are plain ASCII and take a fast path: one pattern for the local part, and a
bounded cache of domains. All others are parsed by email-validator (RFC 5321, 5322, 6531; IDNA
2008). A property test holds that both accept the same addresses.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from email_validator import SPECIAL_USE_DOMAIN_NAMES, ValidatedEmail, validate_email

from validators.canonical import RULES, Rule
from validators.verdict import Finding, Reason

POSTMASTER: Final = "postmaster"
ADDRESS_LIMIT: Final = 254
"""Octets of an address: a path has 256 (RFC 5321 4.5.3.1.3), two of them angle brackets."""
LOCAL_LIMIT: Final = 64
"""Octets of a local part (RFC 5321 4.5.3.1.1), in UTF-8 (RFC 6531 3.3)."""
DETAIL_LIMIT: Final = 200
"""Characters of the detail of a finding, which may be part of a reply line of 512 octets."""

_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]++"
_DOT_ATOM_CHARACTERS: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~.",
)
_is_dot_atom = re.compile(rf"{_ATOM}(?:\.{_ATOM})*+").fullmatch
_is_plain_domain = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}",
).fullmatch


SPECIAL_USE: Final = (
    "alt", "home.arpa", "internal", "invalid", "local", "localhost", "onion", "test",
)  # fmt: skip
"""Domains that are not in the public DNS, with their subdomains (RFC 6761, 6762, 7686, 8375, 9476;
`internal` is reserved by ICANN). Without `example`, of which tests and examples have records."""


@dataclass(frozen=True, slots=True)
class SyntaxOptions:
    """Valid but rare forms of an address, which many systems mishandle; refused by default."""

    allow_quoted_local: bool = False
    """RFC 5321 4.1.2 Quoted-string: `"john smith"@example.com`."""
    allow_domain_literal: bool = False
    """RFC 5321 4.1.3: `user@[192.0.2.1]`, `user@[IPv6:2001:db8::1]`."""
    sender: bool = False
    """The address is a sender: what is wrong with a single label is said by its setting's name."""
    single_label: bool = False
    """A domain of one label, as in `root@localhost`. It is never looked up in DNS."""
    postmaster: bool = False
    """`postmaster` without a domain, in any case of letters (RFC 5321 4.5.1)."""


DEFAULT: Final = SyntaxOptions()


@dataclass(init=False, slots=True)
class Address:
    """A valid address. Treat as immutable; docs/decisions/compiled.md says why it is not frozen."""

    text: str
    """As given."""
    local: str
    """The local part as given, in NFC, without quotes that it does not need."""
    domain: str
    """A-labels in lower case, or a domain literal: `[192.0.2.1]`, `[IPv6:2001:db8::1]`.

    Empty for `postmaster` without a domain.
    """
    canonical: str
    """The mailbox: lower case, and without the characters that its provider ignores."""
    needs_smtputf8: bool = False
    """The local part is not ASCII (RFC 6531). A domain can always be written in A-labels."""

    def __init__(
        self,
        text: str,
        local: str,
        domain: str,
        canonical: str,
        needs_smtputf8: bool = False,  # noqa: FBT001, FBT002 as the field
    ) -> None:
        """Written by hand, since mypyc does not compile the generated one: 5 % of a recipient."""
        self.text = text
        self.local = local
        self.domain = domain
        self.canonical = canonical
        self.needs_smtputf8 = needs_smtputf8


def parse(text: str, options: SyntaxOptions = DEFAULT) -> Address | Finding:
    """Return the address, or a SYNTAX finding that says what is wrong with it. Never raises."""
    if len(text) > ADDRESS_LIMIT:
        return _too_long("address", ADDRESS_LIMIT)
    local, _, written = text.rpartition("@")
    if _is_dot_atom(local):
        domain = _domain(written)
        if domain.__class__ is _Domain and len(local) <= domain[2]:
            name, rule, _ = domain
            mailbox = local.lower()
            if rule is not None:
                mailbox, name = rule.fold(mailbox), rule.mailbox or name
            return Address(text, local, domain[0], f"{mailbox}@{name}")
    elif options.postmaster and text.lower() == POSTMASTER:
        return Address(text, text, "", POSTMASTER)
    elif text.isascii() and '"' not in local:
        return Finding(Reason.SYNTAX, _fault(text, local))
    return _parse_any(text, options)


def parse_domain(text: str) -> str:
    """Return a domain in lower-case A-labels. ValueError, with a sentence, if it is not valid."""
    if "@" in text:
        raise ValueError("This is an address, not a domain.")
    found = parse(f"a@{text}")
    if isinstance(found, Finding):
        raise ValueError(found.detail)  # noqa: TRY004 the value is wrong, not its type
    return found.domain


_SINGLE_LABEL: Final = (
    "The domain is a single label, such as localhost: a fully qualified domain is needed."
)
_SINGLE_LABEL_SENDER: Final = (
    "The domain is a single label, such as localhost: it is not allowed in senders "
    "(single_label_sender)."
)


class _Domain(NamedTuple):
    """A domain, its canonicalisation rule, and the octets it leaves for a local part."""

    name: str
    rule: Rule | None
    local_limit: int


@lru_cache(maxsize=16_384)
def _domain(written: str) -> _Domain | str:
    """Return a parsed domain, or a sentence that says why it is not valid."""
    if _is_plain_domain(written) and "--" not in written:
        name = written.lower()
        longest = len(name)
    else:
        try:
            name, longest = _validated_domain(written)
        except ValueError as error:
            return _SINGLE_LABEL if _single_label(written) is not None else _printable(error)
    return _Domain(name, RULES.get(name), min(LOCAL_LIMIT, ADDRESS_LIMIT - 1 - longest))


@lru_cache(maxsize=4096)
def _single_label(written: str) -> _Domain | None:
    """Return a domain of one label; None if it is not one."""
    if not written or written[0] == "[":
        return None
    try:
        found = _validated(f"a@{written}.example", DEFAULT).ascii_domain.removesuffix(".example")
    except ValueError:
        return None
    if "." in found:
        return None
    return _Domain(found, None, min(LOCAL_LIMIT, ADDRESS_LIMIT - 1 - len(written.encode())))


def _validated_domain(written: str) -> tuple[str, int]:
    """Return the A-labels, and the octets of the longest spelling. ValueError if not valid.

    A special-use domain (`.local`, `.test`) is valid syntax, and may be a mail domain inside a
    company. email-validator refuses it without an option to allow it, so it is given another
    top-level label of the same length.
    """
    head, _, top = written.rpartition(".")
    special = top.lower() in SPECIAL_USE_DOMAIN_NAMES
    found = _validated(f"a@{head}.{'x' * len(top)}" if special else f"a@{written}", DEFAULT)
    name = found.ascii_domain
    if special:
        name = name[: -len(top)] + top.lower()
    return name, max(len(name), len(found.domain.encode()), len(written.encode()))


def _parse_any(text: str, options: SyntaxOptions) -> Address | Finding:
    """Parse an address that is not for the fast path."""
    local, _, written = text.rpartition("@")
    domain = _domain(written)
    if domain is _SINGLE_LABEL:
        domain = (options.single_label and _single_label(written)) or (
            _SINGLE_LABEL_SENDER if options.sender else _SINGLE_LABEL
        )
    if isinstance(domain, str) and _is_dot_atom(local) and not written.startswith("["):
        return Finding(Reason.SYNTAX, domain)
    try:
        subject = text if isinstance(domain, str) else f"{local}@example.com"
        found = _validated(subject, options)
    except ValueError as error:
        return Finding(Reason.SYNTAX, _printable(error))
    if isinstance(domain, str):
        domain = _Domain(found.ascii_domain, None, LOCAL_LIMIT)
    octets = max(len(local.encode()), len(found.local_part.encode()))
    if octets > LOCAL_LIMIT:
        return _too_long("part before the @-sign", LOCAL_LIMIT)
    if octets > domain.local_limit:
        return _too_long("address", ADDRESS_LIMIT)
    return _address(text, found.local_part, domain)


def _fault(text: str, local: str) -> str:
    """Return why an unquoted ASCII local part is not a dot-atom (RFC 5322 3.2.3)."""
    if not local:
        return "There is nothing before the @-sign." if "@" in text else "There is no @-sign."
    strange = sorted(set(local) - _DOT_ATOM_CHARACTERS)
    if strange:
        listed = ", ".join(map(repr, strange))[: DETAIL_LIMIT // 2]
        return f"There are characters before the @-sign that cannot be there: {listed}"
    if ".." in local:
        return "There are two periods in a row before the @-sign."
    return "The part before the @-sign begins or ends with a period."


def _printable(error: ValueError) -> str:
    """Return the text of an error in printable ASCII, short enough for a reply line."""
    return str(error).encode("ascii", "backslashreplace").decode()[:DETAIL_LIMIT]


def _address(text: str, local: str, domain: _Domain) -> Address:
    """Return the address of parts that email-validator has accepted."""
    name, rule, _ = domain
    mailbox = unicodedata.normalize("NFC", local.lower())
    if rule is not None:
        name = rule.mailbox or name
        if not local.startswith('"'):
            mailbox = rule.fold(mailbox)
    return Address(text, local, domain.name, f"{mailbox}@{name}", not local.isascii())


def _validated(text: str, options: SyntaxOptions) -> ValidatedEmail:
    """Parse an address with email-validator. ValueError if it is not valid."""
    return validate_email(
        text,
        strict=True,
        allow_quoted_local=options.allow_quoted_local,
        allow_domain_literal=options.allow_domain_literal,
        check_deliverability=False,
    )


def _too_long(what: str, limit: int) -> Finding:
    return Finding(Reason.SYNTAX, f"The {what} is longer than {limit} octets.")
