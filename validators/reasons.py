"""The table of reasons: everything a check can state about a recipient, one row each.

The default policy, the replies, the policy settings and their help, the label values of the
metrics, the list of checks and the tables of the documentation are made from these rows.
"""

import enum
from dataclasses import dataclass
from typing import Final, Self


class Action(enum.StrEnum):
    """What the policy does about a finding. OBSERVE counts and logs it and changes no verdict."""

    REJECT = "reject"
    DEFER = "defer"
    OBSERVE = "observe"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is fixed for one reason. Replies are given by their keys in `relay.reply.TABLE`."""

    meaning: str
    """One sentence for the operator."""
    check: str | None = None
    """Module under validators/checks/ that states it; None if the pipeline itself does."""
    default: Action = Action.REJECT
    """What the policy does unless it is configured."""
    reply: str = "POLICY_REFUSAL"
    """Reply to RCPT when the recipient is rejected."""
    deferral: str = "POLICY_DEFER"
    """Reply to RCPT or MAIL when the recipient or the sender is deferred."""
    sender_reply: str | None = None
    """Reply to MAIL when the sender is rejected; None if the reason never concerns a sender."""
    weight: float = 0.0
    """Evidence for a recipient's risk, in log odds (natural logarithm)."""
    unknown: bool = False
    """It says that no answer was to be had, and nothing about the recipient: never a refusal."""


_NO_ROW: Final = Row(meaning="")


class Reason(enum.StrEnum):
    """What a finding states; the value names it in settings, metric labels, logs and replies.

    Checks are asked, and findings are listed, in the order of the rows.
    """

    row: Row

    def __new__(cls, value: str, row: Row = _NO_ROW) -> Self:
        """Attach a row to a member.

        `row` has a default only for type checkers, which take the look-up of a member by its
        value, `Reason("syntax")`, for a call of this method.
        """
        member = str.__new__(cls, value)
        member._value_ = value
        member.row = row
        return member

    SYNTAX = (
        "syntax",
        Row(
            meaning="The address is not valid.",
            reply="BAD_RECIPIENT",
            sender_reply="BAD_SENDER",
        ),
    )
    ROLE_ACCOUNT = (
        "role_account",
        Row(meaning="The address is a role account.", check="role"),
    )
    SUPPRESSED = (
        "suppressed",
        Row(meaning="The recipient is on the suppression list.", check="suppression"),
    )
    STORE_UNAVAILABLE = (
        "store_unavailable",
        Row(
            meaning="The suppression store gave no answer (see `on_store_failure`).",
            check="suppression",
            default=Action.DEFER,
            deferral="STORE_UNAVAILABLE",
            unknown=True,
        ),
    )
    NO_DOMAIN = (
        "no_domain",
        Row(meaning="The domain does not exist.", check="mx", reply="NO_DOMAIN"),
    )
    NO_MAIL_HOST = (
        "no_mail_host",
        Row(meaning="The domain has no mail host.", check="mx", reply="NO_MAIL_HOST"),
    )
    NULL_MX = (
        "null_mx",
        Row(
            meaning="The domain has a null MX record: it takes no mail (RFC 7505).",
            check="mx",
            reply="NULL_MX",
            sender_reply="SENDER_NULL_MX",
        ),
    )
    UNROUTABLE = (
        "unroutable",
        Row(
            meaning="Every mail host is loopback, private or otherwise unroutable.",
            check="mx",
            reply="UNROUTABLE",
        ),
    )
    DNS_UNAVAILABLE = (
        "dns_unavailable",
        Row(
            meaning="DNS gave no answer.",
            check="mx",
            default=Action.DEFER,
            deferral="DNS_UNAVAILABLE",
            unknown=True,
        ),
    )
    CHECK_FAILED = (
        "check_failed",
        Row(
            meaning="A check crashed.",
            default=Action.DEFER,
            deferral="OUR_FAULT",
            unknown=True,
        ),
    )


UNKNOWN: Final = frozenset(reason for reason in Reason if reason.row.unknown)
"""Reasons that say that no answer was to be had. No policy can turn them into a refusal."""

CHECKS: Final = tuple(dict.fromkeys(r.row.check for r in Reason if r.row.check is not None))
"""Names of the modules under validators/checks/, in the order of their first row."""
