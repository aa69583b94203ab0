"""Recipients whose domain is a misspelling of a mailbox provider's.

A domain is compared with the providers' in two parts: the name and what follows it, such as `gmail`
and `com`. Edits are counted by Damerau: a letter too many, missing, wrong, or two exchanged.
"""

from collections.abc import Collection, Iterator
from functools import cache, lru_cache
from typing import ClassVar, Final, NamedTuple

from rapidfuzz.distance import OSA

from validators.checks import Inputs
from validators.checks.parked import is_parking_host
from validators.dns import Hosts, MailRoute, NoDomain, NoHost, NullMx, Unroutable
from validators.domains import DomainCheck, TrustedDomains
from validators.keyboard import one_slip
from validators.mailbox_domains import Target, data, listed
from validators.top_level import PRIVATE, root_zone
from validators.verdict import Finding, Reason

_SHORTEST: Final = 4
"""A name of fewer letters has so many neighbours that only its clearest slips are taken."""
_SHORT: Final = 5
"""A name of at most so many has neighbours: a slip has to be one of the keyboard."""
_LONG: Final = 7
"""A name of so many letters has hardly any neighbours, even at two edits."""
_MOST_EDITS: Final = 2
_COMMON: Final = ("mail", "online", "net")
"""Words at the end of many names: two edits before one of them make another name."""


class Slip(NamedTuple):
    """A domain that was probably meant, and how sure that is without DNS."""

    meant: str
    edits: int
    clear: bool
    """It is a misspelling by its looks. If not, DNS has to speak against it."""


class TypoCheck(DomainCheck):
    """States TYPO_DOMAIN where DNS speaks against the domain, else TYPO_SUSPECT.

    The detail is the domain that was probably meant.
    """

    name: ClassVar[str] = "typo"

    def __init__(self, trusted_domains: Collection[str] = ()) -> None:
        """`trusted_domains` and their subdomains are no misspellings."""
        _known(), root_zone()  # read now, and not in the event loop
        self._trusted = TrustedDomains(trusted_domains)

    def find(self, domain: str, route: MailRoute | None) -> Finding | None:
        """Return the finding for a misspelling."""
        slip = misspelling(domain)
        if slip is None or domain in self._trusted:
            return None
        if speaks_against(route):
            return Finding(Reason.TYPO_DOMAIN, slip.meant)
        return Finding(Reason.TYPO_SUSPECT, slip.meant) if slip.clear else None


def speaks_against(route: MailRoute | None) -> bool:
    """Return whether a mail route shows that a domain is no provider's: none, parked or null."""
    match route:
        case NoDomain() | NoHost() | NullMx() | Unroutable():
            return True
        case Hosts():
            return route.implicit or any(is_parking_host(host) for host in route.hosts)
        case _:
            return False


@lru_cache(maxsize=65_536)
def misspelling(domain: str) -> Slip | None:
    """Return what was probably meant by a domain, or None if it is none of the providers'."""
    if domain in _known() or domain[:1] == "[":
        return None
    best: Slip | None = None
    for slip in _slips(domain):
        if best is None or slip.edits < best.edits:
            best = slip
    return best


def _slips(domain: str) -> Iterator[Slip]:
    """Yield the providers' domains that are near."""
    name, _, ending = domain.partition(".")
    top = ending.rpartition(".")[2]
    if top in PRIVATE:
        return
    if ending in data().providers:
        if name == "www":
            yield Slip(ending, 1, clear=True)
        elif name + ending in data().providers:  # g.mail.com
            yield Slip(name + ending, 1, clear=True)
        return
    exists = top in root_zone()
    if name.startswith("www") and f"{name[3:]}.{ending}" in data().providers:
        yield Slip(f"{name[3:]}.{ending}", 1, clear=True)
    moved = _without_dots().get(domain.replace(".", ""))
    if moved is not None and (moved.certain or not exists):
        yield Slip(moved.domain, 1, clear=True)
    for target in data().targets:
        slip = _slip(name, ending, target, exists=exists)
        if slip is not None:
            yield slip


def _slip(name: str, ending: str, target: Target, *, exists: bool) -> Slip | None:
    """Return the target's domain that is near; `exists` says that the top-level domain does."""
    edits = OSA.distance(name, target.name, score_cutoff=_MOST_EDITS)
    if edits > _MOST_EDITS or (edits and not _comparable(name, target, edits)):
        return None
    meant = _ending(ending, target, exact=edits == 0, exists=exists)
    if meant is None:
        return None
    total = edits + (meant != ending)
    if not 0 < total <= _MOST_EDITS:
        return None
    clear = not exists or _clear(name, target, edits, total)
    return Slip(f"{target.name}.{meant}", total, clear)


class _Moved(NamedTuple):
    """A provider's domain, found by its letters without dots."""

    domain: str
    certain: bool
    """The letters alone tell: they are no subdomain of somebody else's domain."""


@cache
def _without_dots() -> dict[str, _Moved]:
    """Return the providers' domains by their letters, as for `gmailc.om` and `gmailcom.com`."""
    found: dict[str, _Moved] = {}
    for target in data().targets:
        for ending in target.endings:
            domain = f"{target.name}.{ending}"
            letters = domain.replace(".", "")
            top = ending.rpartition(".")[2]
            for written in (letters, letters + top):
                found.setdefault(written, _Moved(domain, target.brand))
    return found


def _comparable(name: str, target: Target, edits: int) -> bool:
    """Return whether a name that differs may be the target's: short names have real neighbours."""
    length = len(target.name)
    if target.brand or length > _SHORT:
        return edits == 1 or target.brand
    first = name[:1] == target.name[:1]
    if edits > 1:
        return first and _without_repeats(name) == _without_repeats(target.name)
    if not one_slip(name, target.name):
        return False
    if length == _SHORT:
        return first
    if len(name) < length:
        return first and length == _SHORTEST
    return len(name) > length or sorted(name) == sorted(target.name)


def _clear(name: str, target: Target, edits: int, total: int) -> bool:
    """Return whether a domain of `total` edits, `edits` of them in the name, is no other name.

    People see a wrong first letter, unless it is of a key beside the right one.
    """
    first = name[:1] == target.name[:1]
    if total == 1:
        return edits == 0 or first or one_slip(name, target.name)
    if not target.brand or not first:
        return False
    if edits == 1:
        return one_slip(name, target.name)
    both_before = any(
        name.endswith(word) and target.name.endswith(word) and len(target.name) < 2 * len(word) + 2
        for word in _COMMON
    )
    return len(target.name) >= _LONG and not both_before


def _without_repeats(name: str) -> str:
    return "".join(c for n, c in enumerate(name) if n == 0 or c != name[n - 1])


def _ending(ending: str, target: Target, *, exact: bool, exists: bool) -> str | None:
    """Return the ending that was meant, the same if it is one of the target's; or None."""
    if ending in target.endings:
        return ending
    near = [
        each
        for each in (target.usual, *sorted(target.endings))
        if OSA.distance(ending, each, score_cutoff=1) <= 1
        # two letters are near half of all countries
        and (not exists or len(each) > len("de"))
    ]
    if near:
        return near[0]
    return target.usual if exact and (target.brand or not exists) else None


@cache
def _known() -> frozenset[str]:
    """Return the domains that are what they seem: providers', their neighbours', and the package's.

    The package has some misspellings of the large providers: what is one edit from them is known
    only if it is in the data file.
    """
    own = data().providers | data().neighbours
    brands = {target.name for target in data().targets if target.brand}
    large = [f"{target.name}.{target.usual}" for target in data().targets if target.brand]
    others = {
        domain
        for domain in listed() - own
        if domain.partition(".")[0] not in brands
        and all(OSA.distance(domain, each, score_cutoff=1) > 1 for each in large)
    }
    return own | others


# read now, and not when the first recipient waits
_known()
_without_dots()
root_zone()


def build(inputs: Inputs) -> TypoCheck:
    """Return the check."""
    return TypoCheck(inputs.trusted_domains)
