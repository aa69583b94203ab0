"""Parked domains: by mail host, name server, address, or an SPF record that allows nobody."""

from collections.abc import Iterator

import dns.message
import dns.rcode
import pytest

from tests.support.dns import scripted
from tests.validators.checking import find, records
from validators.checks.parked import SERVICES, ParkedCheck, is_parking_host
from validators.dns import Hosts, MailRoute, NoDomain, NullMx, Resolver, Unknown
from validators.verdict import Finding, Reason

ZONE = {
    # a forgotten name at Sedo, one with the name servers of Bodis, one at an address of GoDaddy
    ("old-brand.example", "NS"): "ns1.sedoparking.com.|ns2.sedoparking.com.",
    ("old-brand.example", "A"): "64.190.63.222",
    ("upper.example", "NS"): "NS1.BODIS.COM.",
    ("upper.example", "A"): "192.31.196.1",
    ("lander.example", "NS"): "ns01.domaincontrol.com.",
    ("lander.example", "A"): "34.102.136.180",
    ("edge.example", "A"): "64.190.63.255",
    ("beyond.example", "A"): "64.190.64.0",
    ("below.example", "A"): "64.190.61.255",
    # states that it sends no mail
    ("silent.example", "A"): "192.31.196.1",
    ("silent.example", "TXT"): '"v=spf1 -all"',
    ("loud.example", "A"): "192.31.196.1",
    ("loud.example", "TXT"): '"google-site-verification=x"|"V=SPF1  -ALL "',
    ("split.example", "A"): "192.31.196.1",
    ("split.example", "TXT"): '"v=spf1 " "-all"',
    ("soft.example", "TXT"): '"v=spf1 ~all"',
    ("soft.example", "A"): "192.31.196.1",
    ("sends.example", "TXT"): '"v=spf1 mx -all"',
    ("sends.example", "A"): "192.31.196.1",
    ("spf10.example", "TXT"): '"v=spf10 -all"',
    ("spf10.example", "A"): "192.31.196.1",
    # a firm's own name servers, and one whose name only looks like a parking service
    ("firm.example", "NS"): "ns1.firm.example.|ns1.notbodis.com.|bodis.com.example.",
    ("firm.example", "A"): "192.31.196.1",
    ("plain.example", "A"): "192.31.196.1",
}


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    with scripted(records(ZONE)) as address:
        yield address


@pytest.mark.parametrize(
    ("domain", "detail"),
    [
        ("old-brand.example", "name server ns1.sedoparking.com"),
        ("upper.example", "name server ns1.bodis.com"),
        ("lander.example", "address 34.102.136.180"),
        ("edge.example", "address 64.190.63.255"),
        ("silent.example", "SPF -all and no MX"),
        ("loud.example", "SPF -all and no MX"),
        ("split.example", "SPF -all and no MX"),
        *((f"{name}.example", None) for name in ("beyond", "below", "soft", "sends", "spf10")),
        *((f"{name}.example", None) for name in ("firm", "plain", "unknown")),
    ],
)
async def test_a_domain_without_mx(
    server: tuple[str, int], domain: str, detail: str | None
) -> None:
    resolver = Resolver([server])
    found = await find(ParkedCheck(resolver), domain, Hosts((domain,), implicit=True))
    assert found == (detail and Finding(Reason.PARKED_DOMAIN, detail))
    await resolver.aclose()


@pytest.mark.parametrize(
    ("route", "detail"),
    [
        (Hosts(("mx76.mb5p.com",)), "mail host mx76.mb5p.com"),
        (Hosts(("mail.h-email.net", "mx.example.com")), "mail host mail.h-email.net"),
        (Hosts(("mx.example.com", "park-mx.above.com")), "mail host park-mx.above.com"),
        (Hosts(("mx.above.com",)), None),  # the firm's own mail
        (Hosts(("mx.example.com",)), None),
        (Hosts(("notbodis.com",)), None),
        (NoDomain(), None),
        (NullMx(), None),
        (Unknown("SERVFAIL"), None),
        (None, None),
    ],
)
async def test_a_domain_with_mx_costs_no_question(
    route: MailRoute | None, detail: str | None
) -> None:
    check = ParkedCheck(Resolver([]))
    found = check.find("some.example", route)
    assert found == (detail and Finding(Reason.PARKED_DOMAIN, detail))


def test_a_domain_literal_is_not_parked() -> None:
    route = Hosts(("64.190.63.222",), implicit=True)
    assert ParkedCheck(Resolver([])).find("[64.190.63.222]", route) is None


async def test_no_answer_says_nothing() -> None:
    def refuse(query: dns.message.Message, _: bool) -> bytes:  # noqa: FBT001 as Script
        answer = dns.message.make_response(query)
        answer.set_rcode(dns.rcode.SERVFAIL)
        return answer.to_wire()

    with scripted(refuse) as address:
        resolver = Resolver([address], timeout=1)
        route = Hosts(("old-brand.example",), implicit=True)
        assert await find(ParkedCheck(resolver), "old-brand.example", route) is None
        await resolver.aclose()


def test_the_data() -> None:
    names = SERVICES.name_servers | SERVICES.mail_hosts
    assert all(name == name.lower() and "." in name for name in names)
    assert is_parking_host("sub.park-mx.above.com")
    assert not is_parking_host("above.com")
    assert not is_parking_host("")
    assert not is_parking_host("com")
