"""The parked rows of a lane: what is due, and what waits behind another of its key."""

from msgspec.structs import replace

from gateway.deliver.parked import ParkedIndex
from gateway.model import ParkedRow, State

HOUR_MS = 3_600_000


def row(seq: int, key: bytes = b"", due_at_ms: int = 1000, part: str = "order:1") -> ParkedRow:
    return ParkedRow(
        seq=seq,
        part=part,
        channel="order",
        key=key,
        state=State.PARKED,
        attempt=1,
        due_at_ms=due_at_ms,
        first_failed_at_ms=0,
        at_ms=0,
        reason="server_error",
    )


def index(*rows: ParkedRow) -> ParkedIndex:
    return ParkedIndex(rows, longest_wait_ms=HOUR_MS)


def test_a_row_is_due_at_its_time_and_not_before() -> None:
    parked = index(row(1, due_at_ms=2000))
    assert parked.take_due(1999, 10) == []
    assert parked.next_due_ms(1999) == 2000
    assert parked.take_due(2000, 10) == [(1, "order:1")]


def test_a_row_at_its_attempt_is_not_due_again() -> None:
    parked = index(row(1))
    parked.take_due(5000, 10)
    assert parked.take_due(9000, 10) == []
    assert parked.next_due_ms(9000) is None


def test_of_one_key_only_the_oldest_is_due() -> None:
    parked = index(row(2, b"k", due_at_ms=0), row(1, b"k", due_at_ms=9000))
    assert parked.take_due(5000, 10) == []
    assert parked.take_due(9000, 10) == [(1, "order:1")]


def test_when_the_oldest_of_a_key_goes_the_next_is_due_at_its_own_time() -> None:
    parked = index(row(1, b"k", due_at_ms=0), row(2, b"k", due_at_ms=4000))
    assert parked.take_due(5000, 10) == [(1, "order:1")]
    parked.remove((1, "order:1"))
    assert parked.take_due(5000, 10) == [(2, "order:1")]


def test_a_key_blocks_until_its_last_row_is_gone() -> None:
    parked = index(row(1, b"k"), row(2, b"k"))
    parked.remove((1, "order:1"))
    assert parked.blocks(b"k", 9)
    parked.remove((2, "order:1"))
    assert not parked.blocks(b"k", 9)


def test_a_key_does_not_block_what_is_older_than_its_rows() -> None:
    parked = index(row(5, b"k"))
    assert (parked.blocks(b"k", 4), parked.blocks(b"k", 6)) == (False, True)


def test_a_row_waits_for_an_older_record_of_its_key_that_is_on_its_way() -> None:
    parked = index(row(5, b"k"))
    parked.leaves(b"k", 4)
    assert parked.take_due(5000, 10) == []
    parked.arrives(b"k", 4)
    assert parked.take_due(5000, 10) == [(5, "order:1")]


def test_an_attempt_is_given_back_when_an_older_row_of_the_key_was_parked_meanwhile() -> None:
    parked = index(row(5, b"k"))
    parked.take_due(5000, 10)
    parked.add(row(4, b"k"))
    assert parked.gives_way((5, "order:1"), b"k")


def test_a_row_that_is_not_yet_in_the_journal_blocks_but_is_not_due() -> None:
    parked = index()
    parked.add(row(1, b"k", due_at_ms=0))
    assert parked.blocks(b"k", 9)
    assert parked.take_due(5000, 10) == []
    parked.durable((1, "order:1"))
    assert parked.take_due(5000, 10) == [(1, "order:1")]


def test_a_row_that_is_held_for_days_is_due_after_days() -> None:
    held = replace(row(1, due_at_ms=72 * HOUR_MS), reason="held")
    assert index(held).next_due_ms(1000) == 72 * HOUR_MS
    assert index(held).next_due_ms(-5 * HOUR_MS) == 72 * HOUR_MS
    assert index(held).next_due_ms(-7 * HOUR_MS) == -7 * HOUR_MS


def test_a_due_time_that_only_a_jumped_clock_can_have_made_counts_as_due() -> None:
    parked = index(row(1, due_at_ms=48 * HOUR_MS))
    assert parked.next_due_ms(1000) == 1000
    assert parked.take_due(1000, 10) == [(1, "order:1")]


def test_what_an_operator_retried_is_due_and_what_he_discarded_is_forgotten() -> None:
    parked = index(row(1), row(2))
    parked.merge([row(2), row(3)])
    assert parked.take_due(5000, 10) == [(2, "order:1"), (3, "order:1")]


def test_what_is_at_its_attempt_is_left_alone_by_an_operators_change() -> None:
    parked = index(row(1, b"k"))
    parked.take_due(5000, 10)
    parked.merge([])
    assert (1, "order:1") in parked
