"""Asynchronous checks run concurrently, with one time limit for the group."""

import asyncio
import enum
from collections.abc import Awaitable, Sequence
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validators.address import Address
from validators.pipeline import Judgement, Pipeline
from validators.policy import Policy
from validators.suppression import StoreUnavailable
from validators.verdict import Action, Finding, Findings, Reason, Reject

NAMES: Final = ("ann", "bob", "eve")
LIMIT: Final = 0.05


class Way(enum.Enum):
    """The behaviour of a check."""

    AT_ONCE = enum.auto()
    LATER = enum.auto()
    NEVER = enum.auto()
    RAISES = enum.auto()
    RAISES_LATER = enum.auto()
    STORE_FAILS = enum.auto()


FINDINGS: Final = st.lists(
    st.sampled_from([None, Finding(Reason.NULL_MX), Finding(Reason.ROLE_ACCOUNT, "info")]),
    min_size=len(NAMES),
    max_size=len(NAMES),
)


class Check:
    """A check with a given behaviour, which records the recipients it examined."""

    def __init__(
        self, name: str, way: Way, found: Sequence[Finding | None], steps: int, unknown: Reason
    ) -> None:
        self.name = name
        self.way = way
        self.unknown: Reason | None = unknown
        self.asked: list[str] = []
        self._table = dict(zip(NAMES, found, strict=True))
        self._steps = steps

    def examine(self, group: Sequence[Address]) -> Findings | Awaitable[Findings]:
        """Act as the given behaviour says."""
        self.asked += [address.local for address in group]
        match self.way:
            case Way.AT_ONCE:
                return [self._table[address.local] for address in group]
            case Way.RAISES:
                raise RuntimeError(self.name)
            case _:
                return self._wait([address.local for address in group])

    async def _wait(self, names: list[str]) -> Findings:
        for _ in range(self._steps):
            await asyncio.sleep(0)
        match self.way:
            case Way.NEVER:
                await asyncio.Event().wait()
            case Way.RAISES_LATER:
                raise RuntimeError(self.name)
            case Way.STORE_FAILS:
                raise StoreUnavailable(self.name)
        return [self._table[name] for name in names]

    def expected(self, name: str) -> Finding | None:
        """Return the findings expected for a recipient."""
        match self.way:
            case Way.AT_ONCE | Way.LATER:
                return self._table[name]
            case Way.NEVER if self.unknown is Reason.DNS_UNAVAILABLE:
                return Finding(Reason.DNS_UNAVAILABLE, "no answer within 0.05 s")
            case Way.NEVER if self.unknown is Reason.STORE_UNAVAILABLE:
                return Finding(Reason.STORE_UNAVAILABLE)
            case Way.STORE_FAILS:
                return Finding(Reason.STORE_UNAVAILABLE)
            case _:
                return Finding(Reason.CHECK_FAILED, self.name)


UNKNOWNS = st.sampled_from([Reason.DNS_UNAVAILABLE, Reason.STORE_UNAVAILABLE, Reason.CHECK_FAILED])
CHECKS = st.lists(
    st.tuples(st.sampled_from(Way), FINDINGS, st.integers(0, 3), UNKNOWNS), max_size=4
)


async def judge(checks: Sequence[Check], limit: float | None = LIMIT) -> list[Judgement]:
    line = Pipeline(checks, Policy({Reason.ROLE_ACCOUNT: Action.OBSERVE}), limit=limit)
    answer = line.judge([f"{name}@example.com" for name in NAMES])
    return answer if isinstance(answer, list) else await answer


@settings(max_examples=150, deadline=None)
@given(CHECKS)
def test_whatever_checks_do_each_recipient_gets_what_was_found(
    parts: list[tuple[Way, list[Finding | None], int, Reason]],
) -> None:
    checks = [Check(f"c{n}", *part) for n, part in enumerate(parts)]

    async def run() -> list[Judgement]:
        async with asyncio.timeout(5):
            judged = await judge(checks)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return judged

    for name, judgement in zip(NAMES, asyncio.run(run()), strict=True):
        at_once: list[Finding] = []
        expected: list[Finding] = []
        for check in checks:
            gone = any(finding.reason is Reason.NULL_MX for finding in at_once)
            assert (name in check.asked) is not gone
            found = check.expected(name) if name in check.asked else None
            if found is not None:
                expected.append(found)
                if check.way is Way.AT_ONCE:
                    at_once.append(found)
        assert [finding for finding, _ in judgement.findings] == expected
        reasons = {finding.reason for finding in expected}
        if Reason.NULL_MX in reasons:
            assert judgement.verdict == Reject(Reason.NULL_MX)
        else:
            # what is not known defers, and neither accepts nor rejects
            unknown = reasons - {Reason.ROLE_ACCOUNT}
            assert judgement.verdict.name == ("defer" if unknown else "accept")


def waits(name: str, way: Way, unknown: Reason = Reason.DNS_UNAVAILABLE) -> Check:
    return Check(name, way, [None] * len(NAMES), 0, unknown)


async def test_checks_wait_side_by_side() -> None:
    both = asyncio.Barrier(2)

    class Meets:
        name = "meets"
        unknown = Reason.CHECK_FAILED

        async def examine(self, group: Sequence[Address]) -> Findings:
            """Wait for the other check."""
            await both.wait()
            return [None] * len(group)

    async with asyncio.timeout(5):
        line = Pipeline([Meets(), Meets()], Policy())
        answer = line.judge(["ann@example.com"])
        assert not isinstance(answer, list)
        assert (await answer)[0].verdict.name == "accept"


async def test_without_a_limit_an_answer_is_awaited_as_long_as_it_takes() -> None:
    task = asyncio.ensure_future(judge([waits("dns", Way.NEVER)], None))
    done, _ = await asyncio.wait([task], timeout=2 * LIMIT)
    assert not done
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_caller_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    task = asyncio.ensure_future(judge([waits("a", Way.NEVER), waits("b", Way.NEVER)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks() - before) == 3
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("unknown", "failures"),
    [
        (Reason.DNS_UNAVAILABLE, []),
        (Reason.STORE_UNAVAILABLE, [("slow", StoreUnavailable)]),
        (Reason.CHECK_FAILED, [("slow", TimeoutError)]),
    ],
)
async def test_a_check_that_exceeds_the_limit_defers_and_is_told(
    unknown: Reason,
    failures: list[tuple[str, type[Exception]]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[tuple[str, type[Exception]]] = []

    def report(name: str, error: Exception) -> None:
        told.append((name, type(error)))

    line = Pipeline([waits("slow", Way.NEVER, unknown)], Policy(), limit=LIMIT, on_failure=report)
    answer = line.judge(["ann@example.com"])
    assert not isinstance(answer, list)
    (ann,) = await answer
    assert (ann.verdict.name, ann.findings[0][0].reason) == ("defer", unknown)
    assert told == failures
    assert len(caplog.records) == 1


async def test_a_local_check_that_waits_all_the_same_has_failed_at_the_limit() -> None:
    check = waits("local", Way.NEVER)
    check.unknown = None
    assert {it.findings[0][0] for it in await judge([check])} == {
        Finding(Reason.CHECK_FAILED, "local")
    }
