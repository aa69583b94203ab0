"""A list with fewer entries than required gives no answer, and says so."""

import contextlib
from collections.abc import Iterator

import pytest

from relay.app.validation import recipient_pipeline
from relay.settings import JudgingSettings, SettingsError, load_settings
from relay.stores import BlockingStore, open_store
from relay.stores.protocol import Store
from relay.stores.required import RequiredEntries
from validators.address import Address, parse
from validators.suppression import ALL, Kind, StoreUnavailable, Suppression, SuppressionReason
from validators.verdict import Defer, Reason


def entry(address: str, scope: str = ALL) -> Suppression:
    return Suppression(Kind.ADDRESS, address, scope, SuppressionReason.IMPORT, "test", 0.0)


@pytest.fixture
def store() -> Iterator[Store]:
    with contextlib.closing(open_store("memory:", campaign="spring")) as opened:
        yield opened


def address(text: str) -> Address:
    found = parse(text)
    assert isinstance(found, Address)
    return found


def add(store: Store, *entries: Suppression) -> None:
    BlockingStore(store).add(entries)
    store.refresh()


def test_a_list_answers_once_it_has_as_many_entries_as_required(store: Store) -> None:
    required = RequiredEntries(store, 2)
    add(store, entry("ann@example.com"))
    required.refresh()
    assert list(required.troubles()) == [
        "The suppression list has 1 entries, and PRESEND_SUPPRESSIONS__REQUIRED is 2."
    ]
    with pytest.raises(StoreUnavailable, match="has 1 entries"):
        required.find([address("eve@example.com")])
    add(store, entry("bob@example.com"))
    required.refresh()
    assert not list(required.troubles())
    found = required.find([address("ann@example.com"), address("eve@example.com")])
    assert [each and each.value for each in found] == ["ann@example.com", None]  # type: ignore[union-attr]


def test_a_list_that_shrinks_answers_no_more(store: Store) -> None:
    add(store, entry("ann@example.com"))
    required = RequiredEntries(store, 1)
    assert not list(required.troubles())
    BlockingStore(store).remove(Kind.ADDRESS, "ann@example.com")
    store.refresh()
    required.refresh()
    assert list(required.troubles())


def test_entries_of_another_campaign_do_not_count(store: Store) -> None:
    add(store, entry("ann@example.com", "autumn"), entry("bob@example.com", "spring"))
    assert list(RequiredEntries(store, 2).troubles())
    assert not list(RequiredEntries(store, 1).troubles())


def test_without_a_number_an_empty_list_answers(store: Store) -> None:
    required = RequiredEntries(store, 0)
    assert list(required.find([address("ann@example.com")])) == [None]  # type: ignore[arg-type]
    assert not list(required.troubles())


async def test_recipients_are_deferred(store: Store) -> None:
    given = load_settings(JudgingSettings, environ={})
    pipeline = recipient_pipeline(given, RequiredEntries(store, 1), None)
    judging = pipeline.judge(["ann@example.com"])
    (judged,) = judging if isinstance(judging, list) else await judging
    assert isinstance(judged.verdict, Defer)
    assert [finding.reason for finding, _ in judged.findings] == [Reason.STORE_UNAVAILABLE]


@pytest.mark.parametrize("off", ["off", "OFF", "0"])
def test_off_is_no_number(off: str) -> None:
    given = load_settings(JudgingSettings, environ={"PRESEND_SUPPRESSIONS__REQUIRED": off})
    assert given.suppressions.required == 0


@pytest.mark.parametrize(
    ("also", "allowed"),
    [
        ({"PRESEND_ON_STORE_FAILURE": "accept"}, "off where on_store_failure is accept"),
        ({"PRESEND_POLICY__SUPPRESSED": "observe"}, "off where the policy for suppressed"),
        ({"PRESEND_POLICY__SUPPRESSED": "off"}, "off where the policy for suppressed"),
        ({"PRESEND_POLICY__STORE_UNAVAILABLE": "observe"}, "the policy for store_unavailable"),
    ],
)
def test_settings_that_would_let_recipients_through_are_refused(
    also: dict[str, str], allowed: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(JudgingSettings, environ={"PRESEND_SUPPRESSIONS__REQUIRED": "1", **also})
    (problem,) = caught.value.problems
    assert problem.key == "PRESEND_SUPPRESSIONS__REQUIRED"
    assert allowed in problem.allowed
    load_settings(JudgingSettings, environ=also)


@pytest.mark.parametrize("wrong", ["-1", "many", "1.5", "none"])
def test_a_wrong_number_is_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match="PRESEND_SUPPRESSIONS__REQUIRED"):
        load_settings(JudgingSettings, environ={"PRESEND_SUPPRESSIONS__REQUIRED": wrong})
