"""Helpers to ask checks in tests."""

import dns.message
import dns.rdatatype

from tests.support.dns import Script
from tests.support.dns_shapes import NXDOMAIN, SOA, reply
from tests.validators.addresses import EVERYTHING, valid
from validators.dns import MailRoute
from validators.domains import DomainCheck
from validators.pipeline import Check
from validators.verdict import Finding


async def find(check: DomainCheck, domain: str, route: MailRoute | None) -> Finding | None:
    """Ask a check about a domain, and wait if it has to."""
    found = check.find(domain, route)
    return found if found is None or isinstance(found, Finding) else await found


def examined(check: Check, *texts: str) -> list[Finding | None]:
    """Ask a check that does not wait about addresses."""
    group = [valid(text, EVERYTHING) for text in texts]
    findings = check.examine(group)
    assert not hasattr(findings, "__await__")
    return list(findings) or [None] * len(group)


def records(zone: dict[tuple[str, str], str]) -> Script:
    """Return a script with records by name and type; other names do not exist.

    A value is one record's data or several, divided by `|`; "" for an answer without records.
    """
    names = {name for name, _ in zone}

    def script(query: dns.message.Message, _: bool) -> bytes:  # noqa: FBT001 as Script
        question = query.question[0]
        name = question.name.to_text().lower().removesuffix(".")
        kind = dns.rdatatype.to_text(question.rdtype)
        data = zone.get((name, kind), "")
        if data:
            return reply(query, *(f"@ 60 {kind} {each}" for each in data.split("|"))).to_wire()
        soa = SOA.replace("example.", ".", 1)
        if name in names:
            return reply(query, authority=(soa,)).to_wire()
        return reply(query, authority=(soa,), rcode=NXDOMAIN).to_wire()

    return script
