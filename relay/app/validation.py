"""The validators, put together from settings."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from relay.app.errors import StartError
from relay.stores import open_store
from validators.address import SyntaxOptions
from validators.checks.mx import MxCheck
from validators.checks.role import RoleCheck
from validators.checks.suppression import SuppressionCheck
from validators.checks.syntax import Syntax
from validators.dns.resolver import Resolver
from validators.pipeline import Pipeline
from validators.policy import Policy
from validators.verdict import Action, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from relay.settings import JudgingSettings
    from relay.stores import Store
    from validators.dns.mail_route import MailRoute
    from validators.pipeline import Check

_logger = logging.getLogger(__name__)


class Validation(NamedTuple):
    """The validators, put together from settings."""

    pipeline: Pipeline
    store: Store


@contextlib.asynccontextmanager
async def validation(settings: JudgingSettings, *, dns: bool = True) -> AsyncIterator[Validation]:
    """The validators alone, with the store they read: for `presend check`.

    Without `dns`, mail routes are not looked up. Raises StoreError.
    """
    store = open_store(_list_of(settings), campaign=settings.campaign_id)
    routes = resolver(settings, {}, None, patient=True)
    try:
        pipeline = recipient_pipeline(settings, store, routes if dns else None)
        yield Validation(pipeline, store)
    finally:
        await routes.aclose()
        store.close()


def _list_of(settings: JudgingSettings) -> str:
    """Return the store to read; none where the operator named none and there is none.

    A list can be judged on a machine where no relay has ever run.
    """
    named = "store" in settings.model_fields_set
    if named or Path(settings.store.removeprefix("sqlite://")).exists():
        return settings.store
    _logger.warning("No suppression list: %s is not there (PRESEND_STORE)", settings.store)
    return "memory:"


def resolver(
    settings: JudgingSettings,
    known: Mapping[str, MailRoute],
    looked_up: Callable[[float], None] | None,
    *,
    patient: bool = False,
) -> Resolver:
    """Return the caching resolver; `known` are answers that need no DNS. Raises StartError.

    `patient`: for a list of recipients rather than for a client that waits.
    """
    servers = [(server.host, server.port) for server in settings.dns_servers]
    try:
        return Resolver(
            servers or None,
            timeout=settings.dns.timeout,
            max_queries=settings.dns.queries,
            cache_size=settings.dns.cache,
            known=known,
            on_lookup=looked_up,
            patient=patient,
        )
    except ValueError as error:
        message = f"PRESEND_DNS_SERVERS: {error}"
        raise StartError(message) from error


def recipient_pipeline(
    settings: JudgingSettings,
    store: Store,
    resolver: Resolver | None,
    on_failure: Callable[[str, Exception], None] | None = None,
) -> Pipeline:
    """Return what judges recipients; without `resolver`, mail routes are not looked up."""
    actions = dict(settings.policy)
    if settings.on_store_failure == "accept":
        actions.setdefault(Reason.STORE_UNAVAILABLE, Action.OBSERVE)
    checks: list[Check] = [RoleCheck(settings.role.allow), SuppressionCheck(store)]
    if resolver is not None:
        checks.append(MxCheck(resolver, settings.trusted_domains))
    return Pipeline(Syntax(_syntax(settings)), checks, Policy(actions), on_failure)


def sender_pipeline(settings: JudgingSettings, resolver: Resolver) -> Pipeline:
    """Senders are refused for syntax and for a null MX (RFC 7505 4.2), and for nothing else."""
    judged = {Reason.SYNTAX, Reason.NULL_MX}
    policy = {reason: Action.REJECT if reason in judged else Action.OFF for reason in Reason}
    options = SyntaxOptions(
        allow_quoted_local=True, allow_domain_literal=settings.syntax.allow_domain_literal
    )
    checks: list[Check] = [MxCheck(resolver, settings.trusted_domains)]
    return Pipeline(Syntax(options), checks, Policy(policy))


def _syntax(settings: JudgingSettings) -> SyntaxOptions:
    return SyntaxOptions(
        allow_quoted_local=settings.syntax.allow_quoted_local,
        allow_domain_literal=settings.syntax.allow_domain_literal,
    )
