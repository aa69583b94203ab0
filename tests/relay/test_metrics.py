"""Metrics: what each part counts, the exposition format, and bounded label values."""

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

from relay.app.validation_metrics import ValidationMetrics
from relay.observe.events import Event, Message, Recipient, ReplyReceived, Result, UpstreamFault
from relay.observe.log import EventLog, LineWriter
from relay.observe.mail_metrics import RECIPIENTS, MailMetrics
from relay.observe.metrics import Registry, counter, gauge, process_figures
from relay.smtp.server.metrics import SESSIONS, ServerMetrics
from relay.smtp.upstream.metrics import UpstreamMetrics
from relay.stores.metrics import StoreMetrics
from tests.docs import pages
from tests.support import need
from tests.support.registered import declarations
from validators.dns.lookups import State
from validators.policy import Policy
from validators.providers import PROVIDERS
from validators.reasons import CHECKS
from validators.verdict import Action, Reason

PAGE = pages.DOCS / "metrics.md"
STAGES = ["connect", "banner", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body", "final"]


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


class _Store:
    """A store with four traps on its list."""

    def counts(self) -> dict[str, int]:
        return {"trap": 4}


class Parts:
    """A registry with the metrics of all parts of `presend serve`."""

    def __init__(self) -> None:
        self.registry = registry = Registry("spring")
        self.mail = MailMetrics(registry)
        self.upstream = UpstreamMetrics(registry)
        self.server = ServerMetrics(registry)
        self.validation = ValidationMetrics(registry)
        self.store = StoreMetrics(registry, _Store())  # type: ignore[arg-type]

    def emit(self, *events: Event) -> None:
        """Pass events to the mail metrics."""
        self.mail.take([(0.0, event) for event in events])

    def page(self) -> str:
        """Return the text for Prometheus."""
        return self.registry.render()[0].decode()


@pytest.fixture
def parts() -> Parts:
    """All parts, including the values that are read at each scrape."""
    made = Parts()
    made.server.watch_sessions(lambda: range(7))
    pool = SimpleNamespace(idle=3, busy=2, connecting=0, most=15)
    made.upstream.watch_pools([pool], 20)  # type: ignore[list-item]
    made.validation.watch_dns(SimpleNamespace(hits=5, misses=6, shared=1))
    made.validation.watch_resolver(
        SimpleNamespace(  # type: ignore[arg-type]
            doubtful={"nxdomain": 3, "nodata": 2, "implausible": 0},
            canary_fault="gmail.com is said not to exist",
            pending=State(running=64, queued=30, held=900),
        )
    )
    return made


def samples(parts: Parts) -> dict[tuple[str, ...], float]:
    """All samples, by name and label values in the declared order."""
    order = {each.name.removesuffix("_total"): each for each in parts.registry.declarations}
    found = {}
    for family in parse(parts.page()):
        for sample in family.samples:
            names = (*order[family.name].labels, "le")
            values = [sample.labels[name] for name in names if name in sample.labels]
            found[sample.name, *values] = sample.value
    return found


def changes(parts: Parts, act: Callable[[], None]) -> dict[tuple[str, ...], float]:
    """Return the samples that an action changes, without histogram buckets."""
    before = samples(parts)
    act()
    return {
        key: value - before.get(key, 0)
        for key, value in samples(parts).items()
        if value != before.get(key, 0) and not key[0].endswith("_bucket")
    }


def test_exposition_and_declarations_agree(parts: Parts) -> None:
    parts.emit(recipient(upstream=(250, "")))
    parts.upstream.reply_waited("final", 0.1)
    exposed = {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in parse(parts.page())
    }
    assert list(exposed) == [each.name for each in parts.registry.declarations]
    for each in parts.registry.declarations:
        family = exposed[each.name]
        assert (family.type, family.documentation) == (each.kind, each.help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(each.labels)


def test_campaign_label(parts: Parts) -> None:
    page = parts.page()
    assert page.count('campaign="spring"') > 20
    assert 'presend_messages_total{campaign="spring",result="relayed"} 0.0' in page


def test_a_name_is_registered_once_and_as_what_it_is_declared() -> None:
    registry = Registry("spring")
    declared = counter("presend_things_total", "Things")
    registry.counter(declared)
    with pytest.raises(ValueError, match="presend_things_total is registered twice"):
        registry.counter(declared)
    with pytest.raises(ValueError, match="declared as a gauge, not a counter"):
        registry.counter(gauge("presend_other_things", "Other things"))


def test_a_read_metric_with_several_labels_is_bounded() -> None:
    registry = Registry("spring")
    declared = gauge("presend_things", "Things", {"a": ("x",), "b": ("y",)}, campaign=True)
    registry.read(declared, lambda: {("x", "y"): 1, ("x", "strange"): 2, ("x", "odd"): 0.5})
    lines = registry.render()[0].decode().splitlines()[2:]
    assert lines == [
        'presend_things{a="x",b="y",campaign="spring"} 1.0',
        'presend_things{a="x",b="other",campaign="spring"} 2.5',
    ]


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
            ReplyReceived("final", 550, "yahoo", "5.2.1"),
            {
                ("presend_upstream_replies_total", "spring", "final", "550", "yahoo"): 1,
                ("presend_unknown_users_total", "spring", "yahoo"): 1,
            },
        ),
        (  # the sender's mailbox, not a recipient's
            ReplyReceived("mail", 550, "other", "5.1.1"),
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
def test_event_is_counted(parts: Parts, event: Event, added: dict[tuple[str, ...], float]) -> None:
    assert changes(parts, lambda: parts.emit(event)) == added


@pytest.mark.parametrize(
    ("act", "added"),
    [
        (lambda p: p.upstream.handshake(ok=True), {("presend_upstream_handshakes_total", "ok"): 1}),
        (
            lambda p: p.upstream.handshake(ok=False),
            {("presend_upstream_handshakes_total", "failed"): 1},
        ),
        (lambda p: p.upstream.reused(), {("presend_upstream_reuses_total",): 1}),
        (lambda p: p.store.store_failed(), {("presend_store_errors_total",): 1}),
        (lambda p: p.server.drain_cut(), {("presend_drain_cut_total",): 1}),
        (lambda p: p.validation.check_failed("mx"), {("presend_check_failures_total", "mx"): 1}),
        (
            lambda p: p.validation.check_failed("new"),
            {("presend_check_failures_total", "other"): 1},
        ),
        (
            lambda p: p.server.session_refused("client"),
            {("presend_sessions_refused_total", "client"): 1},
        ),
        (
            lambda p: p.upstream.pool_waited(2.5),
            {("presend_pool_wait_seconds_count",): 1, ("presend_pool_wait_seconds_sum",): 2.5},
        ),
        (
            lambda p: p.validation.dns_looked_up(0.5),
            {("presend_dns_lookup_seconds_count",): 1, ("presend_dns_lookup_seconds_sum",): 0.5},
        ),
        (
            lambda p: p.upstream.reply_waited("final", 4.0),
            {
                ("presend_upstream_reply_seconds_count", "final"): 1,
                ("presend_upstream_reply_seconds_sum", "final"): 4,
            },
        ),
    ],
)
def test_what_is_no_event_is_counted(
    parts: Parts, act: Callable[[Parts], None], added: dict[tuple[str, ...], float]
) -> None:
    assert changes(parts, lambda: act(parts)) == added


def test_buckets_are_cumulative_and_upper_bounds_inclusive(parts: Parts) -> None:
    for seconds in (0.001, 0.0011, 0.5, 601.0):
        parts.emit(message(seconds=seconds))
    found = samples(parts)
    bucket = "presend_transaction_seconds_bucket"
    counts = [found[bucket, le] for le in ("0.001", "0.0025", "0.25", "0.5", "600.0", "+Inf")]
    assert counts == [1, 2, 2, 3, 3, 4]


def test_known_series_start_at_zero(parts: Parts) -> None:
    found = samples(parts)
    for verdict, reason in RECIPIENTS.preset:
        assert found["presend_recipients_total", "spring", str(verdict), str(reason)] == 0
    for result in ("relayed", "refused", "deferred", "aborted"):
        assert found["presend_messages_total", "spring", result] == 0
    for provider in PROVIDERS:
        assert found["presend_unknown_users_total", "spring", provider] == 0
    for name in ("reuses", "handshakes", "faults"):
        assert any(key[0] == f"presend_upstream_{name}_total" for key in found)


def test_what_is_read_at_scrape(parts: Parts) -> None:
    found = samples(parts)
    assert found["presend_sessions",] == 7
    assert found["presend_pool_limit",] == 20
    states = ("idle", "busy", "connecting")
    assert [found["presend_upstream_connections", state] for state in states] == [3, 2, 0]
    assert found["presend_suppression_entries", "trap"] == 4
    assert found["presend_suppression_entries", "import"] == 0
    results = ("hit", "miss", "shared")
    assert [found["presend_dns_cache_total", result] for result in results] == [5, 6, 1]
    kinds = ("nxdomain", "nodata", "implausible")
    assert [found["presend_dns_doubtful_total", kind] for kind in kinds] == [3, 2, 0]
    assert found["presend_dns_canary_failing",] == 1
    states = ("running", "queued", "held")
    assert [found["presend_dns_pending", state] for state in states] == [64, 30, 900]


def test_dropped_log_lines_are_read_at_scrape() -> None:
    registry, writer = Registry("spring"), LineWriter()
    log = EventLog(writer, campaign="spring")
    log.register(registry)
    writer.close(10)
    log.take([(0.0, recipient())] * 9)
    assert "presend_log_dropped_total 9.0" in registry.render()[0].decode()


def test_metric_that_cannot_be_read_is_absent_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> int:
        raise OSError("gone")

    parts = Parts()
    parts.registry.read(SESSIONS, broken)
    for _ in range(2):
        found = samples(parts)
        assert ("presend_sessions",) not in found
        assert found["presend_suppression_entries", "trap"] == 4
    assert [record.getMessage() for record in caplog.records] == [
        "presend_sessions cannot be read; logged once"
    ]


def test_unknown_value_of_a_metric_that_is_read_is_other() -> None:
    registry = Registry("spring")
    declared = gauge("presend_things", "Things", {"state": ("idle", "busy")})
    registry.read(declared, lambda: {"idle": 1, "lost": 2, "found": 3})
    lines = registry.render()[0].decode().splitlines()[2:]
    assert lines == [
        'presend_things{state="idle"} 1.0',
        'presend_things{state="busy"} 0.0',
        'presend_things{state="other"} 5.0',
    ]


words = st.one_of(st.text(max_size=8), st.sampled_from([*STAGES, *map(str, Reason), "reject"]))
codes = st.integers(-10, 10_000)
seconds = st.floats(0, 1e6)
events = st.one_of(
    st.builds(
        Recipient, words, words, words, words, words, st.tuples(words), codes, codes, words, words
    ),
    st.builds(
        Message, words, words, words, codes, words, words, codes, codes, seconds, seconds, words
    ),
    st.builds(ReplyReceived, words, codes, words, words),
    st.builds(UpstreamFault, words, words, words),
)


def allowed(label: str) -> set[str]:
    """The values that each label may have."""
    values: dict[str, set[str]] = {
        "campaign": {"spring"},
        "verdict": {"accept", "defer", "reject", "other"},
        "reason": {*map(str, Reason), "none", "other"},
        "result": {
            *("relayed", "refused", "deferred", "aborted"),
            *("ok", "failed", "accepted", "other"),
        },
        "stage": {*STAGES, "other"},
        "code": {*map(str, range(200, 600)), "other"},
        "provider": {*PROVIDERS, "other"},
        "cause": {"connections", "client", "draining", "other"},
        "check": {"syntax", *CHECKS, "other"},
    }
    return values[label]


def exposed_labels(parts: Parts) -> Iterator[tuple[str, str]]:
    for family in parse(parts.page()):
        if family.name != "presend_suppression_entries":  # counts entries of the store, not events
            for sample in family.samples:
                yield from (item for item in sample.labels.items() if item[0] != "le")


@settings(deadline=None)
@given(st.lists(events, max_size=10), words)
def test_no_event_makes_a_label_value_outside_the_closed_sets(
    happened: list[Event], word: str
) -> None:
    parts = Parts()
    parts.emit(*happened)
    parts.upstream.reply_waited(word, 1.0)
    parts.server.session_refused(word)
    parts.validation.check_failed(word)
    for name, value in exposed_labels(parts):
        assert value in allowed(name), (name, value)
    recipients = sum(isinstance(event, Recipient) for event in happened)
    assert sum(parts.mail.verdicts().values()) == recipients


def test_counts_for_the_status_page(parts: Parts) -> None:
    parts.emit(recipient("reject", "syntax", observed=("role_account",)))
    parts.emit(recipient())
    parts.emit(recipient())
    parts.emit(message("refused"))
    assert parts.mail.verdicts() == {("reject", "syntax"): 1, ("accept", "none"): 2}
    assert parts.mail.observed() == {"role_account": 1}
    assert parts.mail.messages() == {"relayed": 0, "refused": 1, "deferred": 0, "aborted": 0}


def test_reasons_that_are_never_a_rejection_are_those_the_policy_refuses() -> None:
    refused = set()
    for reason in Reason:
        try:
            Policy({reason: Action.REJECT})
        except ValueError:
            refused.add(str(reason))
    rejected = {reason for verdict, reason in RECIPIENTS.preset if verdict == "reject"}
    assert refused == {*map(str, Reason)} - rejected


def test_openmetrics_where_accepted(parts: Parts) -> None:
    body, content_type = parts.registry.render(
        "application/openmetrics-text;version=1.0.0,text/plain"
    )
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = parse_open(body.decode())  # type: ignore[no-untyped-call]
    assert "presend_sessions" in {family.name for family in families}


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain;version=nonsense;q=x", "\0;;,"])
def test_text_format_whatever_else_is_accepted(parts: Parts, accept: str) -> None:
    assert parts.registry.render(accept)[1].startswith("text/plain; version=0.0.4")


def test_process_figures(parts: Parts) -> None:
    page = parts.registry.render(extra=process_figures())[0].decode()
    assert "process_resident_memory_bytes" in page


def test_promtool_finds_nothing_to_say(parts: Parts) -> None:
    parts.emit(recipient(upstream=(250, "")))
    parts.upstream.reply_waited("final", 0.1)
    found = subprocess.run(
        [need.program("promtool"), "check", "metrics"],
        input=parts.registry.render(extra=process_figures())[0],
        capture_output=True,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")


def test_the_page_describes_every_metric() -> None:
    documented = {
        row["name"]: (row["type"], tuple(row["labels"].split())) for row in pages.rows(PAGE, "name")
    }
    assert documented == {each.name: (each.kind, each.labels) for each in declarations()}


LABELS_OF_THEIR_OWN = {  # labels whose values differ between metrics, as docs/metrics.md calls them
    ("reason", "presend_recipients_total"): "reason of recipients and facts",
    ("reason", "presend_observed_total"): "reason of recipients and facts",
    ("reason", "presend_suppression_entries"): "reason of suppressions",
    ("result", "presend_messages_total"): "result of messages",
    ("result", "presend_upstream_handshakes_total"): "result of handshakes",
    ("result", "presend_auth_total"): "result of AUTH",
    ("result", "presend_dns_cache_total"): "result of the DNS cache",
    ("state", "presend_dns_pending"): "state of look-ups",
    ("result", "presend_list_reloads_total"): "result of lists",
}
DESCRIBED = {"reason of recipients and facts", "code", "provider", "version", "python"}
"""Labels whose values the page describes, because they are many or differ from build to build."""


def test_page_names_every_label_value() -> None:
    documented = {
        row["label"].replace("`", ""): set(re.findall(r"`([^`]*)`", row["values"]))
        for row in pages.rows(PAGE, "label")
    }
    for each in declarations():
        for label, values in each.values.items():
            title = LABELS_OF_THEIR_OWN.get((label, each.name), label)
            assert title in documented, f"{label} of {each.name}"
            if title not in DESCRIBED:
                assert documented[title] == {*values} - {"other"}, title


def test_queries_of_the_page_are_valid_and_ask_for_every_metric(tmp_path: Path) -> None:
    queries = re.findall(r"^```promql\n(.*?)\n```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    asked = set(re.findall(r"presend_[a-z_]+", " ".join(queries)))
    assert asked == {
        each.name if each.kind != "histogram" else f"{each.name}_bucket" for each in declarations()
    }
    rules = [{"record": f"page:query:{n}", "expr": query} for n, query in enumerate(queries)]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "page", "rules": rules}]}))
    found = subprocess.run(
        [need.program("promtool"), "check", "rules", file], capture_output=True, check=False
    )
    assert found.returncode == 0, found.stderr.decode()
