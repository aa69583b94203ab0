"""The bounds of the check `typo`, and that the list and the slips are what they say."""

import re
from random import Random

from tests.docs.pages import DOCS, rows
from tests.traps.__main__ import LEAST_NOTICED, MOST_TOUCHED, measure
from tests.traps.domains import real_domains
from tests.traps.slips import KINDS, PROVIDERS, make
from validators.address import parse_domain
from validators.checks.parked import SERVICES
from validators.checks.private_relay import DOMAINS
from validators.checks.typo import misspelling
from validators.mailbox_domains import data

LEAST_DOMAINS = 1500


def test_the_list_of_real_domains() -> None:
    domains = real_domains()
    assert len(domains) >= LEAST_DOMAINS
    assert len(set(domains)) == len(domains)
    assert [parse_domain(domain) for domain in domains] == domains


def test_no_domain_of_the_list_is_in_the_data_of_the_checks() -> None:
    known = data().providers | data().neighbours | DOMAINS
    known |= SERVICES.name_servers | SERVICES.mail_hosts
    assert not known & set(real_domains())


def test_the_shares_of_the_slips() -> None:
    assert sum(share for share, _ in KINDS.values()) == 100
    assert set(PROVIDERS) <= data().providers


def test_no_slip_is_a_domain_that_is_known_to_be_real() -> None:
    real = {*real_domains(), *data().providers}
    slips = make(2000, real, Random(1))  # noqa: S311 the same each time
    assert len(slips) == 2000
    assert not real & {slip.domain for slip in slips}
    assert all(parse_domain(slip.domain) == slip.domain for slip in slips)
    assert {slip.kind for slip in slips} == set(KINDS)


def test_few_real_domains_are_touched_and_most_slips_are_noticed() -> None:
    found = measure()
    assert found.share_touched <= MOST_TOUCHED, found.touched
    assert found.share_noticed >= LEAST_NOTICED


def test_another_seed_and_every_provider_alike() -> None:
    """The share does not hang on the weights, nor on one run of the generator."""
    real = data().providers | data().neighbours
    slips = make(40_000, real, Random(12))  # noqa: S311 the same each time
    by_provider: dict[str, list[bool]] = {}
    for slip in slips:
        by_provider.setdefault(slip.meant, []).append(misspelling(slip.domain) is not None)
    shares = [sum(noticed) / len(noticed) for noticed in by_provider.values()]
    assert sum(shares) / len(shares) >= LEAST_NOTICED


def test_the_figures_in_the_documentation() -> None:
    found = measure()
    page = (DOCS / "validators.md").read_text("utf-8")
    told = re.search(r"touches ([\d.]+) % of ([\d,]+) real domains", page)
    assert told
    assert told.groups() == (f"{found.share_touched:.2%}"[:-1], f"{found.real:,}")
    told = re.search(r"notices ([\d.]+) % of the typing errors", page)
    assert told
    assert told[1] == f"{found.share_noticed:.1%}"[:-1]
    documented = {row["kind"]: row["noticed"] for row in rows(DOCS / "validators.md", "kind")}
    assert documented == {
        kind: f"{found.noticed[kind] / found.slips[kind]:.1%}".replace("%", " %") for kind in KINDS
    }
    shares = {row["kind"]: row["share of all"] for row in rows(DOCS / "validators.md", "kind")}
    assert shares == {kind: f"{share} %" for kind, (share, _) in KINDS.items()}
