"""Judges a group of recipients: local checks first, the ones that wait last."""

import logging
from collections.abc import Awaitable, Sequence
from typing import Protocol, TypeAlias

from validators.address import Address
from validators.checks.syntax import Syntax
from validators.policy import Policy
from validators.verdict import Action, Finding, Reason, Verdict

Facts: TypeAlias = Sequence[Finding | None]
"""What a check found: one entry for each recipient of the group, in its order."""


class Check(Protocol):
    """States facts about recipients; what they lead to is the policy's business."""

    name: str

    def examine(self, group: Sequence[Address]) -> Facts | Awaitable[Facts]:
        """Return the facts at once if they are known, and an awaitable only if they are not."""


class Judgement:
    """What was decided on one recipient, and every fact it rests on."""

    __slots__ = ("address", "findings", "text", "verdict")

    def __init__(
        self,
        text: str,
        address: Address | None,
        verdict: Verdict,
        findings: tuple[tuple[Finding, Action], ...] = (),
    ) -> None:
        """Hold the recipient as given, its address if it is one, the verdict and its reasons."""
        self.text = text
        self.address = address
        self.verdict = verdict
        self.findings = findings
