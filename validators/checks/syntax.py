"""Is this an address at all? RFC 5321, 5322 and 6531."""

from dataclasses import dataclass

from validators.address import DEFAULT, Address, SyntaxOptions, parse
from validators.verdict import Finding


@dataclass(frozen=True, slots=True)
class Syntax:
    """Turns the text of a recipient into an Address; the first step of every pipeline."""

    options: SyntaxOptions = DEFAULT

    def parse(self, text: str) -> Address | Finding:
        """Return the address, or a SYNTAX finding."""
        return parse(text, self.options)
