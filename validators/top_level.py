"""Top-level domains: those of the root zone, and those that are used inside companies.

The list is the ICANN section of the Public Suffix List, in the PyPI package publicsuffixlist (data:
MPL 2.0), which has every domain of the root zone.
"""

from functools import cache
from importlib import resources
from typing import Final

from validators.address import SPECIAL_USE

PRIVATE: Final = frozenset(
    {
        *(name.rpartition(".")[2] for name in SPECIAL_USE),
        *("example", "corp", "home", "lan", "intranet", "private", "domain", "localdomain", "mail"),
        *("office", "host", "cluster", "workgroup", "consul", "docker", "ad", "dmz"),
    }
)
"""Top-level domains that are not in the public DNS, and that networks use on their own."""
_END: Final = "===END ICANN DOMAINS==="


@cache
def root_zone() -> frozenset[str]:
    """Return the top-level domains in A-labels, lower case."""
    file = resources.files("publicsuffixlist").joinpath("public_suffix_list.dat")
    found = set()
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if _END in line:
                break
            text = line.strip()
            if text and not text.startswith("//"):
                found.add(text.rpartition(".")[2].lstrip("!*"))
    return frozenset(_a_label(label) for label in found if label)


def _a_label(label: str) -> str:
    return label if label.isascii() else label.encode("idna").decode()
