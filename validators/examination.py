"""Waits for DNS where domains have to be examined. Not compiled, as waiting.py: it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Sequence
from typing import cast

from validators.dns import MailRoute, Resolver
from validators.domains import DomainCheck, Domains, Examined, Found, Noted
from validators.verdict import Finding


async def look_up(domains: Domains, resolver: Resolver | None, names: Collection[str]) -> Examined:
    """Look up the mail routes of several domains, and examine the domains side by side."""
    asked = [name for name in names if resolver is not None and domains.looked_up(name)]
    routes = await resolver.mail_routes(asked) if resolver is not None and asked else {}
    noted: dict[str, Noted] = {}
    waiting: dict[str, Awaitable[Noted]] = {}
    for name in names:
        route = routes.get(name)
        found = domains.begin(name, route)
        if all(each is None or isinstance(each, Finding) for each in found):
            noted[name] = domains.conclude(name, route, cast("list[Found]", found))
        else:
            waiting[name] = _wait(domains, name, route, found)
    if waiting:
        results = await asyncio.gather(*waiting.values())
        noted |= zip(waiting, results, strict=True)
    return noted


async def _wait(
    domains: Domains,
    name: str,
    route: MailRoute | None,
    found: Sequence[Found | Awaitable[Found]],
) -> Noted:
    pairs = zip(domains.checks, found, strict=True)
    results = await asyncio.gather(*(_one(domains, check, each) for check, each in pairs))
    return domains.conclude(name, route, results)


async def _one(domains: Domains, check: DomainCheck, found: Found | Awaitable[Found]) -> Found:
    if found is None or isinstance(found, Finding):
        return found
    try:
        return await found
    except Exception as error:  # noqa: BLE001 logged, and turned into a finding
        return domains.failure(check, error)
