"""The MX check, and which domains are looked up: from mail routes to findings about recipients."""

from collections.abc import Awaitable, Sequence

import pytest

from tests.validators.addresses import EVERYTHING
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
from validators.pipeline import Pipeline
from validators.policy import Policy
from validators.verdict import Action, Finding, Reason

ROUTES: dict[str, tuple[MailRoute, Finding | None]] = {
    "good.example": (Hosts(("mx.good.example",)), None),
    "implicit.example": (
        Hosts(("implicit.example",), implicit=True),
        Finding(Reason.IMPLICIT_MX),
    ),
    "null.example": (NullMx(), Finding(Reason.NULL_MX)),
    "none.example": (NoDomain(), Finding(Reason.NO_DOMAIN)),
    "nohost.example": (NoHost("gone"), Finding(Reason.NO_MAIL_HOST, "gone")),
    "private.example": (Unroutable("10.0.0.1"), Finding(Reason.UNROUTABLE, "10.0.0.1")),
    "unknown.example": (Unknown("SERVFAIL"), Finding(Reason.DNS_UNAVAILABLE, "SERVFAIL")),
}
KNOWN = {domain: route for domain, (route, _) in ROUTES.items()}


def line(
    resolver: Resolver, trusted: Sequence[str] = (), options: SyntaxOptions = EVERYTHING
) -> Pipeline:
    """Return a pipeline with the check, whose findings are all observed or defer."""
    policy = Policy({r: Action.OBSERVE for r in Reason if not r.row.unknown})
    return Pipeline(
        [MxCheck()], policy, options=options, resolver=resolver, trusted_domains=trusted
    )


async def found(pipeline: Pipeline, *addresses: str) -> list[Finding | None]:
    """Return the finding on each address; fails if there is more than one."""
    judged = pipeline.judge(addresses)
    if isinstance(judged, Awaitable):
        judged = await judged
    assert all(len(each.findings) <= 1 for each in judged)
    return [each.findings[0][0] if each.findings else None for each in judged]


async def test_each_route_has_its_fact() -> None:
    checked = line(Resolver([], known=KNOWN))
    group = [f"ann@{domain}" for domain in ROUTES]
    expected = [finding for _, finding in ROUTES.values()]
    assert await found(checked, *group) == expected
    assert await found(checked, *group) == expected


def test_known_routes_are_judged_at_once() -> None:
    judged = line(Resolver([], known=KNOWN)).judge([f"ann@{domain}" for domain in ROUTES])
    assert isinstance(judged, list)


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
async def test_trusted_domains_are_not_looked_at(
    trusted: str, domain: str, *, is_trusted: bool
) -> None:
    known = {domain: NullMx()}
    checked = line(Resolver([], known=known), [trusted])
    expected = None if is_trusted else Finding(Reason.NULL_MX)
    assert await found(checked, f"ann@{domain}") == [expected]


@pytest.mark.parametrize("trusted", ["", ".", "exa mple.com", "ann@example.com", "a..b"])
def test_what_cannot_be_trusted(trusted: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        line(Resolver([]), [trusted])


async def test_only_what_is_not_known_is_waited_for(resolver: Resolver) -> None:
    checked = line(resolver, ["corp.local"])
    domains = ["good.test", "null.test", "corp.local", "good.test", "nowhere.test"]
    group = [f"ann@{domain}" for domain in domains]
    expected = [None, Finding(Reason.NULL_MX), None, None, Finding(Reason.NO_DOMAIN)]
    judging = checked.judge(group)
    assert isinstance(judging, Awaitable)
    await judging
    assert (resolver.stats.misses, resolver.stats.hits) == (3, 0)
    assert await found(checked, *group) == expected
    assert (resolver.stats.misses, resolver.stats.hits) == (3, 4)


async def test_a_domain_literal_is_judged_by_its_address(resolver: Resolver) -> None:
    checked = line(resolver)
    findings = await found(
        checked, *(f"a@{it}" for it in ("[8.8.8.8]", "[10.0.0.1]", "[IPv6:::1]"))
    )
    assert [finding and finding.reason for finding in findings] == [
        None,
        Reason.UNROUTABLE,
        Reason.UNROUTABLE,
    ]


async def test_a_name_that_is_not_fully_qualified_is_not_looked_up() -> None:
    options = SyntaxOptions(
        sender=True, single_label=True, postmaster=True, allow_domain_literal=True
    )
    known = {"vm": NullMx(), "": NullMx(), "[IPv6:2001:db8::1]": NullMx()}
    checked = line(Resolver([], known=known), options=options)
    assert await found(checked, "root@vm", "Postmaster") == [None, None]
    assert await found(checked, "ann@[IPv6:2001:db8::1]") == [Finding(Reason.NULL_MX)]
