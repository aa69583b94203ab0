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
from validators.domains import DomainCheck
from validators.lists import parents
from validators.mailbox_domains import Target, data, listed
from validators.top_level import root_zone
from validators.verdict import Finding, Reason

_SHORT: Final = 4
"""A name of so many letters has so many neighbours that only its clearest slips are taken."""
_LONG: Final = 7
"""A name of so many letters has hardly any neighbours, even at two edits."""
_MOST_EDITS: Final = 2


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
        self._trusted = frozenset(name.strip().strip(".").lower() for name in trusted_domains)

    def find(self, domain: str, route: MailRoute | None) -> Finding | None:
        """Return the finding for a misspelling."""
        slip = misspelling(domain)
        if slip is None or any(name in self._trusted for name in parents(domain)):
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
    if ending in data().providers:
        if name == "www":
            yield Slip(ending, 1, clear=True)
        elif name + ending in data().providers:  # g.mail.com
            yield Slip(name + ending, 1, clear=True)
        return
    if name.startswith("www") and f"{name[3:]}.{ending}" in data().providers:
        yield Slip(f"{name[3:]}.{ending}", 1, clear=True)
    joined = domain.replace(".", "")
    exists = ending.rpartition(".")[2] in root_zone()
    for target in data().targets:
        whole = f"{target.name}.{target.usual}"
        if target.brand and joined in {whole.replace(".", ""), f"{target.name}comcom"}:
            yield Slip(whole, 1, clear=True)  # gmailc.om, gmailcom.com
        edits = OSA.distance(name, target.name, score_cutoff=_MOST_EDITS)
        if edits > _MOST_EDITS or (edits and not _comparable(name, target, edits)):
            continue
        meant = _ending(ending, target, exact=edits == 0, exists=exists)
        if meant is None:
            continue
        total = edits + (meant != ending)
        if 0 < total <= _MOST_EDITS:
            clear = total == 1 or not exists or (len(target.name) >= _LONG and target.brand)
            yield Slip(f"{target.name}.{meant}", total, clear)


def _comparable(name: str, target: Target, edits: int) -> bool:
    """Return whether a name that differs may be the target's: short names have real neighbours."""
    length = len(target.name)
    if length <= _SHORT:
        doubled = len(name) > length and _without_repeats(name) == _without_repeats(target.name)
        exchanged = sorted(name) == sorted(target.name) and edits == 1
        return doubled or exchanged
    if edits > 1:
        return target.brand
    return target.brand or length > _SHORT + 1


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
    return target.usual if exact and target.brand else None


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


def build(inputs: Inputs) -> TypoCheck:
    """Return the check."""
    return TypoCheck(inputs.trusted_domains)
