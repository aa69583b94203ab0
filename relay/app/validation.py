"""The validators, put together from settings."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from relay.app.errors import StartError
from relay.app.lists import read_lists
from relay.stores import open_store
from relay.stores.required import RequiredEntries
from validators.address import SPECIAL_USE, SyntaxOptions
from validators.checks import Inputs, build
from validators.dns import Resolver
from validators.lists import Lists
from validators.pipeline import Pipeline
from validators.policy import Policy
from validators.verdict import Action, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from relay.settings import JudgingSettings
    from relay.stores import Store
    from validators.dns import MailRoute
    from validators.suppression import SuppressionLookup

_logger = logging.getLogger(__name__)

_CHECKS_LIMIT: Final = 10.0
"""Seconds for all checks of a group that wait, and more where DNS alone may take as long."""


class Validation(NamedTuple):
    """The validators, put together from settings."""

    pipeline: Pipeline
    store: Store
    resolver: Resolver


@contextlib.asynccontextmanager
async def validation(
    settings: JudgingSettings, *, dns: bool = True, reasons: Iterable[Reason] = Reason
) -> AsyncIterator[Validation]:
    """Yield the validators and the store they read, without a relay: for `presend check`.

    Without `dns`, mail routes are not looked up. `reasons` are those that are looked for.
    Raises StoreError and SettingsError.
    """
    lists = read_lists(settings.lists)
    store = open_store(_list_of(settings), campaign=settings.campaign_id)
    routes = resolver(settings, {}, None, patient=True)
    try:
        suppressions = RequiredEntries(store, settings.suppressions.required)
        pipeline = recipient_pipeline(
            settings, suppressions, routes if dns else None, lists, patient=True, reasons=reasons
        )
        yield Validation(pipeline, store, routes)
    finally:
        await routes.aclose()
        store.close()


def _list_of(settings: JudgingSettings) -> str:
    """Return the store to read: an empty one if none is configured and the default is not there.

    So a list can be judged on a machine where no relay has ever run.
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
    """Return the caching resolver. Raises StartError.

    `known` are mail routes that need no DNS, `looked_up` is told how many seconds each look-up of a
    mail route took, `patient` is for a list of recipients rather than a client that waits.
    """
    servers = [(server.host, server.port) for server in settings.dns_servers]
    try:
        return Resolver(
            servers or None,
            timeout=settings.dns.timeout,
            max_queries=settings.dns.queries,
            cache_size=settings.dns.cache,
            pending=settings.dns.pending,
            hold=_checks_limit(settings) - 1,  # so that its findings come before the pipeline's
            canaries=settings.dns.canaries,
            known=known,
            on_lookup=looked_up,
            patient=patient,
        )
    except ValueError as error:
        message = f"PRESEND_DNS_SERVERS: {error}"
        raise StartError(message) from error


def recipient_pipeline(
    settings: JudgingSettings,
    suppressions: SuppressionLookup,
    resolver: Resolver | None,
    lists: Lists,
    on_failure: Callable[[str, Exception], None] | None = None,
    *,
    patient: bool = False,
    reasons: Iterable[Reason] = Reason,
) -> Pipeline:
    """Return the pipeline for recipients; without `resolver`, mail routes are not looked up.

    `reasons` are those that it looks for. If it is `patient`, the checks that wait have no common
    time limit: every question to DNS has a limit of its own.
    """
    return Pipeline(
        build(_inputs(settings, suppressions, resolver, lists), reasons),
        policy(settings),
        options=SyntaxOptions(
            allow_quoted_local=settings.syntax.allow_quoted_local,
            allow_domain_literal=settings.syntax.allow_domain_literal,
            postmaster=True,
        ),
        resolver=resolver,
        trusted_domains=settings.trusted_domains,
        limit=None if patient else _checks_limit(settings),
        on_failure=on_failure,
    )


def policy(settings: JudgingSettings) -> Policy:
    """Return the policy for recipients."""
    actions = dict(settings.policy)
    if settings.on_store_failure == "accept":
        actions.setdefault(Reason.STORE_UNAVAILABLE, Action.OBSERVE)
    risk = settings.risk
    return Policy(actions, mode=settings.mode, risk_reject=risk.reject, risk_defer=risk.defer)


def sender_pipeline(
    settings: JudgingSettings, suppressions: SuppressionLookup, resolver: Resolver
) -> Pipeline:
    """Return the pipeline for senders: only some reasons concern them (RFC 7505 4.2)."""
    judged = [reason for reason in Reason if reason.row.sender_reply is not None]
    actions = {reason: Action.REJECT if reason in judged else Action.OFF for reason in Reason}
    options = SyntaxOptions(
        allow_quoted_local=True,
        allow_domain_literal=settings.syntax.allow_domain_literal,
        sender=True,
        single_label=settings.syntax.single_label_sender,
    )
    checks = build(_inputs(settings, suppressions, resolver, Lists()), judged)
    return Pipeline(
        checks,
        Policy(actions),
        options=options,
        resolver=resolver,
        trusted_domains=(*settings.trusted_domains, *SPECIAL_USE),
        limit=_checks_limit(settings),
    )


def _checks_limit(settings: JudgingSettings) -> float:
    """Return the seconds for all checks of a group that wait."""
    return max(_CHECKS_LIMIT, settings.dns.timeout + 1)


def _inputs(
    settings: JudgingSettings,
    suppressions: SuppressionLookup,
    resolver: Resolver | None,
    lists: Lists,
) -> Inputs:
    return Inputs(
        suppressions=suppressions,
        resolver=resolver,
        trusted_domains=settings.trusted_domains,
        role_allow=settings.role.allow,
        lists=lists,
        blocklists=settings.blocklists.questions,
    )
