"""The fast path for plain ASCII addresses always agrees with email-validator."""

import unicodedata

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from validators.address import (
    DEFAULT,
    DETAIL_LIMIT,
    Address,
    SyntaxOptions,
    parse,
    parse_domain,
)
from validators.canonical import RULES
from validators.verdict import Finding, Reason

ATOM = "abcXYZ019!#$%&'*+-/=?^_`{|}~"
LABEL = "abcXYZ019-"
PITFALLS = st.sampled_from(
    [".", "..", "-", "--", "@", '"', "\\", " ", "\t", "\r", "\n", "\x00", "\x7f", "(", ")", "<",
     ">", "[", "]", ",", ";", ":", "xn--", "XN--", "_", "\u00fc", "\u00df", "\u0301", "\u00a0",
     "\u200b", "\u202e", "\u3002", "\uff0e", "\uff20", "\u0130", "\u043f", "\u05d0", "\ud800",
     "\U0001f4a9"],
)  # fmt: skip

atoms = st.text(ATOM, min_size=1, max_size=12)
labels = st.one_of(
    st.text(LABEL, min_size=1, max_size=8),
    st.sampled_from(["example", "b\u00fccher", "xn--bcher-kva", "a" * 63, "a" * 64, "1", "xn--a"]),
)
tops = st.one_of(
    st.text(LABEL, min_size=1, max_size=4),
    st.sampled_from(
        ["com", "COM", "museum", "c", "123", "c1", "xn--p1ai", "\u0440\u0444", "local"]
    ),
)
dotted_locals = st.lists(atoms, min_size=1, max_size=6).map(".".join)
domains = st.builds(
    lambda parts, top: ".".join([*parts, top]),
    st.lists(labels, min_size=1, max_size=5),
    tops,
)


@st.composite
def nearly_addresses(draw: st.DrawFn) -> str:
    """Return an address, possibly with characters inserted, removed or repeated."""
    text = f"{draw(dotted_locals)}@{draw(st.one_of(domains, st.sampled_from(sorted(RULES))))}"
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(text)))
        match draw(st.sampled_from(["in", "out", "more"])):
            case "in":
                text = text[:place] + draw(PITFALLS) + text[place:]
            case "out":
                text = text[:place] + text[place + 1 :]
            case "more":
                text = (
                    text[:place] + text[place : place + 1] * draw(st.integers(2, 70)) + text[place:]
                )
    return text


def expected(text: str, options: SyntaxOptions = DEFAULT) -> tuple[str, str] | None:
    """Return the local part and A-label domain that email-validator gives, None if it refuses."""
    try:
        found = validate_email(
            text,
            strict=True,
            allow_quoted_local=options.allow_quoted_local,
            allow_domain_literal=options.allow_domain_literal,
            check_deliverability=False,
        )
    except EmailNotValidError:
        return None
    local, domain = found.local_part, found.ascii_domain
    assert local is not None
    # our limit counts octets (RFC 5321 4.5.3.1.1, RFC 6531 3.3), email-validator's characters
    written = text.rpartition("@")[0]
    if max(len(local.encode()), len(written.encode())) > 64:
        return None
    return local, domain


def is_special(text: str) -> bool:
    """Return whether email-validator refuses a domain as special-use and not for its syntax."""
    top = unicodedata.normalize("NFKC", text).rpartition(".")[2].lower()
    return top in SPECIAL_USE_DOMAIN_NAMES


@given(nearly_addresses())
@example("A@example.com")
@example("POSTMASTER@Example.com")
@example("user@ab--cd.com")
@example("user@abc--d.com")
@example("user@xn--bcher-kva.com")
@example("user@example.c")
@example("user@example.123")
@example(f"{'a' * 64}@example.com")
@example(f"{'a' * 65}@example.com")
@example(f"u@{'a' * 63}.com")
@example(f"u@{'a' * 64}.com")
@example("u@" + ".".join(["a" * 62] * 4))
@example("u@" + ".".join(["\u4e00" * 15] * 5) + ".com")
def test_they_agree(text: str) -> None:
    if is_special(text):
        return
    found = parse(text)
    known = expected(text)
    if known is None:
        assert isinstance(found, Finding)
        return
    assert isinstance(found, Address)
    assert found.domain == known[1]
    # email-validator lower-cases the names of RFC 2142; we do not change the local part
    assert found.local in {known[0], text.rpartition("@")[0]}
    assert found.local.lower() == known[0].lower()
    assert found.needs_smtputf8 is not known[0].isascii()


@given(nearly_addresses())
@example('"a b"@example.com')
@example('"a\\"b"@example.com')
@example('""@example.com')
@example('"a@b"@example.com')
@example("a@[192.0.2.1]")
@example("a@[IPv6:::1]")
@example("a@[1]")
@example('"a"@[192.0.2.1]')
def test_they_agree_on_unusual_forms(text: str) -> None:
    options = SyntaxOptions(allow_quoted_local=True, allow_domain_literal=True)
    if is_special(text):
        return
    found = parse(text, options)
    known = expected(text, options)
    assert isinstance(found, Address) is (known is not None)
    if isinstance(found, Address) and known is not None:
        assert found.domain == known[1]


@given(st.one_of(st.text(), nearly_addresses(), st.text(min_size=200).map(lambda it: f"a@{it}")))
@example("a" * 100_000)
@example("@" * 300)
@example("a@" + "xn--" + "9" * 245)
@example("\ud800@\udfff")
@example("a@\u0338b.com")
@example('"' * 200)
def test_any_text_gives_an_address_or_a_finding(text: str) -> None:
    for options in (DEFAULT, SyntaxOptions(allow_quoted_local=True, allow_domain_literal=True)):
        found = parse(text, options)
        if isinstance(found, Finding):
            assert found.reason is Reason.SYNTAX
            assert found.detail.isascii()
            assert 0 < len(found.detail) <= DETAIL_LIMIT
        else:
            assert found.text == text
            assert found.domain.isascii()
            assert found.domain == found.domain.lower() or found.domain.startswith("[IPv6:")
            assert found.canonical.rpartition("@")[2]


@given(nearly_addresses())
@example("+x@gmail.com")
@example("a.+x@outlook.com")
@example("...@gmail.com")
@example("-_.@pm.me")
@example("a.-b@ya.ru")
def test_the_canonical_form_is_its_own(text: str) -> None:
    found = parse(text)
    if isinstance(found, Address) and len(found.canonical.encode()) <= 254:
        again = parse(found.canonical)
        # the lower-case form may exceed the limit of a local part; it is then not an address
        if isinstance(again, Address):
            assert again.canonical == found.canonical
        else:
            assert found.needs_smtputf8


@given(domains)
def test_a_domain_alone_is_the_domain_of_an_address(text: str) -> None:
    found = parse(f"a@{text}")
    if isinstance(found, Address):
        assert parse_domain(text) == found.domain
    else:
        with pytest.raises(ValueError, match=r"."):
            parse_domain(text)
