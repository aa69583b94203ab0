"""Which mailbox provider a mail host belongs to: a bounded label, never a host name."""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Final

OTHER: Final = "other"


def _read() -> Mapping[str, str]:
    """Return the label by domain of a provider's mail hosts, from the data file."""
    file = resources.files("validators.data").joinpath("mailbox_providers.toml")
    providers = tomllib.loads(file.read_text("utf-8"))
    return {domain: label for label, domains in providers.items() for domain in domains}


_LABELS: Final = _read()
PROVIDERS: Final = (*dict.fromkeys(_LABELS.values()), OTHER)
"""Every label there can be."""


@lru_cache(maxsize=4096)
def provider_of(host: str) -> str:
    """Return the provider of a mail host by the longest domain that is known, or OTHER."""
    while host:
        label = _LABELS.get(host)
        if label is not None:
            return label
        host = host.partition(".")[2]
    return OTHER
