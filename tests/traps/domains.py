"""The real domains of tests/traps/real_domains.txt."""

from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("real_domains.txt")


def real_domains() -> list[str]:
    """Return the domains, in the order of the file."""
    lines = _FILE.read_text("ascii").splitlines()
    return [domain for line in lines if not line.startswith("#") for domain in line.split()]
