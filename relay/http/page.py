"""The status page: one HTML document with its style inside, no script and no outside asset.

The templates are rendered by Jinja2, which escapes every value. The content security policy allows
nothing but the one style, by its hash.
"""

import base64
import functools
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Final, NamedTuple

from relay.observe.section import Section, Text

if TYPE_CHECKING:
    from jinja2 import Template

REFRESH: Final = 5
"""Seconds after which the browser loads the page again."""

_TEMPLATES: Final = resources.files("relay.http") / "templates"
_STYLE: Final = (_TEMPLATES / "page.css").read_text("utf-8")
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of every response."""


class Page(NamedTuple):
    """The contents of the status page at one moment."""

    title: str
    state: Text
    """Whether work is accepted, such as `accepting` in the tone `good`."""
    version: str
    uptime: float
    """Seconds since the start."""
    sections: Sequence[Section]


def render(page: Page) -> str:
    """Return the page as HTML.

    The first call imports Jinja2 and compiles the templates, which blocks; call it in a thread.
    """
    return _template().render(
        page=page, style=_STYLE, refresh=REFRESH, uptime=_duration(page.uptime)
    )


@functools.cache
def _template() -> "Template":
    # Imported at the first page view: a relay whose page nobody reads does not hold it in memory.
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        autoescape=True,
        keep_trailing_newline=True,
        loader=FunctionLoader(lambda name: (_TEMPLATES / name).read_text("utf-8")),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html")


def _duration(seconds: float) -> str:
    """Write the two largest units, such as `3 d 4 h`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{n} {unit}" for n, unit in parts if n][:2]
    return " ".join(shown) or "0 s"
