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
            weight=8.0,
        ),
    )
    ROLE_ACCOUNT = (
        "role_account",
        Row(meaning="The address is a role account.", check="role", weight=3.0),
    )
    HONEYPOT_LOCAL = (
        "honeypot_local",
        Row(
            meaning="The local part names a spam trap.",
            check="honeypot",
            weight=7.0,
        ),
    )
    HONEYPOT_HINT = (
        "honeypot_hint",
        Row(
            meaning="The local part contains text against address harvesters.",
            check="honeypot",
            default=Action.OBSERVE,
            weight=3.0,
        ),
    )
    RANDOM_LOCAL = (
        "random_local",
        Row(
            meaning="The local part looks made by a machine.",
            check="random_local",
            default=Action.OBSERVE,
            weight=2.5,
        ),
    )
    TAGGED = (
        "tagged",
        Row(
            meaning="The local part has a tag: `ann+news`.",
            check="tagged",
            default=Action.OBSERVE,
        ),
    )
    DUPLICATE = (
        "duplicate",
        Row(
            meaning="The same mailbox came before, perhaps in another spelling.",
            check="duplicate",
            default=Action.OBSERVE,
        ),
    )
    SUPPRESSED = (
        "suppressed",
        Row(meaning="The recipient is on the suppression list.", check="suppression", weight=7.0),
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
    TYPO_DOMAIN = (
        "typo_domain",
        Row(
            meaning="The domain is a misspelt mailbox provider, and DNS speaks against it.",
            check="typo",
            weight=6.5,
        ),
    )
    TYPO_SUSPECT = (
        "typo_suspect",
        Row(
            meaning="The domain looks like a misspelt mailbox provider.",
            check="typo",
            default=Action.OBSERVE,
            weight=3.5,
        ),
    )
    NO_DOMAIN = (
        "no_domain",
        Row(meaning="The domain does not exist.", check="mx", reply="NO_DOMAIN", weight=7.0),
    )
    NO_MAIL_HOST = (
        "no_mail_host",
        Row(meaning="The domain has no mail host.", check="mx", reply="NO_MAIL_HOST", weight=7.0),
    )
    NULL_MX = (
        "null_mx",
        Row(
            meaning="The domain has a null MX record: it takes no mail (RFC 7505).",
            check="mx",
            reply="NULL_MX",
            weight=7.0,
            sender_reply="SENDER_NULL_MX",
        ),
    )
    UNROUTABLE = (
        "unroutable",
        Row(
            meaning="Every mail host is loopback, private or otherwise unroutable.",
            check="mx",
            reply="UNROUTABLE",
            weight=7.0,
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
    IMPLICIT_MX = (
        "implicit_mx",
        Row(
            meaning="The domain has no MX record, only an address.",
            check="mx",
            default=Action.OBSERVE,
            weight=1.5,
        ),
    )
    TRAP_MX = (
        "trap_mx",
        Row(
            meaning="The mail host is listed as one of traps, or serves several misspelt domains.",
            check="trap_mx",
            default=Action.OBSERVE,
            weight=6.0,
        ),
    )
    PARKED_DOMAIN = (
        "parked_domain",
        Row(
            meaning="The domain is parked, or states that it sends no mail and has no MX.",
            check="parked",
            default=Action.OBSERVE,
            weight=4.5,
        ),
    )
    LISTED_DOMAIN = (
        "listed_domain",
        Row(
            meaning="The domain or its mail host is on a domain blocklist.",
            check="listed",
            default=Action.OBSERVE,
            weight=4.5,
        ),
    )
    DISPOSABLE = (
        "disposable",
        Row(
            meaning="The domain is one of disposable addresses.",
            check="disposable",
            default=Action.OBSERVE,
            weight=3.0,
        ),
    )
    UNKNOWN_TLD = (
        "unknown_tld",
        Row(
            meaning="The top-level domain is not in the root zone.",
            check="unknown_tld",
            default=Action.OBSERVE,
            weight=2.5,
        ),
    )
    PRIVATE_RELAY = (
        "private_relay",
        Row(
            meaning="The address is an alias at a forwarding service of people.",
            check="private_relay",
            default=Action.OBSERVE,
        ),
    )
    FREE_PROVIDER = (
        "free_provider",
        Row(
            meaning="The domain is a mailbox provider's, where anybody can have an address.",
            check="free_provider",
            default=Action.OBSERVE,
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
    RISK = (
        "risk",
        Row(
            meaning="The risk, from all findings together, reaches a threshold.",
            reply="RISK",
            deferral="RISK_DEFER",
        ),
    )


UNKNOWN: Final = frozenset(reason for reason in Reason if reason.row.unknown)
"""Reasons that say that no answer was to be had. No policy can turn them into a refusal."""

CHECKS: Final = tuple(dict.fromkeys(r.row.check for r in Reason if r.row.check is not None))
"""Names of the modules under validators/checks/, in the order of their first row."""
