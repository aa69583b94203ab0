"""What checks state about a recipient (Finding), and what the policy decides (Verdict)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from validators.reasons import Action, Reason

__all__ = [
    "ACCEPT",
    "CLEAR",
    "Accept",
    "Action",
    "Defer",
    "Finding",
    "Findings",
    "Reason",
    "Reject",
    "Verdict",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check states about one recipient. `detail` is printable ASCII for people to read."""

    reason: Reason
    detail: str = ""


Findings: TypeAlias = Sequence[Finding | None]
"""The result of a check: a finding or None for each recipient of the group, in order; or CLEAR."""


class _Clear(tuple[None, ...]):
    __slots__ = ()


CLEAR: Final[Findings] = _Clear()
"""The result of a check that has no finding on any recipient of the group; compared by `is`."""


@dataclass(frozen=True, slots=True)
class Accept:
    """No finding leads to a rejection or a deferral."""

    name: ClassVar[str] = "accept"


@dataclass(frozen=True, slots=True)
class Defer:
    """A finding defers the recipient: the client may try again later (4yz)."""

    reason: Reason
    detail: str = ""
    name: ClassVar[str] = "defer"


@dataclass(frozen=True, slots=True)
class Reject:
    """A finding rejects the recipient (5yz)."""

    reason: Reason
    detail: str = ""
    name: ClassVar[str] = "reject"


Verdict: TypeAlias = Accept | Defer | Reject

ACCEPT = Accept()
