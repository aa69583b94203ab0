"""No check raises, whatever the valid address and the mail route are."""

from hypothesis import given
from hypothesis import strategies as st

from tests.validators.addresses import EVERYTHING
from validators.address import Address, parse
from validators.checks import Inputs, build
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
from validators.domains import DomainCheck
from validators.lists import Entries, Lists
from validators.suppression import Suppression
from validators.verdict import Finding


class Nobody:
    """A suppression list without entries."""

    def find(self, group: object) -> list[Suppression | None]:
        """Find nothing."""
        del group
        return []


LISTS = Lists(
    Entries(
        disposable=frozenset({"throwaway.example"}),
        trap_mx=frozenset({"traps.example", "203.0.113.0/24", "2001:db8::/32"}),
    )
)
RESOLVER = Resolver([])
CHECKS = build(
    Inputs(suppressions=Nobody(), resolver=RESOLVER, lists=LISTS, blocklists=("dbl.example.org",))
)

LOCAL = st.one_of(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789._+-=/!#'&", min_size=1, max_size=64),
    st.text(min_size=1, max_size=20),
    st.text(min_size=1, max_size=20).map(lambda text: f'"{text}"'),
    st.sampled_from(
        ["spamtrap", "no.spam", "xk7qz2vf9t", "a+b", "+", "\u0131\u015f\u0131k", "\u212a"]
    ),
)
DOMAIN = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?(\.[a-z]{2,10}){1,3}", fullmatch=True),
    st.sampled_from(["[192.0.2.1]", "[IPv6:2001:db8::1]", "\u4f8b\u3048.jp", "b\u00fccher.de"]),
    st.text(min_size=1, max_size=20).map(lambda text: f"{text}.com"),
)
HOST = st.one_of(
    st.from_regex(r"[a-z0-9_-]{1,20}(\.[a-z0-9-]{1,10}){0,4}", fullmatch=True),
    st.sampled_from(["", "localhost", "traps.example", "mx.\\001odd.example", "192.0.2.1"]),
)
ROUTE = st.one_of(
    st.builds(Hosts, st.lists(HOST, min_size=1, max_size=8).map(tuple), st.booleans()),
    st.sampled_from(
        [None, NullMx(), NoDomain(), NoHost("gone"), Unroutable("10.0.0.1"), Unknown("SERVFAIL")]
    ),
)


@given(st.tuples(LOCAL, DOMAIN), ROUTE)
def test_any_valid_address_and_any_route(parts: tuple[str, str], route: MailRoute | None) -> None:
    address = parse("@".join(parts), EVERYTHING)
    if not isinstance(address, Address):
        return
    if address.domain.startswith("["):
        literal = address.domain[1:-1].removeprefix("IPv6:")
        route = Hosts((literal,), implicit=True)
    for check in CHECKS:
        if isinstance(check, DomainCheck):
            found = check.find(address.domain, route)
            if found is not None and not isinstance(found, Finding):
                found.close()  # type: ignore[attr-defined] # a coroutine, which would ask DNS
            elif found is not None:
                printable(found)
        else:
            findings = check.examine([address, address])
            assert not hasattr(findings, "__await__")
            assert len(findings) in {0, 2}
            for each in findings:
                if each is not None:
                    printable(each)


def printable(finding: Finding) -> None:
    """A detail stands in replies and logs."""
    assert finding.detail.isascii()
    assert finding.detail.isprintable()
