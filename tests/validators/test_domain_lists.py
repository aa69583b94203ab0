"""The checks that look domains up in lists.

They are disposable, private_relay, free_provider and unknown_tld.
"""

import pytest
from disposable_email_domains import blocklist

from tests.traps.domains import real_domains
from validators.checks.disposable import DisposableCheck
from validators.checks.free_provider import FreeProviderCheck
from validators.checks.private_relay import DOMAINS, PrivateRelayCheck
from validators.checks.unknown_tld import UnknownTldCheck
from validators.dns import Hosts, NoDomain
from validators.lists import Entries, ListName, Lists, read
from validators.mailbox_domains import data
from validators.top_level import PRIVATE, root_zone
from validators.verdict import Finding, Reason

DISPOSABLE = Finding(Reason.DISPOSABLE)


@pytest.mark.parametrize(
    "domain",
    [
        "mailinator.com",
        "guerrillamail.com",
        "10minutemail.com",
        "yopmail.com",
        "sub.mailinator.com",
    ],
)
def test_disposable_domains(domain: str) -> None:
    assert DisposableCheck(Lists(), DOMAINS).find(domain, None) == DISPOSABLE


@pytest.mark.parametrize(
    "domain",
    [
        *("gmail.com", "duck.com", "mozmail.com", "simplelogin.com", "ann.anonaddy.com"),
        *("privaterelay.appleid.com", "mailinator.com.example", "mailinator.example", "com"),
        *("example.com", "[192.0.2.1]", "xn--bcher-kva.example"),
    ],
)
def test_domains_that_are_not_disposable(domain: str) -> None:
    assert DisposableCheck(Lists(), DOMAINS).find(domain, None) is None


def test_no_real_domain_and_no_large_provider_is_disposable() -> None:
    check = DisposableCheck(Lists(), DOMAINS)
    targets = [f"{each.name}.{each.usual}" for each in data().targets]
    found = [name for name in (*targets, *real_domains(), *DOMAINS) if check.find(name, None)]
    assert found == ["bigstring.com"]  # it had mail that destroys itself


def test_the_lists_of_the_operator() -> None:
    lists = Lists()
    check = DisposableCheck(lists, DOMAINS)
    assert check.find("throwaway.example", None) is None
    added = read(ListName.DISPOSABLE, ["# ours", "Throwaway.Example", "duck.com"])
    allowed = read(ListName.DISPOSABLE_ALLOW, ["mailinator.com", "kept.throwaway.example"])
    lists.current = Entries(disposable=added, disposable_allow=allowed)
    assert check.find("throwaway.example", None) == DISPOSABLE
    assert check.find("x.throwaway.example", None) == DISPOSABLE
    assert check.find("kept.throwaway.example", None) is None
    assert check.find("mailinator.com", None) is None
    assert check.find("sub.mailinator.com", None) is None
    assert check.find("yopmail.com", None) == DISPOSABLE
    lists.current = Entries()
    assert check.find("mailinator.com", None) == DISPOSABLE


def test_the_package_is_as_it_was() -> None:
    assert len(blocklist) > 3000
    assert all(domain == domain.lower() for domain in blocklist)


@pytest.mark.parametrize(
    ("domain", "is_relay"),
    [
        ("privaterelay.appleid.com", True),
        ("duck.com", True),
        ("relay.firefox.com", True),
        ("ann.anonaddy.com", True),
        ("appleid.com", False),
        ("icloud.com", False),
        ("firefox.com", False),
        ("duckduckgo.com", False),
        ("notduck.com", False),
    ],
)
def test_private_relays(domain: str, *, is_relay: bool) -> None:
    expected = Finding(Reason.PRIVATE_RELAY) if is_relay else None
    assert PrivateRelayCheck().find(domain, None) == expected


@pytest.mark.parametrize(
    ("domain", "is_free"),
    [
        ("gmail.com", True),
        ("web.de", True),
        ("hotmail.co.uk", True),
        ("qq.com", True),
        ("mail.ru", True),
        ("example.com", False),
        ("sub.gmail.com", False),
        ("siemens.com", False),
        ("[192.0.2.1]", False),
    ],
)
def test_free_providers(domain: str, *, is_free: bool) -> None:
    expected = Finding(Reason.FREE_PROVIDER) if is_free else None
    assert FreeProviderCheck().find(domain, Hosts(("mx.example",))) == expected


@pytest.mark.parametrize(
    ("domain", "label"),
    [
        ("gmail.con", "con"),
        ("example.cmo", "cmo"),
        ("firm.xn--zzzzzz", "xn--zzzzzz"),
        ("example.wbe", "wbe"),
        ("firm.123x", "123x"),
    ],
)
def test_top_level_domains_that_do_not_exist(domain: str, label: str) -> None:
    assert UnknownTldCheck().find(domain, NoDomain()) == Finding(Reason.UNKNOWN_TLD, label)


@pytest.mark.parametrize(
    "domain",
    [
        *(
            "example.com",
            "example.co.uk",
            "example.museum",
            "example.swiss",
            "xn--e1afmkfd.xn--p1ai",
        ),
        *("firm.local", "mail.internal", "firm.test", "printer.lan", "firm.corp", "x.home.arpa"),
        *("[192.0.2.1]", "[IPv6:2001:db8::1]", "a.invalid", "b.onion"),
    ],
)
def test_top_level_domains_that_are_known(domain: str) -> None:
    assert UnknownTldCheck().find(domain, None) is None


def test_trusted_domains_have_known_labels() -> None:
    check = UnknownTldCheck(["Firm.Intern", "site."])
    assert check.find("mail.firm.intern", None) is None
    assert check.find("other.site", None) is None
    assert check.find("other.interne", None) == Finding(Reason.UNKNOWN_TLD, "interne")


def test_the_root_zone() -> None:
    assert len(root_zone()) > 1200
    assert {"com", "de", "uk", "xn--p1ai", "swiss", "arpa"} <= root_zone()
    assert not {"con", "cmo", "local", "example"} & root_zone()
    assert "" not in root_zone() | PRIVATE
    assert all(label.isascii() and label == label.lower() for label in root_zone())


def test_every_real_domain_has_a_top_level_domain() -> None:
    check = UnknownTldCheck()
    assert [domain for domain in real_domains() if check.find(domain, None)] == []
