"""Parsing addresses: valid ones, and the errors of invalid ones."""

import pytest

from tests.validators.addresses import EVERYTHING, fault, valid
from validators.address import ADDRESS_LIMIT, SyntaxOptions, parse_domain

UMLAUT = "\u00fc"
"""Two octets of UTF-8."""


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("john.smith@example.com", "example.com"),
        ("John.Smith@EXAMPLE.Com", "example.com"),
        ("a@b.co", "b.co"),
        ("!#$%&'*+-/=?^_`{|}~@example.com", "example.com"),
        ("user@sub.sub.sub.example.museum", "sub.sub.sub.example.museum"),
        ("user@1and1.example", "1and1.example"),
        ("user@a--b.example", "a--b.example"),
        ("user@b\u00fccher.example", "xn--bcher-kva.example"),
        ("user@B\u00dcCHER.example", "xn--bcher-kva.example"),
        ("user@xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("user@XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("user@b\u00fccher\u3002example", "xn--bcher-kva.example"),
        ("user@\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444", "xn--e1afmkfd.xn--p1ai"),
        ("user@stra\u00dfe.example", "xn--strae-oqa.example"),
    ],
)
def test_the_domain_is_lower_case_a_labels(text: str, domain: str) -> None:
    found = valid(text)
    assert found.domain == domain
    assert found.text == text
    assert found.local == text.partition("@")[0]
    assert found.needs_smtputf8 is False


@pytest.mark.parametrize(
    "domain",
    ["corp.local", "mail.internal", "host.test", "x.invalid", "a.localhost", "b.home.arpa",
     "b\u00fcro.local", "x.onion", "Corp.LOCAL"],
)  # fmt: skip
def test_a_special_use_domain_is_no_fault_of_syntax(domain: str) -> None:
    found = valid(f"user@{domain}")
    assert found.domain.rpartition(".")[2] == domain.rpartition(".")[2].lower()
    assert found.domain.isascii()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "user",
        "user@",
        "@example.com",
        "user@@example.com",
        "a@b@example.com",
        "user@example.com.",
        "user@.example.com",
        "user@example..com",
        ".user@example.com",
        "user.@example.com",
        "us..er@example.com",
        "us er@example.com",
        " user@example.com",
        "user@example.com ",
        "user@example.com\n",
        "user\r\n@example.com",
        "us\x00er@example.com",
        "us\x7fer@example.com",
        "user@exa mple.com",
        "user@exam_ple.com",
        "user@-example.com",
        "user@example-.com",
        "user@example.com-",
        "user@ab--cd.example",
        "user@xn--\u00fc.example",
        "user@xn--a.example",
        "user@localhost",
        "user@com",
        "user@192.0.2.1",
        "user@example.123",
        "<user@example.com>",
        "User <user@example.com>",
        "user(comment)@example.com",
        "user@example.com,other@example.com",
        "user@example.com;",
        "mailto:user@example.com?x",
        "us\\er@example.com",
        "user\uff20example.com",
        "user@example.com\u200b",
        "us\u200ber@example.com",
        "us\ud800er@example.com",
        "user@ex\udcffample.com",
        "us\u202eer@example.com",
        "\u0301user@example.com",
        '"unclosed@example.com',
        '"a"b@example.com',
    ],
)
def test_a_fault_has_a_detail_that_fits_a_reply_line(text: str) -> None:
    fault(text)
    fault(text, EVERYTHING)


def test_lengths_are_counted_in_octets() -> None:
    assert len(valid(f"{'a' * 64}@example.com").local) == 64
    assert "before the @-sign" in fault(f"{'a' * 65}@example.com")
    assert "before the @-sign" in fault(f"{UMLAUT * 33}@example.com")
    valid(f"{UMLAUT * 32}@example.com")
    valid(f"u@{'a' * 63}.example")
    fault(f"u@{'a' * 64}.example")


def test_the_whole_address_is_bounded() -> None:
    longest = "u@" + ".".join(["a" * 61] * 4) + ".xyz"
    assert len(longest) == ADDRESS_LIMIT - 1
    valid(f"u{longest}")
    fault(f"uu{longest}")
    assert "254 octets" in fault(f"u@{'a' * 100_000}.example")
    assert "254 octets" in fault(f"{UMLAUT * 30}@{'a' * 63}.{'b' * 63}.{'c' * 63}.example")


def test_a_quoted_local_part_is_an_option() -> None:
    assert "not allowed" in fault('"john smith"@example.com')
    found = valid('"john smith"@example.com', EVERYTHING)
    assert (found.local, found.canonical) == ('"john smith"', '"john smith"@example.com')
    assert valid('"john@home"@example.com', EVERYTHING).domain == "example.com"
    # quotes that are not needed make no difference (RFC 5321 4.1.2)
    assert valid('"John"@example.com', EVERYTHING).canonical == "john@example.com"


def test_a_domain_literal_is_an_option() -> None:
    assert "not allowed" in fault("user@[192.0.2.1]")
    assert valid("user@[192.0.2.1]", EVERYTHING).domain == "[192.0.2.1]"
    assert valid("user@[ipv6:2001:DB8:0::1]", EVERYTHING).domain == "[IPv6:2001:db8::1]"
    for text in ("user@[]", "user@[192.0.2]", "user@[2001:db8::1]", "user@[tag:x]"):
        fault(text, EVERYTHING)


def test_a_local_part_beyond_ascii_needs_smtputf8_and_is_nfc() -> None:
    found = valid("Jose\u0301@example.com")
    assert found.local == "Jos\u00e9"
    assert found.canonical == "jos\u00e9@example.com"
    assert found.needs_smtputf8


def test_lower_case_is_composed_again() -> None:
    # J with caron has no code point of its own, j with caron has
    assert valid("J\u030cosef@example.com").canonical == "\u01f0osef@example.com"


def test_smtputf8_is_needed_only_for_the_local_part() -> None:
    assert not valid("John@b\u00fccher.example").needs_smtputf8


def test_u_labels_and_a_labels_are_one_mailbox() -> None:
    assert (
        valid("john@b\u00fccher.example").canonical
        == valid("John@XN--BCHER-KVA.EXAMPLE").canonical
        == "john@xn--bcher-kva.example"
    )


@pytest.mark.parametrize(
    ("text", "domain"),
    [("Example.COM", "example.com"), ("b\u00fccher.example", "xn--bcher-kva.example")],
)
def test_a_domain_alone(text: str, domain: str) -> None:
    assert parse_domain(text) == domain


@pytest.mark.parametrize("text", ["", "example", "exam ple.com", "a@b.com", "[192.0.2.1]"])
def test_what_is_not_a_domain(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_domain(text)


SENDER = SyntaxOptions(sender=True, single_label=True)
NO_SINGLE_LABEL = SyntaxOptions(sender=True)
RECIPIENT = SyntaxOptions(postmaster=True)


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("root@localhost", "localhost"),
        ("root@vm", "vm"),
        ("Root@VM-7c9f", "vm-7c9f"),
        ("root@3f2a1b4c5d6e", "3f2a1b4c5d6e"),
        ("root@12345", "12345"),
        ("root@local", "local"),
        ("root@b\u00fccher", "xn--bcher-kva"),
        (f"root@{'x' * 63}", "x" * 63),
    ],
)
def test_a_domain_of_one_label_is_an_option_for_senders(text: str, domain: str) -> None:
    found = valid(text, SENDER)
    assert (found.domain, found.text) == (domain, text)
    for refused in (fault(text, NO_SINGLE_LABEL), fault(text), fault(text, RECIPIENT)):
        assert "is a single label" in refused
        assert "period" not in refused
    assert "single_label_sender" in fault(text, NO_SINGLE_LABEL)
    assert "single_label_sender" not in fault(text)


@pytest.mark.parametrize(
    "text",
    ["root@", "root", "root@-vm", "root@vm-", "root@v_m", "root@vm.", "root@.vm", "root@v m",
     f"root@{'x' * 64}", "root@[vm", "root@ab--c", "ro ot@vm", "root@@vm", f"{'a' * 65}@vm"],
)  # fmt: skip
def test_what_is_no_label(text: str) -> None:
    fault(text, SENDER)


@pytest.mark.parametrize("text", ["postmaster", "Postmaster", "POSTMASTER", "pOsTmAsTeR"])
def test_postmaster_needs_no_domain(text: str) -> None:
    found = valid(text, RECIPIENT)
    assert (found.text, found.domain, found.canonical) == (text, "", "postmaster")
    assert "no @-sign" in fault(text)
    assert "no @-sign" in fault(text, SENDER)


@pytest.mark.parametrize(
    "text", ["postmaster@", "@postmaster", "post-master", "postmaster ", "root"]
)
def test_only_postmaster_needs_no_domain(text: str) -> None:
    fault(text, RECIPIENT)
