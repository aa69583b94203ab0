"""Settings of the commands that judge recipients."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from relay.settings.common import CommonSettings
from relay.settings.fields import Names, Path, Servers, setting
from relay.settings.groups import Dns, Role, SyntaxRules
from validators.policy import Policy
from validators.verdict import Action, Reason


class JudgingSettings(CommonSettings):
    """How recipients are judged: all that `presend check` needs, and a part of `presend serve`."""

    trusted_domains: Names = setting(
        (), "Recipient domains, with their subdomains, that skip DNS checks.", unit="domain"
    )
    on_store_failure: Literal["defer", "accept"] = setting(
        "defer", "What happens to a recipient while the store does not answer."
    )
    dns_servers: Servers = setting(
        (), "DNS servers to ask; empty means the system's.", unit="host:port"
    )
    policy: dict[Reason, Action] = Field(
        default_factory=dict,
        description="The action for each reason that shall not have its default action.",
        json_schema_extra={"unit": ""},
    )
    dns: Dns = Dns()
    syntax: SyntaxRules = SyntaxRules()
    role: Role = Role()

    def conflicts(self) -> Iterator[tuple[Path, str]]:
        """Yield policies that would refuse a recipient of whom nothing is known."""
        yield from super().conflicts()
        if self.suppressions.required:
            yield from self._required()
        for reason, action in self.policy.items():
            try:
                Policy({reason: action})
            except ValueError as error:
                yield ("policy", reason.value), str(error)

    def _required(self) -> Iterator[tuple[Path, str]]:
        """Yield what would let recipients through while the list has too few entries."""
        required = ("suppressions", "required")
        if self.on_store_failure != "defer":
            yield required, "off where on_store_failure is accept: recipients would be accepted"
        for reason in (Reason.SUPPRESSED, Reason.STORE_UNAVAILABLE):
            if self.policy.get(reason) in {Action.OBSERVE, Action.OFF}:
                yield required, f"off where the policy for {reason} does not refuse recipients"
