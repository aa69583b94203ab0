"""Makes typing errors of mailbox providers' domains, as people make them who fill in a form.

Each kind of slip has a share, and each provider a weight: both are estimates, rounded, of what the
address lists of shops contain. A slip that yields a domain which is real is made anew, as far as
that is known: what nobody can tell apart is no error that a check could notice.
"""

from collections.abc import Callable, Collection
from random import Random
from typing import Final, NamedTuple

PROVIDERS: Final = {
    "gmail.com": 330, "hotmail.com": 120, "yahoo.com": 110, "outlook.com": 60, "icloud.com": 50,
    "aol.com": 25, "live.com": 15, "msn.com": 10, "comcast.net": 12, "googlemail.com": 6,
    "ymail.com": 4, "rocketmail.com": 2, "protonmail.com": 6, "verizon.net": 5, "sbcglobal.net": 8,
    "att.net": 6, "bellsouth.net": 4, "cox.net": 4, "charter.net": 3, "earthlink.net": 3,
    "optonline.net": 2, "shaw.ca": 2, "rogers.com": 2, "sympatico.ca": 2, "hotmail.co.uk": 14,
    "yahoo.co.uk": 12, "btinternet.com": 8, "sky.com": 3, "virginmedia.com": 3, "ntlworld.com": 3,
    "talktalk.net": 2, "blueyonder.co.uk": 2, "web.de": 20, "gmx.de": 20, "gmx.net": 8,
    "t-online.de": 12, "freenet.de": 5, "hotmail.de": 3, "yahoo.de": 4, "gmx.at": 3,
    "bluewin.ch": 3, "hotmail.fr": 9, "orange.fr": 9, "wanadoo.fr": 6, "free.fr": 6,
    "yahoo.fr": 6, "laposte.net": 4, "sfr.fr": 4, "hotmail.it": 6, "libero.it": 9,
    "virgilio.it": 3, "alice.it": 3, "yahoo.it": 4, "hotmail.es": 5, "yahoo.es": 4,
    "telefonica.net": 1, "ziggo.nl": 3, "telenet.be": 3, "seznam.cz": 4, "wp.pl": 5, "onet.pl": 3,
    "interia.pl": 3, "mail.ru": 18, "yandex.ru": 12, "rambler.ru": 3, "ukr.net": 3,
    "hotmail.com.br": 2, "yahoo.com.br": 8, "uol.com.br": 5, "bol.com.br": 3, "terra.com.br": 3,
    "yahoo.com.mx": 3, "yahoo.com.ar": 3, "bigpond.com": 5, "yahoo.com.au": 3, "xtra.co.nz": 2,
    "yahoo.co.in": 6, "rediffmail.com": 4, "qq.com": 10, "naver.com": 5, "yahoo.co.jp": 5,
    "walla.co.il": 1, "abv.bg": 2,
}  # fmt: skip
"""Domains with their weights."""

_ROWS: Final = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS: Final = {
    key: "".join(
        other
        for n, line in enumerate(_ROWS)
        for m, other in enumerate(line)
        if other != key and abs(n - row) <= 1 and -1 <= m - place + (n - row) // 2 <= 1
    )
    for row, keys in enumerate(_ROWS)
    for place, key in enumerate(keys)
}
"""Keys beside each other on a keyboard."""

_TOP_LEVEL: Final = {
    "com": ("con", "cmo", "co", "cm", "om", "comm", "coom", "ocm", "vom", "xom", "cpm", "c0m"),
    "net": ("ney", "ner", "nte", "nt", "ne", "et", "met", "nett", "bet", "het"),
    "de": ("d", "dee", "ed", "dw", "se", "fe"),
    "fr": ("f", "frr", "rf", "ft", "dr"),
    "it": ("t", "itt", "ti", "ir", "ut"),
    "ru": ("r", "ruu", "ur", "ry", "eu"),
    "nl": ("n", "nll", "ln", "ml"),
    "pl": ("p", "pll", "lp", "ol"),
    "uk": ("u", "ukk", "ku", "uj"),
    "br": ("b", "brr", "rb", "bt"),
}
_FIRST: Final = 0.15
"""Share of slips that may be in the first letter."""
_OTHER_TOP_LEVEL: Final = ("con", "om")
_OTHER_ENDINGS: Final = ("com", "net", "org", "co", "de", "fr", "it", "es", "co.uk", "com.br", "ru")


class Slip(NamedTuple):
    """A domain with a typing error."""

    kind: str
    domain: str
    meant: str


def _place(name: str, random: Random) -> int:
    """Return a place in a name, seldom the first: people see a slip there."""
    first = len(name) == 1 or random.random() < _FIRST
    return random.randrange(0 if first else 1, len(name))


def _split(domain: str) -> tuple[str, str]:
    name, _, ending = domain.partition(".")
    return name, ending


def _missing(domain: str, random: Random) -> str:
    name, ending = _split(domain)
    place = _place(name, random)
    return f"{name[:place]}{name[place + 1 :]}.{ending}"


def _doubled(domain: str, random: Random) -> str:
    name, ending = _split(domain)
    place = _place(name, random)
    return f"{name[:place]}{name[place]}{name[place:]}.{ending}"


def _exchanged(domain: str, random: Random) -> str:
    name, ending = _split(domain)
    place = random.randrange(max(1, len(name) - 1))
    return f"{name[:place]}{name[place + 1 : place + 2]}{name[place]}{name[place + 2 :]}.{ending}"


def _neighbour(domain: str, random: Random) -> str:
    name, ending = _split(domain)
    place = _place(name, random)
    key = random.choice(_NEIGHBOURS.get(name[place], "x"))
    return f"{name[:place]}{key}{name[place + 1 :]}.{ending}"


def _added(domain: str, random: Random) -> str:
    name, ending = _split(domain)
    place = _place(name, random)
    key = random.choice(_NEIGHBOURS.get(name[place], "x"))
    return f"{name[: place + 1]}{key}{name[place + 1 :]}.{ending}"


def _top_level(domain: str, random: Random) -> str:
    front, _, top = domain.rpartition(".")
    return f"{front}.{random.choice(_TOP_LEVEL.get(top, _OTHER_TOP_LEVEL))}"


def _dot(domain: str, random: Random) -> str:
    name, ending = _split(domain)
    forms = (
        f"{domain.replace('.', '')}.{ending.rpartition('.')[2]}",  # gmailcom.com
        f"{name}{ending[0]}.{ending[1:]}",  # gmailc.om
        f"{name[:-1]}.{name[-1]}{ending}",  # gmai.lcom
        f"{name[0]}.{name[1:]}.{ending}",  # g.mail.com
        f"{name}.{ending}.{ending.rpartition('.')[2]}",  # gmail.com.com
        f"www.{name}.{ending}",
    )
    return random.choice(forms)


def _ending(domain: str, random: Random) -> str:
    name, _ = _split(domain)
    return f"{name}.{random.choice(_OTHER_ENDINGS)}"


def _two(domain: str, random: Random) -> str:
    one, two = random.sample((_missing, _doubled, _exchanged, _neighbour, _top_level), 2)
    return two(one(domain, random), random)


KINDS: Final[dict[str, tuple[int, Callable[[str, Random], str]]]] = {
    "letter missing": (22, _missing),
    "letter doubled": (9, _doubled),
    "letters exchanged": (16, _exchanged),
    "key beside the right one": (11, _neighbour),
    "key beside it as well": (6, _added),
    "top-level domain": (18, _top_level),
    "dot missing or moved": (5, _dot),
    "another ending": (5, _ending),
    "two slips": (8, _two),
}
"""Kinds of slips with their shares in percent."""


def make(number: int, real: Collection[str], random: Random) -> list[Slip]:
    """Return typing errors none of which is one of the `real` domains."""
    domains, weights = list(PROVIDERS), list(PROVIDERS.values())
    kinds, shares = list(KINDS), [share for share, _ in KINDS.values()]
    made: list[Slip] = []
    while len(made) < number:
        (meant,) = random.choices(domains, weights)
        (kind,) = random.choices(kinds, shares)
        domain = KINDS[kind][1](meant, random)
        labels = domain.split(".")
        valid = all(label.strip("-") == label != "" for label in labels)
        if valid and domain != meant and domain not in real:
            made.append(Slip(kind, domain, meant))
    return made
