"""The contract of `AdminStore`: the operations that commands and feedback need."""

from collections.abc import Iterator

import pytest

from relay.stores import BlockingStore, ImportResult
from tests.contracts.conftest import START, Clock
from tests.contracts.entries import address, entry, found, md5, sha256
from validators.suppression import Kind, Suppression, SuppressionReason


def test_an_entry_comes_back_as_it_was_put(store: BlockingStore) -> None:
    put = [
        entry("ann@example.com", source="list, 1.csv", reason=SuppressionReason.TRAP),
        entry("example.net", Kind.DOMAIN, scope="mine", expires=START + 1),
        entry(sha256("bob@example.com"), Kind.SHA256),
        entry(md5("bob@example.com"), Kind.MD5, scope="other"),
        entry("jörg@bücher.example"),
    ]
    assert store.add(put) == 5
    assert sorted(store.entries(), key=lambda it: it.value) == sorted(put, key=lambda it: it.value)
    assert store.find([address("ANN@example.com")]) == [put[0]]
    assert store.find([address("x@example.net")]) == [put[1]]
    assert store.find([address("Bob@example.com")]) == [put[2]]
    assert store.find([address("jörg@bücher.example")]) == [put[4]]


def test_lookup_sees_every_scope(store: BlockingStore) -> None:
    store.add([entry("ann@example.com", scope="other"), entry("bob@example.com")])
    assert [it.scope for it in store.lookup(address("ann@example.com"))] == ["other"]


def test_adding_again_never_weakens(store: BlockingStore) -> None:
    bob = "bob@example.com"
    assert store.add([entry(bob, expires=START + 10, source="first")]) == 1
    assert store.add([entry(bob, expires=START + 5, source="shorter")]) == 0
    assert store.add([entry(bob, expires=START + 10, source="same")]) == 0
    assert store.add([entry(bob, expires=START + 20, source="longer")]) == 1
    assert store.add([entry(bob, source="for good", reason=SuppressionReason.COMPLAINT)]) == 1
    assert store.add([entry(bob, expires=START + 30), entry(bob)]) == 0
    assert [it.source for it in store.entries()] == ["for good"]
    assert store.counts() == {SuppressionReason.COMPLAINT: 1}


def test_an_expired_entry_can_be_put_anew(store: BlockingStore, clock: Clock) -> None:
    store.add([entry("ann@example.com", expires=START + 10)])
    clock.now = START + 20
    assert store.add([entry("ann@example.com", expires=START + 30)]) == 1
    assert found(store, "ann@example.com") == ["ann@example.com"]


def test_removing(store: BlockingStore) -> None:
    ann = "ann@example.com"
    store.add([entry(ann, scope=scope) for scope in ("all", "mine", "other")])
    assert store.remove(Kind.ADDRESS, ann, "mine") == 1
    assert store.remove(Kind.ADDRESS, ann, "mine") == 0
    assert store.remove(Kind.DOMAIN, "example.com") == 0
    assert [it.scope for it in store.lookup(address(ann))] == ["other", "all"]
    assert store.remove(Kind.ADDRESS, ann) == 2
    assert store.counts() == {}
    assert found(store, ann) == [None]


def test_entries_can_be_filtered(store: BlockingStore) -> None:
    store.add([
        entry("a@example.com", reason=SuppressionReason.TRAP),
        entry("b@example.com", reason=SuppressionReason.TRAP, scope="mine"),
        entry("c@example.com", scope="mine"),
    ])  # fmt: skip
    assert [it.value for it in store.entries(scope="mine", reason=SuppressionReason.TRAP)] == [
        "b@example.com"
    ]
    assert {it.value for it in store.entries(scope="mine")} == {"b@example.com", "c@example.com"}
    assert {it.value for it in store.entries(reason=SuppressionReason.TRAP)} == {
        "a@example.com",
        "b@example.com",
    }
    assert list(store.entries(scope="none")) == []


def test_an_import_adds_and_counts(store: BlockingStore) -> None:
    store.add([entry("user1@example.com"), entry("user2@example.com", expires=START + 1)])
    heard: list[float] = []
    many = [entry(f"user{number}@example.com", source="import") for number in range(1000)]
    result = store.import_entries([*many, *many[:10]], merged=heard.append)
    assert result == ImportResult(read=1010, added=998, renewed=1)
    assert result.unchanged == 11
    assert heard[-1] == 1.0
    assert heard == sorted(heard)
    assert store.counts() == {SuppressionReason.MANUAL: 1000}
    assert store.import_entries(many) == ImportResult(1000, 0, 0)
    assert store.counts() == {SuppressionReason.MANUAL: 1000}


def test_of_repeated_rows_in_an_import_the_longest_lasts(store: BlockingStore) -> None:
    rows = [entry("ann@example.com", expires=START + step) for step in (5, 50, 1)]
    result = store.import_entries(rows)
    assert (result.read, result.added) == (3, 1)
    assert [it.expires for it in store.entries()] == [START + 50]


def test_a_source_that_fails_changes_nothing(store: BlockingStore) -> None:
    def source() -> Iterator[Suppression]:
        for number in range(70_000):
            yield entry(f"user{number}@example.com")
        raise ZeroDivisionError

    store.add([entry("ann@example.com")])
    with pytest.raises(ZeroDivisionError):
        store.import_entries(source())
    assert [it.value for it in store.entries()] == ["ann@example.com"]
    assert store.counts() == {SuppressionReason.MANUAL: 1}
    assert found(store, "user1@example.com") == [None]
