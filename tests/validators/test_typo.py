"""The check `typo`: slips that it has to notice, near misses that it must not, and DNS."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.traps.domains import real_domains
from validators.address import Address, parse
from validators.checks.typo import TypoCheck, misspelling
from validators.dns import Hosts, MailRoute, NoDomain, NoHost, NullMx, Unknown, Unroutable
from validators.keyboard import NEIGHBOURS, one_slip
from validators.mailbox_domains import data
from validators.verdict import Finding, Reason

CHECK = TypoCheck()
OWN_MX = Hosts(("mx.example.com",))


@pytest.mark.parametrize(
    ("domain", "meant"),
    [
        # a letter missing, doubled, exchanged, wrong, too many
        ("gmal.com", "gmail.com"),
        ("gmial.com", "gmail.com"),
        ("gmaill.com", "gmail.com"),
        ("gnail.com", "gmail.com"),
        ("gmailk.com", "gmail.com"),
        ("hotmial.com", "hotmail.com"),
        ("homail.com", "hotmail.com"),
        ("htomail.co.uk", "hotmail.co.uk"),
        ("yaho.com", "yahoo.com"),
        ("yhaoo.fr", "yahoo.fr"),
        ("outlok.com", "outlook.com"),
        ("iclould.com", "icloud.com"),
        ("comcats.net", "comcast.net"),
        ("btinernet.com", "btinternet.com"),
        ("wanado.fr", "wanadoo.fr"),
        ("liberp.it", "libero.it"),
        # short names: only what a finger does
        ("aool.com", "aol.com"),
        ("mnsn.com", "msn.com"),
        ("wbe.de", "web.de"),
        ("gxm.net", "gmx.net"),
        ("gmmx.de", "gmx.de"),
        ("lvie.com", "live.com"),
        ("alcie.it", "alice.it"),
        ("asol.com", "aol.com"),
        # the ending
        ("gmail.con", "gmail.com"),
        ("gmail.cmo", "gmail.com"),
        ("gmail.co", "gmail.com"),
        ("gmail.om", "gmail.com"),
        ("gmail.comm", "gmail.com"),
        ("aol.con", "aol.com"),
        ("comcast.nte", "comcast.net"),
        ("t-online.dee", "t-online.de"),
        ("shaw.con", "shaw.ca"),
        ("telenet.con", "telenet.be"),
        ("gmail.de", "gmail.com"),
        ("gmail.com.br", "gmail.com"),
        ("hotmail.couk", "hotmail.co.uk"),
        ("yahoo.comm.br", "yahoo.com.br"),
        # the dot
        ("gmailcom.com", "gmail.com"),
        ("gmailc.om", "gmail.com"),
        ("gmai.lcom", "gmail.com"),
        ("g.mail.com", "gmail.com"),
        ("hotmailco.uk", "hotmail.co.uk"),
        ("gmail.com.com", "gmail.com"),
        ("www.gmail.com", "gmail.com"),
        ("wwwgmail.com", "gmail.com"),
        ("web.d.e", "web.de"),
        # two slips
        ("gmial.con", "gmail.com"),
        ("hotmial.co", "hotmail.com"),
        ("outllok.cm", "outlook.com"),
        ("protnmial.com", "protonmail.com"),
    ],
)
def test_slips(domain: str, meant: str) -> None:
    assert CHECK.find(domain, None) == Finding(Reason.TYPO_SUSPECT, meant)


@pytest.mark.parametrize(
    "domain",
    [
        *("gmail.com", "mail.com", "ymail.com", "email.com", "gmx.net", "live.ca", "yahoo.ca"),
        *("usa.com", "yandex.eu", "hotmail.co.uk", "yahoo.com.br", "googlemail.com"),
        # companies and others whose names are near
        *("aon.com", "aver.com", "coxmail.com", "fox.com", "box.com", "sky.de", "web.com"),
        *("msc.com", "mai.ru", "mil.ru", "gmc.com", "wsj.com", "al.com", "ms.com", "att.com"),
        *("docmail.com", "yopmail.fr", "homemail.co.za", "cpaonline.net", "mailde.de"),
        *("horizon.net", "orange.com", "sfr.com", "free.com", "slice.it", "trial.it"),
        *("libero.com", "planet.com", "postmail.ch", "infomail.de", "terra.org"),
        # subdomains of the providers, and of others
        *("mail.gmail.com", "fr.yahoo.com", "students.live.com", "al.ice.it", "mx.web.de"),
        # names inside a company
        *("gmail.local", "mail.corp", "free.local", "outlook.lan", "live.internal"),
        *("example.com", "xn--bcher-kva.example", "[192.0.2.1]", "[IPv6:2001:db8::1]"),
    ],
)
def test_near_misses(domain: str) -> None:
    assert CHECK.find(domain, OWN_MX) is None
    assert CHECK.find(domain, None) is None


@pytest.mark.parametrize(
    "route",
    [
        NoDomain(),
        NoHost(),
        NullMx(),
        Unroutable("192.168.0.1"),
        Hosts(("gmal.com",), implicit=True),
        Hosts(("mx1.parkingcrew.net",)),
        Hosts(("park-mx.above.com", "mx.example.com")),
    ],
)
def test_dns_speaks_against_it(route: MailRoute) -> None:
    assert CHECK.find("gmal.com", route) == Finding(Reason.TYPO_DOMAIN, "gmail.com")
    assert CHECK.find("gmail.com", route) is None
    assert CHECK.find("unrelated.com", route) is None


@pytest.mark.parametrize("route", [OWN_MX, Unknown("SERVFAIL"), None])
def test_dns_does_not_speak_against_it(route: MailRoute | None) -> None:
    assert CHECK.find("gmal.com", route) == Finding(Reason.TYPO_SUSPECT, "gmail.com")


def test_two_edits_of_a_short_brand_need_dns() -> None:
    assert CHECK.find("gmoi.com", None) is None
    assert CHECK.find("gmoi.com", OWN_MX) is None
    assert CHECK.find("gmoi.com", NoDomain()) == Finding(Reason.TYPO_DOMAIN, "gmail.com")


def test_trusted_domains_are_no_misspellings() -> None:
    check = TypoCheck(["Gmal.com.", ".corp-mial.example"])
    assert check.find("gmal.com", NoDomain()) is None
    assert check.find("mx.gmal.com", NoDomain()) is None
    assert check.find("gmial.com", None) == Finding(Reason.TYPO_SUSPECT, "gmail.com")


def test_no_provider_and_no_neighbour_is_a_misspelling() -> None:
    known = data().providers | data().neighbours
    assert [domain for domain in sorted(known) if misspelling(domain)] == []


@pytest.mark.parametrize(
    ("typed", "meant", "is_slip"),
    [
        ("gmil", "gmail", True),  # missing
        ("gmaail", "gmail", True),  # doubled
        ("gamil", "gmail", True),  # exchanged
        ("gmsil", "gmail", True),  # beside the right key
        ("gmasil", "gmail", True),  # beside it as well
        ("gmpil", "gmail", False),
        ("gmapil", "gmail", False),
        ("agmail", "gmail", False),
    ],
)
def test_slips_of_the_keyboard(typed: str, meant: str, *, is_slip: bool) -> None:
    assert one_slip(typed, meant) is is_slip


def test_keys_beside_each_other() -> None:
    assert NEIGHBOURS["a"] == frozenset("qwsz")
    assert NEIGHBOURS["g"] == frozenset("tyfhvb")
    assert NEIGHBOURS["p"] == frozenset("0ol")
    assert all(key in NEIGHBOURS[other] for key, others in NEIGHBOURS.items() for other in others)


LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)


@given(st.lists(LABEL, min_size=1, max_size=5).map(".".join))
@example("www")
@example("www.")
@example(".com")
@example("com")
@example("")
@example("[")
@example("gmail..com")
@example("gmail.")
@example("xn--gmail-.com")
def test_any_domain_has_a_result(domain: str) -> None:
    slip = misspelling(domain)
    assert slip is None or slip.meant in data().providers
    assert slip is None or slip.meant != domain


@given(st.emails())
def test_any_address_has_a_result(text: str) -> None:
    address = parse(text)
    if isinstance(address, Address):
        assert CHECK.find(address.domain, None) == CHECK.find(address.domain, None)


def test_a_new_domain_costs_little() -> None:
    """About 20 µs where parsing an address takes 5 µs: no domain may cost 20 addresses."""
    domains = [f"x{domain}" for domain in real_domains()]
    misspelling("warm.example")

    def costs() -> tuple[float, float]:
        misspelling.cache_clear()
        start = time.perf_counter()
        for domain in domains:
            misspelling(domain)
        middle = time.perf_counter()
        for domain in domains:
            parse(f"ann.m\u00fcller@{domain}")
        return middle - start, time.perf_counter() - middle

    assert any(typo < 3 * parsing for typo, parsing in (costs() for _ in range(5)))
