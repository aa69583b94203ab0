"""What can be said about a recipient: facts (Finding) and what follows from them (Verdict)."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias


class Reason(enum.StrEnum):
    """Every fact a check can state against a recipient; also the values of metric labels."""

    SYNTAX = "syntax"
    NO_DOMAIN = "no_domain"
    NO_MAIL_HOST = "no_mail_host"
    NULL_MX = "null_mx"
    UNROUTABLE = "unroutable"
    DNS_UNAVAILABLE = "dns_unavailable"
    ROLE_ACCOUNT = "role_account"
    SUPPRESSED = "suppressed"
    STORE_UNAVAILABLE = "store_unavailable"
    CHECK_FAILED = "check_failed"


class Action(enum.StrEnum):
    """What the policy makes of a fact; OBSERVE counts and logs it and does nothing else."""

    REJECT = "reject"
    DEFER = "defer"
    OBSERVE = "observe"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about one recipient. `detail` is printable ASCII for people, never parsed."""

    reason: Reason
    detail: str = ""


Facts: TypeAlias = Sequence[Finding | None]
"""What a check found: one entry for each recipient of the group, in its order; or CLEAR."""


class _Clear(tuple[None, ...]):
    __slots__ = ()


CLEAR: Final[Facts] = _Clear()
"""Nothing was found on anyone: what nearly every check says of nearly every group."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Nothing decisive is known against the recipient."""

    name: ClassVar[str] = "accept"


@dataclass(frozen=True, slots=True)
class Defer:
    """No answer could be had, or the policy wants to wait: try again later (4xx)."""

    reason: Reason
    detail: str = ""
    name: ClassVar[str] = "defer"


@dataclass(frozen=True, slots=True)
class Reject:
    """Something is known against the recipient, and the policy refuses it (5xx)."""

    reason: Reason
    detail: str = ""
    name: ClassVar[str] = "reject"


Verdict: TypeAlias = Accept | Defer | Reject

ACCEPT = Accept()
