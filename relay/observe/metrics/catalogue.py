"""What each metric is: name, labels, help. docs/metrics.md and the exposition are held to it."""

from typing import Final, Literal, NamedTuple


class Description(NamedTuple):
    """What a metric is."""

    name: str
    """As in a query: a counter's ends in `_total`."""
    type: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


def _counter(name: str, text: str, labels: str = "") -> Description:
    return Description(name, "counter", tuple(labels.split()), text)


def _gauge(name: str, text: str, labels: str = "") -> Description:
    return Description(name, "gauge", tuple(labels.split()), text)


def _histogram(name: str, text: str, labels: str = "") -> Description:
    return Description(name, "histogram", tuple(labels.split()), text)


CATALOGUE: Final = (
    _counter(
        "presend_recipients_total",
        "Recipients judged, by presend's own verdict and the deciding reason",
        "campaign verdict reason",
    ),
    _counter(
        "presend_observed_total",
        "Facts found in shadow mode (policy observe), which changed no verdict",
        "campaign reason",
    ),
    _counter(
        "presend_messages_total",
        "Transactions ended, by result",
        "campaign result",
    ),
    _histogram(
        "presend_transaction_seconds",
        "Time from MAIL to the end of the transaction",
    ),
    _histogram(
        "presend_validation_seconds",
        "Time spent judging recipients in one transaction",
    ),
    _counter(
        "presend_upstream_replies_total",
        "Replies of the upstream, by stage, reply code and mailbox provider",
        "campaign stage code provider",
    ),
    _counter(
        "presend_unknown_users_total",
        "Replies of the upstream saying that a mailbox does not exist, has moved or is disabled",
        "campaign provider",
    ),
    _histogram(
        "presend_upstream_reply_seconds",
        "Time the upstream took to reply, by stage",
        "stage",
    ),
    _counter(
        "presend_upstream_faults_total",
        "Upstream connections that failed, were cut, timed out or spoke nonsense, by stage",
        "stage",
    ),
    _counter(
        "presend_upstream_handshakes_total",
        "Handshakes with the upstream, from connect to AUTH, by result",
        "result",
    ),
    _counter(
        "presend_upstream_reuses_total",
        "Transactions that found a ready upstream connection: handshakes saved",
    ),
    _gauge(
        "presend_upstream_connections",
        "Upstream connections, by state",
        "state",
    ),
    _gauge(
        "presend_pool_limit",
        "Most upstream connections there may be",
    ),
    _histogram(
        "presend_pool_wait_seconds",
        "Time a transaction waited for an upstream connection",
    ),
    _gauge(
        "presend_sessions",
        "SMTP sessions open",
    ),
    _counter(
        "presend_sessions_refused_total",
        "SMTP sessions refused at connect, by cause",
        "cause",
    ),
    _counter(
        "presend_drain_cut_total",
        "Transactions cut because the grace period ended before they did",
    ),
    _counter(
        "presend_dns_cache_total",
        "Mail routes asked for, by how the cache answered; shared joined a lookup under way",
        "result",
    ),
    _histogram(
        "presend_dns_lookup_seconds",
        "Time of a mail route lookup that the cache could not answer",
    ),
    _gauge(
        "presend_suppression_entries",
        "Entries on the suppression list, by reason",
        "reason",
    ),
    _counter(
        "presend_store_errors_total",
        "Store operations that failed",
    ),
    _counter(
        "presend_check_failures_total",
        "Checks that crashed; their recipients were deferred unless the policy says otherwise",
        "check",
    ),
    _counter(
        "presend_log_dropped_total",
        "Log lines dropped because they were not read fast enough",
    ),
    _gauge(
        "presend_build_info",
        "Always 1; the versions of presend and of Python are its labels",
        "version python",
    ),
)
"""Every metric, in the order of the exposition."""
