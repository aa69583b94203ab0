"""Mail hosts of traps: of the operator's list, or shared by several misspellings."""

from collections.abc import Iterator

import pytest

from tests.support.dns import scripted
from tests.validators.checking import find, records
from validators.checks.trap_mx import TrapMxCheck
from validators.dns import Hosts, MailRoute, NoDomain, Resolver, Unknown
from validators.lists import Entries, ListError, ListName, Lists, read
from validators.verdict import Finding, Reason

ZONE = {
    ("mx.one.example", "A"): "203.0.113.7",
    ("mx.two.example", "A"): "198.51.100.255|203.0.113.200",
    ("mx.six.example", "AAAA"): "2001:db8:5::1",
    ("mx.six.example", "A"): "192.31.196.1",
    ("mx.other.example", "A"): "203.0.114.0",
}
LIST = """
# seen in the spring
traps.example          # and all below
*.wild.example
163.example
203.0.113.0/24
198.51.100.255
2001:db8:5::/48
"""


def check(text: str = LIST, resolver: Resolver | None = None) -> TrapMxCheck:
    """Return the check with a list."""
    entries = read(ListName.TRAP_MX, text.splitlines())
    return TrapMxCheck(Lists(Entries(trap_mx=entries)), resolver or Resolver([]))


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    with scripted(records(ZONE)) as address:
        yield address


@pytest.mark.parametrize(
    ("host", "detail"),
    [
        ("traps.example", "traps.example"),
        ("mx1.traps.example", "mx1.traps.example"),
        ("a.b.traps.example", "a.b.traps.example"),
        ("mx.wild.example", "mx.wild.example"),
        ("mx.163.example", "mx.163.example"),
        ("mx.one.example", "mx.one.example (203.0.113.7)"),
        ("mx.two.example", "mx.two.example (198.51.100.255)"),
        ("mx.six.example", "mx.six.example (2001:db8:5::1)"),
        ("nottraps.example", None),
        ("traps.example.com", None),
        ("mx.other.example", None),
        ("unknown.example", None),
    ],
)
async def test_names_addresses_and_networks(
    server: tuple[str, int], host: str, detail: str | None
) -> None:
    resolver = Resolver([server])
    found = await find(check(resolver=resolver), "shop.example", Hosts((host,)))
    assert found == (detail and Finding(Reason.TRAP_MX, detail))
    await resolver.aclose()


async def test_any_of_several_hosts() -> None:
    route = Hosts(("mx.example.com", "mx2.traps.example"))
    found = await find(check(), "shop.example", route)
    assert found == Finding(Reason.TRAP_MX, "mx2.traps.example")


@pytest.mark.parametrize(
    ("literal", "detail"),
    [("203.0.113.9", "203.0.113.9"), ("2001:db8:5::2", "2001:db8:5::2"), ("192.31.196.1", None)],
)
def test_a_domain_literal_is_the_address(literal: str, detail: str | None) -> None:
    tag = "IPv6:" if ":" in literal else ""
    found = check().find(f"[{tag}{literal}]", Hosts((literal,), implicit=True))
    assert found == (detail and Finding(Reason.TRAP_MX, detail))


@pytest.mark.parametrize("route", [NoDomain(), Unknown("SERVFAIL"), None])
def test_without_hosts_there_is_nothing_to_say(route: MailRoute | None) -> None:
    assert check().find("traps.example", route) is None


def test_without_networks_nothing_is_looked_up() -> None:
    assert check("traps.example").find("shop.example", Hosts(("mx.example.com",))) is None
    assert check("").find("shop.example", Hosts(("mx.example.com",))) is None


def test_several_misspellings_at_one_host() -> None:
    asked = check("")
    route = Hosts(("mx.collector.example",))
    assert asked.find("gmial.com", route) is None
    assert asked.find("gmial.com", route) is None  # the same again is no other
    assert asked.find("hotmial.com", route) is None
    assert asked.find("bakery.example", route) is None  # no misspelling
    assert asked.find("yahooo.com", route) == Finding(Reason.TRAP_MX, "mx.collector.example")
    assert asked.find("gmial.com", route) == Finding(Reason.TRAP_MX, "mx.collector.example")
    assert asked.find("bakery.example", route) is None


def test_hosts_that_serve_everybody_are_not_suspected() -> None:
    asked = check("")
    for domain in ("gmial.com", "hotmial.com", "yahooo.com", "outlok.com"):
        assert asked.find(domain, Hosts(("aspmx.l.google.com",))) is None
        assert asked.find(domain, Hosts((domain,), implicit=True)) is None


def test_each_host_is_counted_alone() -> None:
    asked = check("")
    for n, domain in enumerate(("gmial.com", "hotmial.com", "yahooo.com", "outlok.com")):
        assert asked.find(domain, Hosts((f"mx{n}.example.net",))) is None


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("Traps.Example.", "traps.example"),
        ("163.com", "163.com"),
        ("1and1.com", "1and1.com"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("192.0.2.77/24", "192.0.2.0/24"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
    ],
)
def test_lines_of_the_list(line: str, entry: str) -> None:
    assert read(ListName.TRAP_MX, [line]) == {entry}


@pytest.mark.parametrize("line", ["192.0.2.", "192.0.2.1/33", "300.1.1.1", "a b", "::g", "1.2.3"])
def test_lines_that_are_no_entries(line: str) -> None:
    with pytest.raises(ListError, match="line 1"):
        read(ListName.TRAP_MX, [line])
