"""Malformed and unusual DNS messages."""

import pytest

from validators.dns.wire import Alias, Failed, Found, Missing, Mx, Type, WireError, answer, question

ASKED = question("a.test", Type.MX, 7)
END = len(ASKED) - 11


def reply(*records: bytes, flags: bytes = b"\x81\x80", authorities: int = 0) -> bytes:
    counts = b"\x00\x01\x00" + bytes([len(records) - authorities, 0, authorities, 0, 0])
    return ASKED[:2] + flags + counts + ASKED[12:END] + b"".join(records)


def record(data: bytes, kind: int = 15, owner: bytes = b"\xc0\x0c", ttl: int = 60) -> bytes:
    head = kind.to_bytes(2, "big") + b"\x00\x01" + ttl.to_bytes(4, "big")
    return owner + head + len(data).to_bytes(2, "big") + data


def test_a_label_with_a_dot_is_no_two_labels() -> None:
    said = answer(reply(record(b"\x00\x0a\x03a.b\x00")), ASKED)
    assert said.values == (Mx(10, "a\\046b"),)  # type: ignore[union-attr]


def test_a_ttl_with_the_top_bit_set_is_none() -> None:
    assert answer(reply(record(b"\x00\x0a\x00", ttl=2**31)), ASKED).ttl == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "octets",
    [
        reply(record(b"\x00\x0a\xc0\x26")),  # a pointer to itself
        reply(record(b"\x00\x0a\x01a\xc0\x26")),  # pointers that form a loop
        reply(record(b"\x00\x0a\xc0\xff")),  # a pointer past the end
        reply(record(b"\x00\x0a\x40" + b"a" * 64 + b"\x00")),  # a label of 64
        reply(record(b"\x00\x0a" + b"\x3f" + b"a" * 63 + (b"\x3f" + b"b" * 63) * 4 + b"\x00")),
        reply(record(b"\x00\x0a\x05abc")),  # a name past the end
        reply(record(b"")),
        reply(record(b"\x00\x0a\x00"))[:-1],
        reply()[:20],
        reply(flags=b"\x01\x00"),  # a question, not a reply
        b"\x00\x08" + reply()[2:],  # a reply with another query ID
        reply().replace(b"\x01a\x04test", b"\x01b\x04test"),  # a reply to another question
    ],
)
def test_what_is_no_reply(octets: bytes) -> None:
    with pytest.raises(WireError):
        answer(octets, ASKED)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x03abc\x02de", b"abcde"),
        (b"\x00", b""),
        (b"\x00\x01a", b"a"),
        (b"\x02\xff\x00", b"\xff\0"),
    ],
)
def test_the_strings_of_a_txt_record_are_joined(data: bytes, value: bytes) -> None:
    asked = question("a.test", Type.TXT, 7)
    octets = reply(record(data, kind=16)).replace(ASKED[12:END], asked[12:END])
    assert answer(octets, asked) == Found((value,), 60)


@pytest.mark.parametrize("data", [b"", b"\x04abc", b"\x03abc\x01"])
def test_a_txt_record_that_does_not_add_up_is_no_reply(data: bytes) -> None:
    asked = question("a.test", Type.TXT, 7)
    octets = reply(record(data, kind=16)).replace(ASKED[12:END], asked[12:END])
    with pytest.raises(WireError):
        answer(octets, asked)


@pytest.mark.parametrize(
    ("code", "detail"),
    [(1, "FORMERR"), (2, "SERVFAIL"), (4, "NOTIMP"), (5, "REFUSED"), (9, "RCODE 9")],
)
def test_an_error_may_leave_the_question_out(code: int, detail: str) -> None:
    flags = b"\x81" + bytes([0x80 | code])
    assert answer(reply(flags=flags), ASKED) == Failed(detail)
    assert answer(ASKED[:2] + flags + bytes(8), ASKED) == Failed(detail)


def test_a_referral_is_no_absence() -> None:
    referral = record(b"\x02ns\xc0\x0c", kind=2)
    assert answer(reply(referral, authorities=1), ASKED) == Failed(
        "a referral in place of an answer"
    )
    assert answer(reply(), ASKED) == Missing(exists=True, ttl=0, doubtful=True)


def test_case_makes_no_difference_in_the_question() -> None:
    assert answer(reply().replace(b"test", b"TeSt"), ASKED) == Missing(
        exists=True, ttl=0, doubtful=True
    )


@pytest.mark.parametrize(
    "name", ["", "a..b", "a b.test", "a" * 64 + ".test", ".".join(["a" * 60] * 5)]
)
def test_what_cannot_be_asked(name: str) -> None:
    with pytest.raises(ValueError, match=r"^"):
        question(name, Type.A, 1)


def test_an_alias_without_its_target_is_no_absence() -> None:
    alias = record(b"\x01b\xc0\x0e", kind=5)
    assert answer(reply(alias), ASKED) == Alias("b.test")
    assert answer(reply(alias, flags=b"\x81\x83"), ASKED) == Missing(
        exists=False, ttl=0, doubtful=True
    )
