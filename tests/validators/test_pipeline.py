"""The pipeline: a group of recipients passes through the checks."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import pytest

from validators.address import Address
from validators.pipeline import Findings, Judgement, Pipeline
from validators.policy import Policy
from validators.suppression import StoreUnavailable
from validators.verdict import ACCEPT, Action, Defer, Finding, Reason, Reject

ROLE = Finding(Reason.ROLE_ACCOUNT, "info")
NULL_MX = Finding(Reason.NULL_MX)
NO_DNS = Finding(Reason.DNS_UNAVAILABLE, "SERVFAIL")


class TableCheck:
    """A check that returns the finding in a table for each local part, with or without a wait."""

    def __init__(self, name: str, *, waits: bool = False, **table: Finding) -> None:
        self.name = name
        self.unknown = Reason.DNS_UNAVAILABLE if waits else None
        self.asked: list[list[str]] = []
        self._waits = waits
        self._table = table

    def examine(self, group: Sequence[Address]) -> Findings | Awaitable[Findings]:
        """Look up the local parts in the table."""
        self.asked.append([address.local for address in group])
        findings = [self._table.get(address.local) for address in group]
        return self._later(findings) if self._waits else findings

    async def _later(self, findings: Findings) -> Findings:
        await asyncio.sleep(0)
        return findings


class FunctionCheck:
    """A check that calls a given function."""

    name = "does"

    def __init__(
        self,
        act: Callable[[Sequence[Address]], Findings | Awaitable[Findings]],
        unknown: Reason | None = Reason.CHECK_FAILED,
    ) -> None:
        self.examine = act
        self.unknown = unknown


def pipeline(*checks: TableCheck | FunctionCheck, policy: Policy | None = None) -> Pipeline:
    return Pipeline(checks, policy or Policy())


async def judged(line: Pipeline, *locals_: str) -> list[Judgement]:
    result = line.judge([f"{local}@example.com" for local in locals_])
    return result if isinstance(result, list) else await result


def test_the_provider_of_a_recipient_is_told() -> None:
    line = Pipeline(
        [], Policy(), provider={"example.com": "google", "example.org": "yahoo"}.__getitem__
    )
    result = line.judge(["ann@example.org", "bob@example.com", "a..b"])
    assert isinstance(result, list)
    assert [it.provider for it in result] == ["yahoo", "google", "other"]
    result = line.judge(["ann@example.org", "bob@example.com"])
    assert isinstance(result, list)
    assert [it.provider for it in result] == ["yahoo", "google"]


def test_nothing_found_is_known_at_once() -> None:
    checks = TableCheck("one"), TableCheck("two")
    result = pipeline(*checks).judge(["ann@example.com", "bob@example.com"])
    assert isinstance(result, list)
    assert [(it.text, it.verdict, it.findings) for it in result] == [
        ("ann@example.com", ACCEPT, ()),
        ("bob@example.com", ACCEPT, ()),
    ]
    assert [it.address.canonical for it in result if it.address] == [
        "ann@example.com",
        "bob@example.com",
    ]
    assert [check.asked for check in checks] == [[["ann", "bob"]]] * 2


def test_what_is_found_at_once_is_known_at_once() -> None:
    result = pipeline(TableCheck("role", info=ROLE)).judge(["a..b@x", "info@example.com"])
    assert isinstance(result, list)
    assert [it.verdict.name for it in result] == ["reject", "reject"]
    assert result[0].address is None
    assert result[1].findings == ((ROLE, Action.REJECT),)
    assert result[1].verdict == Reject(Reason.ROLE_ACCOUNT, "info")


@pytest.mark.parametrize("waits", [False, True])
async def test_each_recipient_gets_its_own_verdict_in_order(*, waits: bool) -> None:
    line = pipeline(
        TableCheck("role", info=ROLE),
        TableCheck("dns", waits=waits, null=NULL_MX, slow=NO_DNS, info=NULL_MX),
    )
    result = await judged(line, "ann", "null", "a..b", "info", "slow", "bob")
    assert [it.text.partition("@")[0] for it in result] == [
        "ann", "null", "a..b", "info", "slow", "bob",
    ]  # fmt: skip
    assert [it.verdict for it in result] == [
        ACCEPT,
        Reject(Reason.NULL_MX),
        Reject(Reason.SYNTAX, "There are two periods in a row before the @-sign."),
        Reject(Reason.ROLE_ACCOUNT, "info"),
        Defer(Reason.DNS_UNAVAILABLE, "SERVFAIL"),
        ACCEPT,
    ]


async def test_who_is_rejected_is_not_asked_about_further() -> None:
    dns = TableCheck("dns", waits=True)
    last = TableCheck("last")
    await judged(pipeline(TableCheck("role", info=ROLE), dns, last), "info", "ann", "a..b")
    assert dns.asked == last.asked == [["ann"]]


async def test_local_checks_are_asked_first_and_findings_keep_the_order_of_the_checks() -> None:
    dns = TableCheck("dns", waits=True, ann=NO_DNS)
    role = TableCheck("role", info=ROLE, ann=ROLE)
    policy = Policy({Reason.ROLE_ACCOUNT: Action.OBSERVE})
    (ann,) = await judged(pipeline(dns, role, policy=policy), "ann")
    assert ann.findings == ((NO_DNS, Action.DEFER), (ROLE, Action.OBSERVE))
    await judged(pipeline(dns, role), "info")
    assert dns.asked == [["ann"]]


async def test_a_store_that_answers_at_once_spares_the_dns_query() -> None:
    store = FunctionCheck(
        lambda group: [Finding(Reason.SUPPRESSED) if a.local == "eve" else None for a in group],
        Reason.STORE_UNAVAILABLE,
    )
    dns = TableCheck("dns", waits=True)
    eve, ann = await judged(pipeline(store, dns), "eve", "ann")
    assert (eve.verdict.name, ann.verdict) == ("reject", ACCEPT)
    assert dns.asked == [["ann"]]


async def test_a_check_is_not_asked_about_nobody() -> None:
    dns = TableCheck("dns")
    await judged(pipeline(TableCheck("role", info=ROLE), dns), "info", "a..b")
    assert dns.asked == []
    assert await judged(pipeline(dns)) == []


async def test_who_is_deferred_is_asked_about_further_since_a_refusal_is_better() -> None:
    line = pipeline(TableCheck("store", ann=NO_DNS), TableCheck("dns", waits=True, ann=NULL_MX))
    (one,) = await judged(line, "ann")
    assert one.verdict == Reject(Reason.NULL_MX)
    assert one.findings == ((NO_DNS, Action.DEFER), (NULL_MX, Action.REJECT))


async def test_observed_findings_are_kept_and_those_turned_off_are_not() -> None:
    policy = Policy({Reason.ROLE_ACCOUNT: Action.OBSERVE, Reason.NULL_MX: Action.OFF})
    line = pipeline(
        TableCheck("role", info=ROLE), TableCheck("dns", info=NULL_MX, ann=NULL_MX), policy=policy
    )
    info, ann = await judged(line, "info", "ann")
    assert (info.verdict, info.findings) == (ACCEPT, ((ROLE, Action.OBSERVE),))
    assert (ann.verdict, ann.findings) == (ACCEPT, ())


@pytest.mark.parametrize("action", [Action.OBSERVE, Action.OFF, Action.DEFER])
async def test_what_is_no_address_has_none_even_if_it_is_let_through(action: Action) -> None:
    check = TableCheck("role")
    line = pipeline(check, policy=Policy({Reason.SYNTAX: action}))
    bad, ann = await judged(line, "a..b", "ann")
    assert bad.address is None
    assert bad.verdict.name == ("defer" if action is Action.DEFER else "accept")
    assert len(bad.findings) == (0 if action is Action.OFF else 1)
    assert ann.verdict is ACCEPT
    assert check.asked == [["ann"]]


def fail(error: BaseException) -> Callable[[Sequence[Address]], Findings]:
    def act(_: Sequence[Address]) -> Findings:
        raise error

    return act


def fail_later(error: BaseException) -> Callable[[Sequence[Address]], Awaitable[Findings]]:
    async def act(_: Sequence[Address]) -> Findings:
        raise error

    return act


@pytest.mark.parametrize("failing", [fail, fail_later])
async def test_a_check_that_crashes_defers_and_is_logged(
    failing: Callable[
        [BaseException], Callable[[Sequence[Address]], Findings | Awaitable[Findings]]
    ],
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = pipeline(
        TableCheck("role", info=ROLE),
        FunctionCheck(failing(RuntimeError("oh"))),
        TableCheck("dns", bob=NULL_MX),
    )
    info, ann, bob = await judged(line, "info", "ann", "bob")
    assert info.verdict == Reject(Reason.ROLE_ACCOUNT, "info")
    assert ann.verdict == Defer(Reason.CHECK_FAILED, "does")
    assert bob.verdict == Reject(Reason.NULL_MX)
    assert [(record.levelno, record.exc_info is not None) for record in caplog.records] == [
        (logging.ERROR, True),
    ]


@pytest.mark.parametrize("failing", [fail, fail_later])
async def test_a_store_that_does_not_answer_defers(
    failing: Callable[
        [BaseException], Callable[[Sequence[Address]], Findings | Awaitable[Findings]]
    ],
) -> None:
    line = pipeline(FunctionCheck(failing(StoreUnavailable("the disk is full"))))
    (ann,) = await judged(line, "ann")
    # the cause is logged and not sent to the client
    assert ann.verdict == Defer(Reason.STORE_UNAVAILABLE, "")


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("findings", [[], [None], [None] * 3])
async def test_findings_that_cannot_be_told_apart_are_none(
    *, findings: list[None], waits: bool
) -> None:
    async def later(_: Sequence[Address]) -> Findings:
        return findings

    line = pipeline(FunctionCheck(later if waits else lambda _: findings))
    verdicts = {it.verdict for it in await judged(line, "ann", "bob")}
    assert verdicts == {Defer(Reason.CHECK_FAILED, "does")}


async def test_findings_may_come_in_any_sequence() -> None:
    line = pipeline(FunctionCheck(lambda group: tuple(NULL_MX for _ in group)))
    assert {it.verdict.name for it in await judged(line, "ann", "bob")} == {"reject"}


async def test_a_cancelled_check_cancels_the_judgement() -> None:
    line = pipeline(FunctionCheck(fail_later(asyncio.CancelledError())))
    with pytest.raises(asyncio.CancelledError):
        await judged(line, "ann")
