"""The MX check: from mail routes to findings about recipients."""

from collections.abc import Awaitable

import pytest

from tests.validators.addresses import EVERYTHING, valid
from validators.address import SyntaxOptions
from validators.checks.mx import MxCheck
from validators.dns import (
    Hosts,
    MailRoute,
    NoDomain,
    NoHost,
    NullMx,
    Resolver,
    Unknown,
    Unroutable,
)
from validators.verdict import CLEAR, Finding, Reason

ROUTES: dict[str, tuple[MailRoute, Finding | None]] = {
    "good.example": (Hosts(("mx.good.example",)), None),
    "implicit.example": (Hosts(("implicit.example",), implicit=True), None),
    "null.example": (NullMx(), Finding(Reason.NULL_MX)),
    "none.example": (NoDomain(), Finding(Reason.NO_DOMAIN)),
    "nohost.example": (NoHost("gone"), Finding(Reason.NO_MAIL_HOST, "gone")),
    "private.example": (Unroutable("10.0.0.1"), Finding(Reason.UNROUTABLE, "10.0.0.1")),
    "unknown.example": (Unknown("SERVFAIL"), Finding(Reason.DNS_UNAVAILABLE, "SERVFAIL")),
}
KNOWN = {domain: route for domain, (route, _) in ROUTES.items()}


def test_each_route_has_its_fact() -> None:
    check = MxCheck(Resolver([], known=KNOWN))
    group = [valid(f"ann@{domain}") for domain in ROUTES]
    assert check.examine(group) == [finding for _, finding in ROUTES.values()]


def test_good_routes_are_clear_at_once() -> None:
    check = MxCheck(Resolver([], known=KNOWN))
    assert check.examine([valid("ann@good.example"), valid("bob@implicit.example")]) is CLEAR


@pytest.mark.parametrize(
    ("trusted", "domain", "is_trusted"),
    [
        ("null.example", "null.example", True),
        ("null.example", "sub.null.example", True),
        ("Null.Example.", "null.example", True),
        (".null.example", "null.example", True),
        ("example", "null.example", True),
        ("null.example", "notnull.example", False),
        ("sub.null.example", "null.example", False),
        ("b\u00fccher.example", "xn--bcher-kva.example", True),
    ],
)
def test_trusted_domains_are_not_looked_at(trusted: str, domain: str, *, is_trusted: bool) -> None:
    known = {domain: NullMx()}
    facts = MxCheck(Resolver([], known=known), [trusted]).examine([valid(f"ann@{domain}")])
    assert facts == (CLEAR if is_trusted else [Finding(Reason.NULL_MX)])


@pytest.mark.parametrize("trusted", ["", ".", "exa mple.com", "ann@example.com", "a..b"])
def test_what_cannot_be_trusted(trusted: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        MxCheck(Resolver([]), [trusted])


async def test_only_what_is_not_known_is_waited_for(resolver: Resolver) -> None:
    check = MxCheck(resolver, ["corp.local"])
    locals_ = ["good.test", "null.test", "corp.local", "good.test", "nowhere.test"]
    group = [valid(f"ann@{domain}") for domain in locals_]
    expected = [None, Finding(Reason.NULL_MX), None, None, Finding(Reason.NO_DOMAIN)]
    facts = check.examine(group)
    assert isinstance(facts, Awaitable)
    assert await facts == expected
    assert (resolver.stats.misses, resolver.stats.hits) == (3, 0)
    assert check.examine(group) == expected
    assert (resolver.stats.misses, resolver.stats.hits) == (3, 4)


async def test_a_domain_literal_is_judged_by_its_address(resolver: Resolver) -> None:
    group = [valid(f"ann@{it}", EVERYTHING) for it in ("[8.8.8.8]", "[10.0.0.1]", "[IPv6:::1]")]
    facts = MxCheck(resolver).examine(group)
    assert isinstance(facts, Awaitable)
    assert [finding and finding.reason for finding in await facts] == [
        None,
        Reason.UNROUTABLE,
        Reason.UNROUTABLE,
    ]


def test_a_name_that_is_not_fully_qualified_is_not_looked_up() -> None:
    options = SyntaxOptions(sender=True, single_label=True, postmaster=True)
    known = {"vm": NullMx(), "": NullMx(), "[IPv6:2001:db8::1]": NullMx()}
    check = MxCheck(Resolver([], known=known))
    assert check.examine([valid("root@vm", options), valid("Postmaster", options)]) is CLEAR
    literal = valid("ann@[IPv6:2001:db8::1]", EVERYTHING)
    assert check.examine([literal]) == [Finding(Reason.NULL_MX)]
