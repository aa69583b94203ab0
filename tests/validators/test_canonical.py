"""Canonical forms of addresses: each provider's rules apply only to its own domains."""

import pytest

from tests.validators.addresses import EVERYTHING, valid


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("J.O.H.N+news@Gmail.com", "john@gmail.com"),
        ("john@googlemail.com", "john@gmail.com"),
        ("John+a+b@outlook.com", "john@outlook.com"),
        ("john.smith+a@hotmail.co.uk", "john.smith@hotmail.co.uk"),
        ("john@live.com", "john@live.com"),
        ("john+x@msn.com", "john@msn.com"),
        ("john+x@me.com", "john@icloud.com"),
        ("john.smith@mac.com", "john.smith@icloud.com"),
        ("john+x@fastmail.com", "john@fastmail.com"),
        ("john@x.fastmail.com", "john@x.fastmail.com"),
        ("J.o-h_n+x@pm.me", "john@proton.me"),
        ("ivan.petrov+x@ya.ru", "ivan-petrov@yandex.ru"),
        ("ivan-petrov@yandex.com", "ivan-petrov@yandex.ru"),
    ],
)
def test_known_providers(text: str, canonical: str) -> None:
    assert valid(text).canonical == canonical


@pytest.mark.parametrize(
    "text",
    ["j.o.h.n+news@example.com", "john-x@yahoo.com", "john+x@yahoo.com", "john.smith@mail.ru",
     "john+x@gmx.de", "john_x@notgmail.com", "john+x@sub.gmail.com"],
)  # fmt: skip
def test_anyone_else_gets_lower_case_and_nothing_more(text: str) -> None:
    assert valid(text).canonical == text
    assert valid(text.upper()).canonical == text


@pytest.mark.parametrize("local", ["+x", "+", "a.+x"])
def test_a_local_part_that_would_fall_apart_is_left_alone(local: str) -> None:
    assert valid(f"{local}@outlook.com").canonical == f"{local}@outlook.com"


def test_quotes_are_not_looked_into() -> None:
    assert valid('"a b+c"@gmail.com', EVERYTHING).canonical == '"a b+c"@gmail.com'
