"""What a metric is: its name, type, help and labels, declared as data by the part it belongs to.

A part declares its metrics as module-level constants next to its code and registers them in the
`Registry` that it is given:

    REFUSED = counter(
        "presend_sessions_refused_total",
        "SMTP sessions refused at connect, by cause",
        {"cause": ("connections", "client", "draining")},
    )

    refused = registry.counter(REFUSED)
    refused.add("client")
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from relay.observe.metrics.series import Key, Value

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Labels: TypeAlias = Mapping[str, Collection[Value]]
"""The allowed values of each label, by its name."""

CAMPAIGN: Final = "campaign"
"""The label that the registry fills in, with the campaign of the process."""

REMOTE_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Histogram bounds for work that takes one network round trip or a few."""
LOCAL_SECONDS: Final = (1e-05, 2.5e-05, 5e-05, 0.0001, 0.00025, 0.0005, *REMOTE_SECONDS)
"""Histogram bounds for work that may need no packet at all."""
WAIT_SECONDS: Final = (*LOCAL_SECONDS, 10.0, 30.0)
"""Histogram bounds for the wait in a queue that is usually empty."""
LONG_SECONDS: Final = (*REMOTE_SECONDS, 10.0, 30.0, 60.0, 300.0, 600.0)
"""Histogram bounds up to the wait after the final dot (RFC 5321 4.5.3.2.6)."""

_NONE: Final[Labels] = MappingProxyType({})


class Declaration(NamedTuple):
    """The declaration of one metric, made by `counter`, `gauge` or `histogram`."""

    name: str
    """As in a query: the name of a counter ends in `_total`."""
    kind: Kind
    help: str
    values: Labels
    """The allowed values of each label but `campaign`. Any other value counts as `other`."""
    campaign: bool
    """Whether the label `campaign` comes before the other labels."""
    preset: tuple[Key, ...]
    """Combinations of label values that are exposed from the start, at 0."""
    bounds: tuple[float, ...]
    """Upper bounds of a histogram's buckets, in seconds."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels, in the order of the exposition."""
        return (CAMPAIGN, *self.values) if self.campaign else tuple(self.values)


def counter(
    name: str,
    text: str,
    values: Labels = _NONE,
    *,
    campaign: bool = False,
    preset: Iterable[Key] | None = None,
) -> Declaration:
    """Declare a counter.

    Without `preset`, the values of a single label, and a counter without labels, start at 0;
    combinations of several labels appear when they are first counted.
    """
    return Declaration(name, "counter", text, values, campaign, _preset(values, preset), ())


def gauge(name: str, text: str, values: Labels = _NONE, *, campaign: bool = False) -> Declaration:
    """Declare a gauge; the registry reads it through a callable at each scrape."""
    return Declaration(name, "gauge", text, values, campaign, _preset(values, None), ())


def histogram(name: str, text: str, bounds: Iterable[float], values: Labels = _NONE) -> Declaration:
    """Declare a histogram with at most one label."""
    return Declaration(name, "histogram", text, values, False, (), tuple(bounds))  # noqa: FBT003


def _preset(values: Labels, preset: Iterable[Key] | None) -> tuple[Key, ...]:
    if preset is not None:
        return tuple(preset)
    if not values:
        return ((),)
    if len(values) == 1:
        (allowed,) = values.values()
        return tuple((value,) for value in allowed)
    return ()
