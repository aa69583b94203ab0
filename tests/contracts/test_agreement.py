"""Any sequence of changes has the same result in every kind of store."""

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.stores import BlockingStore, open_store
from tests.contracts.conftest import START, URLS, Clock
from tests.contracts.entries import address, entry, sha256
from validators.suppression import Kind, Suppression, SuppressionReason

PEOPLE = ("ann@example.com", "bob@example.com", "eve@example.net")
VALUES = [
    *((Kind.ADDRESS, text) for text in PEOPLE),
    (Kind.DOMAIN, "example.com"),
    (Kind.SHA256, sha256("eve@example.net")),
]
SCOPES = ("all", "mine", "other")

entries = st.builds(
    lambda what, scope, reason, days: entry(
        what[1],
        what[0],
        scope=scope,
        reason=reason,
        expires=None if days is None else START + days * 86_400,
    ),
    st.sampled_from(VALUES),
    st.sampled_from(SCOPES),
    st.sampled_from(SuppressionReason),
    st.none() | st.integers(-1, 3),
)
Change = Callable[[BlockingStore], object]

changes: st.SearchStrategy[Change] = st.one_of(
    st.lists(entries, max_size=3).map(lambda put: lambda store: store.add(put)),
    st.lists(entries, max_size=6).map(lambda put: lambda store: store.import_entries(put)),
    st.tuples(st.sampled_from(VALUES), st.sampled_from((*SCOPES, None))).map(
        lambda what: lambda store: store.remove(*what[0], what[1])
    ),
)
waits = st.integers(1, 100_000)
"""Seconds."""


def seen(store: BlockingStore) -> object:
    """The visible content of a store: its entries, and those that apply to each address."""
    listed: list[Suppression] = sorted(
        store.entries(), key=lambda it: (it.kind, it.value, it.scope)
    )
    return (
        listed,
        [store.find([address(text)]) for text in PEOPLE],
        list(store.find([address(text) for text in PEOPLE])),
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(changes | waits, max_size=12))
def test_every_store_ends_with_the_same_list(steps: list[Change | int]) -> None:
    clock = Clock()
    with tempfile.TemporaryDirectory() as directory:
        stores = [
            BlockingStore(open_store(url(Path(directory)), campaign="mine", clock=clock))
            for url in URLS.values()
        ]
        for step in steps:
            if isinstance(step, int):
                clock.now += step
            else:
                for store in stores:
                    step(store)
            first, *others = (seen(store) for store in stores)
            assert all(other == first for other in others)
        clock.now = (clock.now // 86_400 + 1) * 86_400  # counts are exact at the start of a day
        for store in stores:
            visible = Counter(it.reason for it in store.entries() if it.scope in {"all", "mine"})
            assert store.counts() == visible
            store.close()
