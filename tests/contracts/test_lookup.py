"""The contract of `LookupStore`: the look-ups that the relay needs."""

from relay.stores import BlockingStore
from tests.contracts.conftest import START, Clock
from tests.contracts.entries import address, entry, found, md5, sha256
from validators.suppression import Kind, SuppressionReason

DAY = 86_400.0


def test_an_empty_store_finds_nothing(store: BlockingStore) -> None:
    assert found(store, "ann@example.com", "bob@example.com") == [None, None]
    assert list(store.find([])) == []
    assert store.counts() == {}
    assert list(store.entries()) == []
    assert store.healthy() is None


def test_the_canonical_form_is_found(store: BlockingStore) -> None:
    store.add([entry("annsmith@gmail.com")])
    assert found(store, "Ann.Smith+news@GMail.com", "ann.smith@example.com") == [
        "annsmith@gmail.com",
        None,
    ]


def test_a_domain_is_not_its_subdomains(store: BlockingStore) -> None:
    store.add([entry("example.net", Kind.DOMAIN)])
    assert found(store, "ann@example.net", "ann@sub.example.net", "ann@xexample.net") == [
        "example.net",
        None,
        None,
    ]


def test_a_group_is_answered_in_order(store: BlockingStore) -> None:
    store.add([entry(f"user{number}@example.com") for number in range(0, 700, 2)])
    answers = found(store, *(f"user{number}@example.com" for number in range(700)))
    assert answers == [None if number % 2 else f"user{number}@example.com" for number in range(700)]


def test_a_recipient_named_twice_is_found_twice(store: BlockingStore) -> None:
    store.add([entry("ann@example.com")])
    assert (
        found(store, "ann@example.com", "ann@example.com", "ann@example.com")
        == ["ann@example.com"] * 3
    )


def test_another_campaigns_entry_does_not_hold(store: BlockingStore) -> None:
    store.add([entry("ann@example.com", scope="other"), entry("bob@example.com", scope="mine")])
    assert found(store, "ann@example.com", "bob@example.com") == [None, "bob@example.com"]
    assert store.counts() == {SuppressionReason.MANUAL: 1}


def test_the_most_specific_entry_wins(store: BlockingStore) -> None:
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


def test_an_expired_entry_is_gone(store: BlockingStore, clock: Clock) -> None:
    store.add([entry("ann@example.com", expires=START + 10), entry("example.com", Kind.DOMAIN)])
    assert found(store, "ann@example.com") == ["ann@example.com"]
    clock.now = START + 10
    assert found(store, "ann@example.com") == ["example.com"]
    assert [it.value for it in store.entries()] == ["example.com"]
    assert [it.value for it in store.lookup(address("ann@example.com"))] == ["example.com"]
    clock.now = START + 10 + DAY
    assert store.counts() == {SuppressionReason.MANUAL: 1}


def test_closing_twice_does_nothing(store: BlockingStore) -> None:
    store.close()
    store.close()
