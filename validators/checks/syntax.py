"""Is this an address at all? RFC 5321, 5322 and 6531."""

from collections.abc import Callable
from functools import partial

from validators.address import DEFAULT, Address, SyntaxOptions, parse
from validators.verdict import Finding


class Syntax:
    """Turns the text of a recipient into an Address; the first step of every pipeline."""

    __slots__ = ("parse",)

    parse: Callable[[str], Address | Finding]
    """Return the address, or a SYNTAX finding."""

    def __init__(self, options: SyntaxOptions = DEFAULT) -> None:
        """Allow what `options` say."""
        self.parse = parse if options == DEFAULT else partial(parse, options=options)
