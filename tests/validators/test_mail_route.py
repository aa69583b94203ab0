"""The mail route of a domain, from answers of nsd (RFC 5321 5.1, RFC 7505)."""

import pytest

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

CASES: dict[str, MailRoute] = {
    "good.test": Hosts(("mx.good.test",)),
    "two.test": Hosts(("first.two.test", "second.two.test")),
    "v6.test": Hosts(("mx.v6.test",)),
    "implicit.test": Hosts(("implicit.test",), implicit=True),
    "implicit6.test": Hosts(("implicit6.test",), implicit=True),
    "nothing.test": NoHost("nothing.test has no address"),
    "nowhere.test": NoDomain(),
    "null.test": NullMx(),
    "null10.test": NullMx(),
    "mixed.test": Hosts(("mx.good.test",)),
    "gone.test": NoHost("mx.gone.test has no address"),
    "literal.test": NoHost("192.0.2.1 is not a host name"),
    "literal-plus.test": Hosts(("192.0.2.1", "mx.good.test")),
    "local.test": Unroutable("localhost is loopback"),
    "loop.test": Unroutable("mx.loop.test is 127.0.0.1 (loopback)"),
    "private.test": Unroutable("a.private.test is 10.0.0.1 (private)"),
    "private-plus.test": Hosts(("a.private.test", "mx.good.test")),
    "mapped.test": Unroutable("mx.mapped.test is ::ffff:10.0.0.1 (private)"),
    "both.test": Hosts(("mx.both.test",)),
    "loopimplicit.test": Unroutable("loopimplicit.test is 127.0.0.1 (loopback)"),
    "bad-plus-gone.test": Unroutable("a.private.test is 10.0.0.1 (private)"),
    "alias.test": Hosts(("mx.good.test",)),
    "aliasmx.test": Hosts(("alias.mx.test",)),
    "dangling.test": NoDomain(),
    "far.test": Hosts(("mx.good.other",)),
    "circle.test": Unknown("chain of aliases without end for MX of circle.test"),
    "broken.test": Unknown("SERVFAIL for MX of broken.test"),
    "failing.test": Unknown("SERVFAIL for AAAA of mx.broken.test"),
    "failing-plus.test": Hosts(("mx.broken.test", "mx.good.test")),
    "failing-minus.test": Unknown("SERVFAIL for AAAA of mx.broken.test"),
    "elsewhere.example": Unknown("REFUSED for MX of elsewhere.example"),
    "bad.test": Unroutable("a0.bad.test is 10.0.0.0 (private)"),
    "bad9.test": Unknown("none of the first 8 mail hosts can be reached"),
    "[8.8.8.8]": Hosts(("8.8.8.8",), implicit=True),
    "[127.0.0.1]": Unroutable("127.0.0.1 (loopback)"),
    "[IPv6:2001:db8::1]": Unroutable("2001:db8::1 (documentation)"),
    "[IPv6:2620:4f:8000::1]": Hosts(("2620:4f:8000::1",), implicit=True),
}


@pytest.mark.parametrize("domain", CASES)
async def test_route(resolver: Resolver, domain: str) -> None:
    assert await resolver.mail_route(domain) == CASES[domain]
    assert resolver.cached(domain) == CASES[domain]


async def test_an_answer_too_large_for_a_datagram_comes_by_tcp(resolver: Resolver) -> None:
    route = await resolver.mail_route("crowd.test")
    assert isinstance(route, Hosts)
    assert [host.partition(".")[0] for host in route.hosts] == [f"host{n}" for n in range(8)]


async def test_routes_of_several_domains(resolver: Resolver) -> None:
    domains = [domain for domain in CASES if domain.endswith(".test")]
    assert await resolver.mail_routes(domains) == {domain: CASES[domain] for domain in domains}
