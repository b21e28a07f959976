"""Filters of pages side by side: whatever buckets come and go, no identity of one that is there is missed."""

from collections import defaultdict
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.journal.sqlite.filters import FILTER_BYTES, NO_FILTER, PAGES, Filters, page_of, with_names

PAGES_USED = 3
"""Few, so that identities of different buckets meet on them."""

steps = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.just(0)),
        st.tuples(st.just("drop"), st.integers(0, 11)),
        st.tuples(st.sampled_from(["merge", "merge", "merge", "merge as before"]), st.integers(0, 1 << 32)),
    ),
    max_size=60,
)


class Model:
    """Buckets and the identities of each, beside the filters that are told of them."""

    def __init__(self) -> None:
        self.filters = Filters()
        self.buckets: dict[int, set[bytes]] = {}
        self.begun = 0

    def step(self, what: str, which: int) -> None:
        if what == "begin":
            self.begun += 1
            self.buckets[self.begun] = set()
        elif what == "drop" and self.buckets:
            del self.buckets[sorted(self.buckets)[which % len(self.buckets)]]
        elif self.buckets:
            self._merge(which, old="before" in what)
        self.filters.follow(self.buckets)

    def _merge(self, seed: int, *, old: bool) -> None:
        """Into the newest bucket: every page that something comes to gets its filter anew."""
        draw, newest = Random(seed), max(self.buckets)
        there = self.buckets[newest]
        fresh = {identity(draw) for _ in range(draw.randrange(1, 40))}
        there |= fresh
        pages = defaultdict(list)
        for name in there:
            pages[page_of(name)].append(name)
        for page in {page_of(name) for name in fresh}:
            self.filters.put(newest, page, two_bits(pages[page]) if old else with_names(NO_FILTER, pages[page]))

    def found(self, name: bytes) -> list[int]:
        return list(self.filters.buckets(self.filters.left(name)))


def identity(draw: Random) -> bytes:
    """An identity and a source, on one of the first pages."""
    return identity_on(draw.randrange(PAGES_USED), draw)


def identity_on(page: int, draw: Random) -> bytes:
    """The same on a page: its first eleven bits."""
    return (page << 5 | draw.randrange(32)).to_bytes(2, "big") + draw.randbytes(14) + bytes(4)


def two_bits(names: list[bytes]) -> bytes:
    """A filter as it was before: two bits of 13, behind the 11 that tell the page."""
    bits = bytearray(FILTER_BYTES)
    for name in names:
        number = int.from_bytes(name[:5], "big")
        for spot in (number >> 16 & 0x1FFF, number >> 3 & 0x1FFF):
            bits[spot >> 3] |= 1 << (spot & 7)
    return bytes(bits)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_no_identity_is_missed_whatever_buckets_come_and_go(taken: list[tuple[str, int]]) -> None:
    model = Model()
    for what, which in taken:
        model.step(what, which)
        for bucket, names in model.buckets.items():
            assert all(bucket in model.found(name) for name in names)


@settings(max_examples=20, deadline=None)
@given(steps)
def test_only_buckets_that_are_there_are_named_and_newer_ones_first(taken: list[tuple[str, int]]) -> None:
    model, draw = Model(), Random(3)
    for what, which in taken:
        model.step(what, which)
    for _ in range(300):
        found = model.found(identity(draw))
        assert found == sorted(set(found) & set(model.buckets), reverse=True)


def test_a_full_page_says_of_few_strangers_that_they_are_there() -> None:
    draw, filters = Random(7), Filters()
    filters.follow(range(1, 21))
    names = {bucket: [identity(draw) for _ in range(512 * PAGES_USED)] for bucket in range(1, 21)}
    for bucket, there in names.items():
        for page in range(PAGES_USED):
            filters.put(bucket, page, with_names(NO_FILTER, [name for name in there if page_of(name) == page]))
    strangers = [identity(draw) for _ in range(10_000)]
    wrong = sum(len(list(filters.buckets(filters.left(name)))) for name in strangers)
    assert wrong / len(names) < len(strangers) / 500


def test_a_column_is_used_again_when_its_bucket_has_gone() -> None:
    draw, filters = Random(9), Filters()
    name = identity(draw)
    for bucket in range(1, 200):
        filters.follow({bucket, bucket + 1})
        filters.put(bucket + 1, page_of(name), with_names(NO_FILTER, [name]))
    assert list(filters.buckets(filters.left(name))) == [200, 199]
    assert filters.held_bytes == 2 * FILTER_BYTES


def test_what_a_gone_bucket_leaves_ends_with_the_filter_of_the_next() -> None:
    draw, filters = Random(10), Filters()
    gone, name = identity_on(1, draw), identity_on(1, draw)
    filters.follow({1})
    filters.put(1, page_of(gone), two_bits([gone]))
    filters.follow({2})
    filters.put(2, page_of(name), with_names(NO_FILTER, [name]))
    assert not filters.left(gone)
    assert filters.left(name)


def test_a_page_without_a_filter_has_nothing() -> None:
    filters = Filters()
    filters.follow({1})
    assert not any(filters.left(page.to_bytes(2, "big") + bytes(18)) for page in range(0, PAGES << 5, 997))
