"""The mailbox provider of a mail host, as one of a fixed set of labels."""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Final

OTHER: Final = "other"


def _read() -> Mapping[str, str]:
    """Read the data file: labels by the domain of a provider's mail hosts."""
    file = resources.files("validators.data").joinpath("mailbox_providers.toml")
    providers = tomllib.loads(file.read_text("utf-8"))
    return {domain: label for label, domains in providers.items() for domain in domains}


_LABELS: Final = _read()
PROVIDERS: Final = (*dict.fromkeys(_LABELS.values()), OTHER)
"""All labels."""


@lru_cache(maxsize=4096)
def provider_of(host: str) -> str:
    """Return the provider of a mail host, by the longest suffix in the data file, or OTHER."""
    while host:
        label = _LABELS.get(host)
        if label is not None:
            return label
        host = host.partition(".")[2]
    return OTHER
