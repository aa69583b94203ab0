"""What every suppression store does."""

from collections.abc import Iterator

import pytest

from relay.stores import ImportResult, Store
from tests.contracts.conftest import START, Clock
from tests.contracts.entries import address, entry, md5, sha256
from validators.suppression import Kind, Suppression, SuppressionReason

DAY = 86_400.0


def found(store: Store, *texts: str) -> list[str | None]:
    """The values of the entries that hold for each address."""
    group = [address(text) for text in texts]
    return [None if entry is None else entry.value for entry in store.find(group)]


def test_an_empty_store_finds_nothing(store: Store) -> None:
    assert found(store, "ann@example.com", "bob@example.com") == [None, None]
    assert list(store.find([])) == []
    assert store.counts() == {}
    assert list(store.entries()) == []
    assert store.healthy() is None


def test_an_entry_comes_back_as_it_was_put(store: Store) -> None:
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


def test_the_canonical_form_is_found(store: Store) -> None:
    store.add([entry("annsmith@gmail.com")])
    assert found(store, "Ann.Smith+news@GMail.com", "ann.smith@example.com") == [
        "annsmith@gmail.com",
        None,
    ]


def test_a_domain_is_not_its_subdomains(store: Store) -> None:
    store.add([entry("example.net", Kind.DOMAIN)])
    assert found(store, "ann@example.net", "ann@sub.example.net", "ann@xexample.net") == [
        "example.net",
        None,
        None,
    ]


def test_a_group_is_answered_in_order(store: Store) -> None:
    store.add([entry(f"user{number}@example.com") for number in range(0, 700, 2)])
    answers = found(store, *(f"user{number}@example.com" for number in range(700)))
    assert answers == [None if number % 2 else f"user{number}@example.com" for number in range(700)]


def test_a_recipient_named_twice_is_found_twice(store: Store) -> None:
    store.add([entry("ann@example.com")])
    assert (
        found(store, "ann@example.com", "ann@example.com", "ann@example.com")
        == ["ann@example.com"] * 3
    )


def test_another_campaigns_entry_does_not_hold(store: Store) -> None:
    store.add([entry("ann@example.com", scope="other"), entry("bob@example.com", scope="mine")])
    assert found(store, "ann@example.com", "bob@example.com") == [None, "bob@example.com"]
    assert store.counts() == {SuppressionReason.MANUAL: 1}


def test_the_most_specific_entry_wins(store: Store) -> None:
    text = "ann@example.com"
    by_rank = [
        entry(text, scope="mine"),
        entry(text),
        entry(sha256(text), Kind.SHA256),
        entry(md5(text), Kind.MD5),
        entry("example.com", Kind.DOMAIN),
    ]
    store.add(reversed(by_rank))
    for rank, best in enumerate(by_rank):
        assert store.find([address(text)]) == [best]
        assert store.lookup(address(text)) == by_rank[rank:]
        assert store.remove(best.kind, best.value, best.scope) == 1
    assert store.find([address(text)]) == [None]


def test_lookup_sees_every_scope(store: Store) -> None:
    store.add([entry("ann@example.com", scope="other"), entry("bob@example.com")])
    assert [it.scope for it in store.lookup(address("ann@example.com"))] == ["other"]


def test_an_expired_entry_is_gone(store: Store, clock: Clock) -> None:
    store.add([entry("ann@example.com", expires=START + 10), entry("example.com", Kind.DOMAIN)])
    assert found(store, "ann@example.com") == ["ann@example.com"]
    clock.now = START + 10
    assert found(store, "ann@example.com") == ["example.com"]
    assert [it.value for it in store.entries()] == ["example.com"]
    assert [it.value for it in store.lookup(address("ann@example.com"))] == ["example.com"]
    clock.now = START + 10 + DAY
    assert store.counts() == {SuppressionReason.MANUAL: 1}


def test_adding_again_never_weakens(store: Store) -> None:
    bob = "bob@example.com"
    assert store.add([entry(bob, expires=START + 10, source="first")]) == 1
    assert store.add([entry(bob, expires=START + 5, source="shorter")]) == 0
    assert store.add([entry(bob, expires=START + 10, source="same")]) == 0
    assert store.add([entry(bob, expires=START + 20, source="longer")]) == 1
    assert store.add([entry(bob, source="for good", reason=SuppressionReason.COMPLAINT)]) == 1
    assert store.add([entry(bob, expires=START + 30), entry(bob)]) == 0
    assert [it.source for it in store.entries()] == ["for good"]
    assert store.counts() == {SuppressionReason.COMPLAINT: 1}


def test_an_expired_entry_can_be_put_anew(store: Store, clock: Clock) -> None:
    store.add([entry("ann@example.com", expires=START + 10)])
    clock.now = START + 20
    assert store.add([entry("ann@example.com", expires=START + 30)]) == 1
    assert found(store, "ann@example.com") == ["ann@example.com"]


def test_removing(store: Store) -> None:
    ann = "ann@example.com"
    store.add([entry(ann, scope=scope) for scope in ("all", "mine", "other")])
    assert store.remove(Kind.ADDRESS, ann, "mine") == 1
    assert store.remove(Kind.ADDRESS, ann, "mine") == 0
    assert store.remove(Kind.DOMAIN, "example.com") == 0
    assert [it.scope for it in store.lookup(address(ann))] == ["other", "all"]
    assert store.remove(Kind.ADDRESS, ann) == 2
    assert store.counts() == {}
    assert found(store, ann) == [None]


def test_entries_can_be_filtered(store: Store) -> None:
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


def test_an_import_adds_and_counts(store: Store) -> None:
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


def test_of_repeated_rows_in_an_import_the_longest_lasts(store: Store) -> None:
    rows = [entry("ann@example.com", expires=START + step) for step in (5, 50, 1)]
    result = store.import_entries(rows)
    assert (result.read, result.added) == (3, 1)
    assert [it.expires for it in store.entries()] == [START + 50]


def test_a_source_that_fails_changes_nothing(store: Store) -> None:
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


def test_closing_twice_does_nothing(store: Store) -> None:
    store.close()
    store.close()
