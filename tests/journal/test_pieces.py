"""The pieces that engines share, by themselves: ranges, bitmaps, packing, who repeats whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal import ledger
from gateway.journal.admission import Known, admit, derived_id
from gateway.journal.parts import Part, bitmap
from gateway.journal.ranges import beyond, contains, flat, paired
from gateway.journal.records import (
    grow,
    pack_attempts,
    pack_counts,
    pack_duplicates,
    pack_offers,
    pack_ranges,
    receipts_again,
    shrink,
    unpack_attempts,
    unpack_counts,
    unpack_duplicates,
    unpack_ranges,
    unpack_stored,
)
from gateway.model import Attempt, Counts, Lease, Ranges, Settlement, State, state_of_parts
from tests.journal.making import NOW_MS, offer, row


def _ranges(seqs: set[int]) -> Ranges:
    found: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if found and found[-1][1] == seq - 1:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    return tuple(found)


def _seqs(ranges: Ranges) -> set[int]:
    return {seq for first, last in ranges for seq in range(first, last + 1)}


@given(st.sets(st.integers(1, 60)), st.integers(0, 61))
def test_ranges_are_sets_of_seqs(seqs: set[int], low: int) -> None:
    ranges = _ranges(seqs)
    assert contains(ranges, low) == (low in seqs)
    assert _seqs(beyond(ranges, low)) == {seq for seq in seqs if seq > low}
    assert paired(flat(ranges)) == ranges
    assert unpack_ranges(pack_ranges(ranges)) == ranges


@given(st.sets(st.integers(0, 40), min_size=1), st.integers(90, 150), st.integers(90, 150))
def test_a_bitmap_counts_what_lies_between(places: set[int], low: int, high: int) -> None:
    part = Part(100, 140, len(places), 7, bitmap(places))
    assert part.between(low, high) == sum(low < 100 + place <= high for place in places)


def test_a_batch_of_one_source_needs_no_bitmap() -> None:
    part = Part(100, 140, 41, 7, None)
    assert (part.between(0, 999), part.between(100, 102), part.between(139, 999), part.between(140, 200)) == (
        41,
        2,
        1,
        0,
    )


def test_offers_come_back_from_their_payload() -> None:
    offers = [offer("a", headers=(("x", "ä"), ("x", ""))), offer(source="erp", traceparent="00-1")]
    stored = unpack_stored(pack_offers(offers))
    assert [(one.source, one.body, one.headers, one.traceparent) for one in stored] == [
        (one.source, one.body, one.headers, one.traceparent) for one in offers
    ]


def test_attempts_and_counts_come_back() -> None:
    attempts = [Attempt(1, "a", "delivered"), Attempt(2, "b", "dead", 400, 3, "record_refused", "", b"no")]
    assert unpack_attempts(pack_attempts(attempts)) == attempts
    assert unpack_counts(pack_counts(Counts(dead=3))) == Counts(dead=3)
    assert pack_counts(Counts()) is None
    assert unpack_counts(None) == Counts()
    assert grow(shrink(b"")) == b""


def test_many_events_that_are_alike_are_stored_once() -> None:
    offers = [offer(body=b'{"line_items":[{"title":"Blue shirt"}]}' * 50) for _ in range(50)]
    assert len(pack_offers(offers)) < sum(len(one.body) for one in offers) / 20


@given(st.lists(st.sampled_from("abcde"), max_size=12))
def test_receipts_are_told_again_from_what_is_stored(names: list[str]) -> None:
    known = {("shop", b"e".rjust(16, b".")): Known(3, b"tail", NOW_MS)}
    admitted = admit([offer(name) for name in names], known, 10, b"g" * 16)
    stored = unpack_duplicates(pack_duplicates(admitted.duplicates))
    assert receipts_again(b"g" * 16, 11, len(names), stored) == admitted.receipts


def test_the_group_that_derives_from_a_settlement_is_the_same_when_tried_again() -> None:
    settlement = Settlement(Lease("acme", "me", 1, 0), NOW_MS, (), derived=(offer("d"),))
    assert derived_id(settlement) == derived_id(settlement)
    assert derived_id(settlement) != derived_id(Settlement(settlement.lease, NOW_MS, (), derived=(offer("x"),)))
    assert len(derived_id(settlement)) == 16


@pytest.mark.parametrize("past", range(1, 32))
def test_closed_books_have_the_state_of_their_parts(past: int) -> None:
    states = [state for state, bit in ledger.BIT.items() if past & bit]
    assert ledger.STATE_OF_BITS[past] == state_of_parts(states)


def test_letting_the_last_dead_row_go_closes_the_books() -> None:
    event = ledger.Standing({"a": row(1, "a", State.DEAD), "b": row(1, "b", State.DEAD)}, 0)
    counts, rest, state = ledger.let_go(Counts(dead=1), event, "a", State.DISCARDED)
    assert (counts, list(rest.rows), state) == (Counts(dead=1), ["b"], State.DEAD)
    counts, rest, state = ledger.let_go(counts, rest, "b", State.DISCARDED)
    assert (counts, rest.rows, state) == (Counts(discarded=1), {}, State.DISCARDED)


def test_an_imbalance_is_told_in_words() -> None:
    assert ledger.difference(2, Counts(delivered=2), Counts(delivered=2)) == ""
    assert ledger.difference(3, Counts(delivered=2), Counts(delivered=1, dead=1)) == (
        "3 events are settled, 2 are booked; delivered: booked 2, found 1; dead: booked 0, found 1"
    )
