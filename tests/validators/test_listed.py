"""Domain blocklists: tested first, errors never count, and nobody waits long for a silent one."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import dns.message
import pytest

from tests.support.dns import scripted, silent
from tests.validators.checking import find, records
from validators.checks import Inputs
from validators.checks import listed as module
from validators.checks.listed import Blocklist, ListedCheck, build
from validators.dns import Hosts, MailRoute, NoDomain, NullMx, Resolver, Unknown
from validators.pipeline import Pipeline
from validators.policy import Policy
from validators.suppression import Suppression
from validators.verdict import ACCEPT, Action, Finding, Reason

ZONE = "dbl.example"
MX_HOST = ("mx.shop.example", "A")
ROUTE = Hosts(("mx.host.example",))


def zone(**listed: str) -> dict[tuple[str, str], str]:
    """Return a list's records: the test entries, and names (`_` for a dot) with addresses."""
    entries = {("test.dbl.example", "A"): "127.0.0.2"}
    for name, address in listed.items():
        entries[f"{name.replace('_', '.')}.dbl.example", "A"] = address
    return entries


class Clock:
    """A clock in seconds, which the test advances."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Case:
    """A check with one list, the questions that the list got, and the clock."""

    def __init__(self, address: tuple[str, int], name: str = ZONE) -> None:
        self.asked: Counter[str] = Counter()
        self.clock = Clock()
        self.resolver = Resolver([address], timeout=10, max_ttl=0, min_ttl=0, negative_ttl=0)
        self.check = ListedCheck([Blocklist(1, name, self.resolver, self.clock)])

    async def find(self, domain: str, route: MailRoute | None = ROUTE) -> Finding | None:
        """Ask the check about a domain."""
        return await find(self.check, domain, route)


@asynccontextmanager
async def listing(entries: dict[tuple[str, str], str], name: str = ZONE) -> AsyncIterator[Case]:
    """Serve a list; `entries` may be changed later."""
    script = records(entries)
    asked: Counter[str] = Counter()

    def counted(query: dns.message.Message, tcp: bool) -> bytes | None:  # noqa: FBT001 as Script
        asked[query.question[0].name.to_text().lower().removesuffix(".")] += 1
        entries_now = records(entries)
        return entries_now(query, tcp) if entries else script(query, tcp)

    with scripted(counted) as address:
        case = Case(address, name)
        case.asked = asked
        yield case
        await case.resolver.aclose()


async def test_a_listed_domain_and_its_neighbours() -> None:
    async with listing(zone(bad_example="127.0.1.2")) as case:
        assert await case.find("bad.example") == Finding(Reason.LISTED_DOMAIN, "bad.example")
        assert await case.find("good.example") is None
        assert await case.find("sub.bad.example") is None
        assert await case.find("bad.example.com") is None


async def test_a_listed_mail_host() -> None:
    async with listing(zone(mx_host_example="127.0.1.4")) as case:
        assert await case.find("any.example") == Finding(Reason.LISTED_DOMAIN, "mx.host.example")


async def test_what_is_not_asked_about() -> None:
    async with listing(zone()) as case:
        assert await case.find("gmail.com") is None
        assert await case.find("a.example", NoDomain()) is None
        assert await case.find("a.example", NullMx()) is None
        assert await case.find("a.example", Unknown()) is None
        assert await case.find("a.example", None) is None
        assert await case.find("[192.0.2.1]", Hosts(("192.0.2.1",), implicit=True)) is None
        assert not case.asked
        # the host of a provider, and one below the domain, say nothing more than the domain
        await case.find("firm.example", Hosts(("aspmx.l.google.com",)))
        await case.find("shop.example", Hosts(("mx.shop.example",)))
        own = {name for name in case.asked if name.startswith(("aspmx", "mx."))}
        assert not own


@pytest.mark.parametrize(
    "answer",
    [
        "127.255.255.252",  # typing error in the zone
        "127.255.255.254",  # asked by an open resolver
        "127.255.255.255",  # too many questions
        "127.255.255.0",
        "127.0.1.255",  # an IP address was asked for
        "127.0.0.1",  # refused, on lists with bit masks
        "127.0.1.2|127.255.255.254",
        "192.0.2.1",  # a resolver that answers with the address of a search page
        "10.0.0.1",
    ],
)
async def test_errors_never_count(answer: str) -> None:
    async with listing(zone(bad_example=answer)) as case:
        assert await case.find("bad.example") is None


@pytest.mark.parametrize("answer", ["127.0.0.2", "127.0.1.2", "127.0.1.106", "127.0.0.4|127.0.1.5"])
async def test_codes_that_count(answer: str) -> None:
    async with listing(zone(bad_example=answer)) as case:
        assert await case.find("bad.example") == Finding(Reason.LISTED_DOMAIN, "bad.example")


async def test_the_list_is_tested_once_an_hour() -> None:
    async with listing(zone(bad_example="127.0.1.2")) as case:
        for _ in range(3):
            assert await case.find("bad.example")
        assert case.asked["test.dbl.example"] == 1
        assert case.asked["invalid.dbl.example"] == 1
        case.clock.now = 3599
        await case.find("bad.example")
        assert case.asked["test.dbl.example"] == 1
        case.clock.now = 3600
        await case.find("bad.example")
        assert case.asked["test.dbl.example"] == 2


async def test_the_test_entry_of_the_dbl_is_enough() -> None:
    entries = {
        ("dbltest.com.dbl.example", "A"): "127.0.1.2",
        ("bad.com.dbl.example", "A"): "127.0.1.2",
    }
    async with listing(entries) as case:
        assert await case.find("bad.com") == Finding(Reason.LISTED_DOMAIN, "bad.com")


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({("bad.example.dbl.example", "A"): "127.0.1.2"}, "it does not have its test entries"),
        (zone(invalid="127.0.0.2", bad_example="127.0.1.2"), "it lists a name that no list has"),
        (zone(invalid="127.255.255.254", bad_example="127.0.1.2"), "it refuses questions"),
        (
            {
                ("test.dbl.example", "A"): "127.255.255.255",
                ("bad.example.dbl.example", "A"): "127.0.1.2",
            },
            "it does not have its test entries",
        ),
    ],
)
async def test_a_list_that_fails_its_test_is_not_used_and_told_once(
    entries: dict[tuple[str, str], str], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with listing(entries) as case:
        with caplog.at_level(logging.WARNING):
            for hour in range(3):
                case.clock.now = hour * 4000.0
                assert await case.find("bad.example") is None
        assert [record.message for record in caplog.records] == [f"Blocklist 1 is not used: {why}"]
        assert case.asked["test.dbl.example"] == 3
        assert not case.asked["bad.example.dbl.example"]


async def test_a_list_that_works_again_is_used_again(caplog: pytest.LogCaptureFixture) -> None:
    entries = {("bad.example.dbl.example", "A"): "127.0.1.2"}
    async with listing(entries) as case:
        assert await case.find("bad.example") is None
        entries[("test.dbl.example", "A")] = "127.0.0.2"
        case.clock.now = 59
        assert await case.find("bad.example") is None
        case.clock.now = 60
        assert await case.find("bad.example") == Finding(Reason.LISTED_DOMAIN, "bad.example")
        assert caplog.records[-1].message == "Blocklist 1 is used again"


async def test_the_key_in_a_zone_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with listing({}, "s3cr3tk3y.dbl.dq.example") as case:
        assert await case.find("bad.example") is None
    assert "s3cr3tk3y" not in caplog.text
    assert caplog.records


async def test_a_silent_list_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    with silent() as address:
        case = Case(address)
        for _ in range(3):
            assert await case.find("bad.example") is None
        messages = [r.message for r in caplog.records if r.name == module.__name__]
        assert messages == ["Blocklist 1 is not used: it gives no answer"]
        await case.resolver.aclose()


async def test_a_list_that_falls_silent_after_its_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    answer = records(zone())

    def script(query: dns.message.Message, tcp: bool) -> bytes | None:  # noqa: FBT001 as Script
        name = query.question[0].name.to_text().lower()
        tests = name.startswith(("test.", "dbltest.", "invalid."))
        return answer(query, tcp) if tests else None

    with scripted(script) as address:
        case = Case(address)
        assert await case.find("one.example") is None
        case.check = ListedCheck([*case.check._lists])
        assert await case.find("two.example") is None
        await case.resolver.aclose()


async def test_a_silent_list_defers_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    answer = records({("shop.example", "MX"): "10 mx.shop.example.", MX_HOST: "192.31.196.1"})

    def script(query: dns.message.Message, tcp: bool) -> bytes | None:  # noqa: FBT001 as Script
        name = query.question[0].name.to_text().lower()
        return None if name.endswith("dbl.example.") else answer(query, tcp)

    with scripted(script) as address:
        resolver = Resolver([address])
        check = ListedCheck([Blocklist(1, ZONE, resolver, Clock())])
        pipeline = Pipeline(
            [check], Policy({Reason.LISTED_DOMAIN: Action.REJECT}), resolver=resolver
        )
        judging = pipeline.judge(["ann@shop.example"])
        assert isinstance(judging, Awaitable)
        (judged,) = await judging
        assert judged.verdict is ACCEPT
        assert not judged.findings
        await resolver.aclose()


async def test_a_name_that_is_too_long_for_the_list_is_not_asked() -> None:
    domain = ".".join(["a" * 60] * 4) + ".com"  # 247 characters
    async with listing(zone()) as case:
        assert await case.find(domain, Hosts((domain,), implicit=True)) is None
        assert len(case.asked) == 3


async def test_the_second_list_is_asked_if_the_first_has_no_entry() -> None:
    entries = zone()
    entries["test.two.example", "A"] = "127.0.0.2"
    entries["bad.example.two.example", "A"] = "127.0.1.2"
    with scripted(records(entries)) as address:
        resolver = Resolver([address])
        lists = [
            Blocklist(n, name, resolver, Clock()) for n, name in enumerate((ZONE, "two.example"), 1)
        ]
        found = await find(ListedCheck(lists), "bad.example", ROUTE)
        assert found == Finding(Reason.LISTED_DOMAIN, "bad.example")
        await resolver.aclose()


class Empty:
    """A suppression list without entries."""

    def find(self, group: object) -> list[Suppression | None]:
        """Find nothing."""
        del group
        return []


def test_without_a_list_or_a_resolver_there_is_no_check() -> None:
    store = Empty()
    assert build(Inputs(suppressions=store, resolver=None, blocklists=(ZONE,))) is None
    assert build(Inputs(suppressions=store, resolver=Resolver([]))) is None
    assert build(Inputs(suppressions=store, resolver=Resolver([]), blocklists=(ZONE,)))
