"""What is counted, what Prometheus sees of it, and that no input makes series without bound."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from relay.observe.events import Event, Message, Recipient, Result, UpstreamFault, UpstreamReply
from relay.observe.metrics import Metrics, labels, process_figures
from relay.observe.metrics.catalogue import CATALOGUE
from tests.docs import pages
from tests.support import need
from validators.policy import Policy
from validators.verdict import Action, Reason

PAGE = pages.DOCS / "metrics.md"
PROVIDERS = ("google", "yahoo")


def recipient(
    verdict: str = "accept",
    reason: str = "none",
    *,
    observed: tuple[str, ...] = (),
    upstream: tuple[int, str] = (0, ""),
    provider: str = "google",
) -> Recipient:
    code, enhanced = upstream
    return Recipient(
        "id", "a@example.com", verdict, reason, "", observed, code or 550, code, enhanced, provider
    )


def message(result: Result = "relayed", seconds: float = 0.02) -> Message:
    return Message(
        message_id="id",
        sender="a@example.com",
        result=result,
        code=250,
        stage="final",
        upstream="esp.example.net:587",
        recipients=1,
        size=4096,
        seconds=seconds,
        validation_seconds=0.00002,
        reply="2.0.0 Ok",
    )


@pytest.fixture
def metrics() -> Metrics:
    return watched(Metrics("spring", providers=PROVIDERS, version="1.2.3"))


def watched(metrics: Metrics) -> Metrics:
    metrics.watch(
        sessions=lambda: 7,
        pool=lambda: {"idle": 3, "busy": 2},
        pool_limit=lambda: 20,
        suppression_entries=lambda: {"trap": 4},
        dns=lambda: SimpleNamespace(hits=5, misses=6, shared=1),
        log_dropped=lambda: 9,
    )
    return metrics


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Everything exposed: name, then the label values in the order of the catalogue."""
    order = {description.name.removesuffix("_total"): description for description in CATALOGUE}
    found = {}
    for family in parse(metrics.render()[0].decode()):
        for sample in family.samples:
            names = (*order[family.name].labels, "le")
            values = [sample.labels[name] for name in names if name in sample.labels]
            found[sample.name, *values] = sample.value
    return found


def changes(metrics: Metrics, act: Callable[[], None]) -> dict[tuple[str, ...], float]:
    """What an act adds, histogram buckets left out."""
    before = samples(metrics)
    act()
    return {
        key: value - before.get(key, 0)
        for key, value in samples(metrics).items()
        if value != before.get(key, 0) and not key[0].endswith("_bucket")
    }


def test_exposition_and_catalogue_agree(metrics: Metrics) -> None:
    metrics.emit(recipient(upstream=(250, "")))
    metrics.reply_waited("final", 0.1)
    exposed = {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in parse(metrics.render()[0].decode())
    }
    assert list(exposed) == [description.name for description in metrics.describe()]
    for name, kind, names, text in CATALOGUE:
        family = exposed[name]
        assert (family.type, family.documentation) == (kind, text)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(names)


def test_campaign_label(metrics: Metrics) -> None:
    page = metrics.render()[0].decode()
    assert page.count('campaign="spring"') > 20
    assert 'presend_messages_total{campaign="spring",result="relayed"} 0.0' in page


@pytest.mark.parametrize(
    ("event", "added"),
    [
        (recipient(), {("presend_recipients_total", "spring", "accept", "none"): 1}),
        (
            recipient("reject", "null_mx"),
            {("presend_recipients_total", "spring", "reject", "null_mx"): 1},
        ),
        (
            recipient(observed=("role_account", "suppressed")),
            {
                ("presend_recipients_total", "spring", "accept", "none"): 1,
                ("presend_observed_total", "spring", "role_account"): 1,
                ("presend_observed_total", "spring", "suppressed"): 1,
            },
        ),
        (
            recipient(upstream=(550, "5.1.1")),
            {
                ("presend_recipients_total", "spring", "accept", "none"): 1,
                ("presend_upstream_replies_total", "spring", "rcpt", "550", "google"): 1,
                ("presend_unknown_users_total", "spring", "google"): 1,
            },
        ),
        (
            recipient(upstream=(550, "5.7.1"), provider="yahoo"),
            {
                ("presend_recipients_total", "spring", "accept", "none"): 1,
                ("presend_upstream_replies_total", "spring", "rcpt", "550", "yahoo"): 1,
            },
        ),
        (
            UpstreamReply("final", 550, "yahoo", "5.2.1"),
            {
                ("presend_upstream_replies_total", "spring", "final", "550", "yahoo"): 1,
                ("presend_unknown_users_total", "spring", "yahoo"): 1,
            },
        ),
        (  # the sender's mailbox, not a recipient's
            UpstreamReply("mail", 550, "other", "5.1.1"),
            {("presend_upstream_replies_total", "spring", "mail", "550", "other"): 1},
        ),
        (
            UpstreamFault("banner", "esp.example.net:587", "timed out"),
            {("presend_upstream_faults_total", "banner"): 1},
        ),
        (
            message("deferred"),
            {
                ("presend_messages_total", "spring", "deferred"): 1,
                ("presend_transaction_seconds_count",): 1,
                ("presend_transaction_seconds_sum",): 0.02,
                ("presend_validation_seconds_count",): 1,
                ("presend_validation_seconds_sum",): 0.00002,
            },
        ),
    ],
)
def test_event_is_counted(
    metrics: Metrics, event: Event, added: dict[tuple[str, ...], float]
) -> None:
    assert changes(metrics, lambda: metrics.emit(event)) == added


@pytest.mark.parametrize(
    ("act", "added"),
    [
        (lambda m: m.handshake(ok=True), {("presend_upstream_handshakes_total", "ok"): 1}),
        (lambda m: m.handshake(ok=False), {("presend_upstream_handshakes_total", "failed"): 1}),
        (Metrics.reused, {("presend_upstream_reuses_total",): 1}),
        (Metrics.store_failed, {("presend_store_errors_total",): 1}),
        (Metrics.drain_cut, {("presend_drain_cut_total",): 1}),
        (lambda m: m.check_failed("mx"), {("presend_check_failures_total", "mx"): 1}),
        (lambda m: m.check_failed("new"), {("presend_check_failures_total", "other"): 1}),
        (
            lambda m: m.session_refused("client"),
            {("presend_sessions_refused_total", "client"): 1},
        ),
        (
            lambda m: m.pool_waited(2.5),
            {("presend_pool_wait_seconds_count",): 1, ("presend_pool_wait_seconds_sum",): 2.5},
        ),
        (
            lambda m: m.dns_looked_up(0.5),
            {("presend_dns_lookup_seconds_count",): 1, ("presend_dns_lookup_seconds_sum",): 0.5},
        ),
        (
            lambda m: m.reply_waited("final", 4.0),
            {
                ("presend_upstream_reply_seconds_count", "final"): 1,
                ("presend_upstream_reply_seconds_sum", "final"): 4,
            },
        ),
    ],
)
def test_what_is_no_event_is_counted(
    metrics: Metrics, act: Callable[[Metrics], None], added: dict[tuple[str, ...], float]
) -> None:
    assert changes(metrics, lambda: act(metrics)) == added


def test_buckets_are_cumulative_and_upper_bounds_inclusive(metrics: Metrics) -> None:
    for seconds in (0.001, 0.0011, 0.5, 601.0):
        metrics.emit(message(seconds=seconds))
    found = samples(metrics)
    bucket = "presend_transaction_seconds_bucket"
    counts = [found[bucket, le] for le in ("0.001", "0.0025", "0.25", "0.5", "600.0", "+Inf")]
    assert counts == [1, 2, 2, 3, 3, 4]


def test_known_series_start_at_zero(metrics: Metrics) -> None:
    found = samples(metrics)
    for verdict, reason in labels.JUDGEMENTS:
        assert found["presend_recipients_total", "spring", verdict, reason] == 0
    for result in labels.RESULTS:
        assert found["presend_messages_total", "spring", result] == 0
    for provider in (*PROVIDERS, "other"):
        assert found["presend_unknown_users_total", "spring", provider] == 0
    for name in ("reuses", "handshakes", "faults"):
        assert any(key[0] == f"presend_upstream_{name}_total" for key in found)


def test_what_is_read_at_scrape(metrics: Metrics) -> None:
    found = samples(metrics)
    assert found["presend_sessions",] == 7
    assert found["presend_pool_limit",] == 20
    assert found["presend_log_dropped_total",] == 9
    states = [found["presend_upstream_connections", state] for state in labels.POOL_STATES]
    assert states == [3, 2, 0]
    assert found["presend_suppression_entries", "trap"] == 4
    assert found["presend_suppression_entries", "import"] == 0
    results = [found["presend_dns_cache_total", result] for result in labels.CACHE_RESULTS]
    assert results == [5, 6, 1]


def test_metric_that_cannot_be_read_is_absent_and_logged_once(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> int:
        raise OSError("gone")

    metrics.watch(sessions=broken)
    for _ in range(2):
        found = samples(metrics)
        assert ("presend_sessions",) not in found
        assert found["presend_pool_limit",] == 20
    assert [record.getMessage() for record in caplog.records] == [
        "presend_sessions cannot be read; logged once"
    ]


def test_unknown_state_of_a_connection_is_other(metrics: Metrics) -> None:
    metrics.watch(pool=lambda: {"idle": 1, "lost": 2, "found": 3})
    assert samples(metrics)["presend_upstream_connections", "other"] == 5


words = st.one_of(st.text(max_size=8), st.sampled_from([*labels.STAGES, *labels.REASONS, "reject"]))
codes = st.integers(-10, 10_000)
seconds = st.floats(0, 1e6)
events = st.one_of(
    st.builds(
        Recipient, words, words, words, words, words, st.tuples(words), codes, codes, words, words
    ),
    st.builds(
        Message, words, words, words, codes, words, words, codes, codes, seconds, seconds, words
    ),
    st.builds(UpstreamReply, words, codes, words, words),
    st.builds(UpstreamFault, words, words, words),
)


def allowed(label: str) -> set[str]:
    """The values a label may have: the closed sets, spelled out."""
    values: dict[str, set[str]] = {
        "campaign": {"spring"},
        "verdict": {"accept", "defer", "reject", "other"},
        "reason": {*map(str, Reason), "none", "other"},
        "result": {"relayed", "refused", "deferred", "aborted", "ok", "failed", "other"},
        "stage": {*labels.STAGES, "other"},
        "code": {*map(str, range(200, 600)), "other"},
        "provider": {*PROVIDERS, "other"},
        "cause": {"connections", "client", "draining", "other"},
        "check": {"syntax", "suppression", "role", "mx", "other"},
    }
    return values[label]


def exposed_labels(metrics: Metrics) -> Iterator[tuple[str, str]]:
    for family in parse(metrics.render()[0].decode()):
        if family.name != "presend_build_info":
            for sample in family.samples:
                yield from (item for item in sample.labels.items() if item[0] != "le")


@settings(deadline=None)
@given(st.lists(events, max_size=10), words)
def test_no_event_makes_a_label_value_outside_the_closed_sets(
    happened: list[Event], word: str
) -> None:
    metrics = Metrics("spring", providers=PROVIDERS, version="1.2.3")
    for event in happened:
        metrics.emit(event)
    metrics.reply_waited(word, 1.0)
    metrics.session_refused(word)
    metrics.check_failed(word)
    for name, value in exposed_labels(metrics):
        assert value in allowed(name), (name, value)
    recipients = sum(isinstance(event, Recipient) for event in happened)
    assert sum(metrics.verdicts().values()) == recipients


def test_counts_for_the_status_page(metrics: Metrics) -> None:
    metrics.emit(recipient("reject", "syntax", observed=("role_account",)))
    metrics.emit(recipient())
    metrics.emit(recipient())
    metrics.emit(message("refused"))
    assert metrics.verdicts() == {("reject", "syntax"): 1, ("accept", "none"): 2}
    assert metrics.observed() == {"role_account": 1}
    assert metrics.messages() == {"relayed": 0, "refused": 1, "deferred": 0, "aborted": 0}


def test_reasons_that_are_never_a_rejection_are_those_the_policy_refuses() -> None:
    refused = set()
    for reason in Reason:
        try:
            Policy({reason: Action.REJECT})
        except ValueError:
            refused.add(str(reason))
    assert refused == labels.NEVER_REJECTED


def test_openmetrics_where_accepted(metrics: Metrics) -> None:
    body, content_type = metrics.render("application/openmetrics-text;version=1.0.0,text/plain")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = parse_open(body.decode())  # type: ignore[no-untyped-call]
    assert "presend_sessions" in {family.name for family in families}


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain;version=nonsense;q=x", "\0;;,"])
def test_text_format_whatever_else_is_accepted(metrics: Metrics, accept: str) -> None:
    assert metrics.render(accept)[1].startswith("text/plain; version=0.0.4")


def test_process_figures(metrics: Metrics) -> None:
    page = metrics.render(extra=process_figures())[0].decode()
    assert "process_resident_memory_bytes" in page


def test_promtool_finds_nothing_to_say(metrics: Metrics) -> None:
    metrics.emit(recipient(upstream=(250, "")))
    metrics.reply_waited("final", 0.1)
    found = subprocess.run(
        [need.program("promtool"), "check", "metrics"],
        input=metrics.render(extra=process_figures())[0],
        capture_output=True,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")


def test_page_names_every_label_value() -> None:
    documented = {
        row["label"].replace("`", ""): set(re.findall(r"`([^`]*)`", row["values"]))
        for row in pages.rows(PAGE, "label")
    }
    for name, values in {
        "verdict": labels.VERDICTS,
        "reason of suppressions": labels.SUPPRESSIONS,
        "result of messages": labels.RESULTS,
        "result of handshakes": labels.HANDSHAKES,
        "result of the DNS cache": labels.CACHE_RESULTS,
        "stage": labels.STAGES,
        "state": labels.POOL_STATES,
        "cause": labels.CAUSES,
        "check": [check for check in labels.CHECKS if check != "other"],
    }.items():
        assert documented[name] == set(values), name


def test_queries_of_the_page_are_valid_and_ask_for_every_metric(tmp_path: Path) -> None:
    queries = re.findall(r"^```promql\n(.*?)\n```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    asked = set(re.findall(r"presend_[a-z_]+", " ".join(queries)))
    names = {name if kind != "histogram" else f"{name}_bucket" for name, kind, _, _ in CATALOGUE}
    assert asked == names
    rules = [{"record": f"page:query:{n}", "expr": query} for n, query in enumerate(queries)]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "page", "rules": rules}]}))
    found = subprocess.run(
        [need.program("promtool"), "check", "rules", file], capture_output=True, check=False
    )
    assert found.returncode == 0, found.stderr.decode()
