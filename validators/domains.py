"""What the checks of a domain find, kept for as long as its mail route is cached.

Most checks ask about the domain of a recipient only: about its name, its mail route, and what else
DNS says of it. Recipients share domains, so each domain is examined once (`DomainCheck.find`) and
not once a recipient. The result is used again until the mail route is looked up anew, or a list
that the checks read has changed (`forget`).
"""

from __future__ import annotations

from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from typing import ClassVar, Final, TypeAlias

from validators.address import parse_domain
from validators.dns import MailRoute, Resolver, Unknown
from validators.policy import Policy
from validators.reasons import Action, Reason
from validators.verdict import Finding

Found: TypeAlias = Finding | None
Entry: TypeAlias = tuple[int, Finding, Action]
"""A finding with the position of its check, and what the policy does about it."""

SIZE: Final = 50_000
"""Most domains whose findings are kept."""


class TrustedDomains:
    """Domains that are not looked up, with all their subdomains."""

    __slots__ = ("_names",)

    def __init__(self, domains: Iterable[str]) -> None:
        """Take domains as an operator writes them. ValueError if one is no domain."""
        self._names = frozenset(map(_trusted, domains))

    def __contains__(self, domain: str) -> bool:
        """Return whether a domain, in A-labels, or one of its parent domains is trusted."""
        while domain:
            if domain in self._names:
                return True
            domain = domain.partition(".")[2]
        return False


class DomainCheck:
    """A check that asks about the domain of a recipient only.

    `find` returns a finding or None, or an awaitable of it where it asks DNS for more than the mail
    route. It is called once for as long as the mail route is cached.
    """

    name: ClassVar[str]
    """The name of its module under validators/checks/; a metric label."""

    def find(self, domain: str, route: MailRoute | None) -> Found | Awaitable[Found]:
        """Return what is found about a domain.

        `domain` is as in `Address.domain`: A-labels in lower case, or a domain literal. `route` is
        None where DNS is not asked: for trusted domains, and without a resolver.
        """
        raise NotImplementedError


class Noted:
    """What the checks found about one domain."""

    __slots__ = ("acts", "entries", "provider", "route", "shown")

    def __init__(
        self, route: MailRoute | None, entries: tuple[Entry, ...], provider: str, *, acts: bool
    ) -> None:
        """`acts` means that a finding may change the verdict on a recipient."""
        self.route = route
        self.entries = entries
        self.shown = tuple((finding, action) for _, finding, action in entries)
        self.provider = provider
        self.acts = acts


class Domains:
    """Examines domains, and keeps the results. Belongs to one event loop."""

    __slots__ = ("_cached", "_checks", "_noted", "_on_failure", "_policy", "_provider", "_trusted")

    def __init__(
        self,
        checks: Iterable[tuple[int, DomainCheck]],
        policy: Policy,
        resolver: Resolver | None,
        trusted_domains: Collection[str],
        provider: Callable[[str], str],
        on_failure: Callable[[str, Exception], Finding],
    ) -> None:
        """`checks` come with their positions among all checks.

        `trusted_domains`, with their subdomains, are not looked up: ValueError if one is no domain.
        `provider` returns the mailbox provider of a domain. `on_failure` is told of a check that
        raised, and returns the finding in its place.
        """
        self._checks = tuple(checks)
        self._policy = policy
        self._cached = resolver.cached if resolver is not None else None
        self._provider = provider
        self._trusted = TrustedDomains(trusted_domains)
        self._on_failure = on_failure
        self._noted: dict[str, Noted] = {}

    def known(self, domain: str) -> Noted | None:
        """Return what is known about a domain; None if it has to be examined (again)."""
        noted = self._noted.get(domain)
        if noted is None:
            return None
        route = noted.route
        if route is not None and (self._cached is None or self._cached(domain) is not route):
            return None
        return noted

    def examine(self, domain: str) -> Noted | None:
        """Examine a domain; None if that has to wait."""
        route = None
        if self._cached is not None and self.looked_up(domain):
            route = self._cached(domain)
            if route is None:
                return None
        found = self.begin(domain, route)
        for each in found:
            if each is not None and not isinstance(each, Finding):
                _discard(found)
                return None
        return self.conclude(domain, route, found)  # type: ignore[arg-type]

    def begin(self, domain: str, route: MailRoute | None) -> list[Found | Awaitable[Found]]:
        """Ask each check about a domain; return what they found, or will find."""
        if not _is_qualified(domain):
            return []
        found: list[Found | Awaitable[Found]] = []
        for _, check in self._checks:
            try:
                found.append(check.find(domain, route))
            except Exception as error:  # noqa: BLE001 logged, and turned into a finding
                found.append(self.failure(check, error))
        return found

    def failure(self, check: DomainCheck, error: Exception) -> Finding:
        """Return the finding in place of that of a check that raised."""
        return self._on_failure(check.name, error)

    @property
    def checks(self) -> Sequence[DomainCheck]:
        """The checks, in order."""
        return [check for _, check in self._checks]

    def conclude(self, domain: str, route: MailRoute | None, found: Sequence[Found]) -> Noted:
        """Keep what was found about a domain, and return it."""
        entries: list[Entry] = []
        keeps = True
        acts = False
        for place, finding in enumerate(found):
            if finding is None:
                continue
            action = self._policy.action(finding.reason)
            if action is not Action.OFF:
                entries.append((self._checks[place][0], finding, action))
                acts = acts or action is not Action.OBSERVE
            keeps = keeps and finding.reason is not Reason.CHECK_FAILED
        acts = acts or (bool(entries) and self._policy.judges_risk)
        noted = Noted(route, tuple(entries), self._provider(domain), acts=acts)
        if keeps and not isinstance(route, Unknown):
            if len(self._noted) >= SIZE:
                del self._noted[next(iter(self._noted))]
            self._noted[domain] = noted
        return noted

    def looked_up(self, domain: str) -> bool:
        """Return whether the mail route of a domain is looked up in DNS."""
        return _is_qualified(domain) and domain not in self._trusted

    def forget(self) -> None:
        """Examine every domain again: a list that the checks read has changed."""
        self._noted.clear()


def _is_qualified(domain: str) -> bool:
    """Return whether a domain is a fully qualified name (RFC 5321 2.3.5), or a domain literal."""
    return "." in domain or domain[:1] == "["


def _discard(found: Sequence[Found | Awaitable[Found]]) -> None:
    """Close the coroutines that nobody will await."""
    for each in found:
        if isinstance(each, Coroutine):
            each.close()


def _trusted(domain: str) -> str:
    """Return a trusted domain in A-labels. A single label is allowed: it stands for a whole TLD."""
    domain = domain.strip().rstrip(".").removeprefix(".")
    if "." not in domain:
        parse_domain(f"{domain}.example")
        return domain.lower()
    return parse_domain(domain)


Examined: TypeAlias = Mapping[str, Noted]
"""Domains with what was found about them."""
