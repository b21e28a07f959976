"""Lanes of one account share its budget by weight: no claim is left over from a time in which a lane could not go, and
none is lost by what went beside others.
"""

from msgspec.structs import replace

from gateway.deliver.account import Account
from gateway.deliver.lane import LaneWork
from gateway.vendors.base import Batch, Delivered, Response, same
from tests.deliver.making import account, destination, feed, now, record, work


def sent(made: Account, requests: int) -> list[str]:
    """Where the next requests go, each answered before the next one."""
    found = []
    for _ in range(requests):
        batch = made.next_batch(now(100.0))
        assert isinstance(batch, Batch)
        found.append(batch.destination)
        made.finished(batch, Response(200, {}, b""), same(Delivered(), batch), 0.01, now(100.0))
    return found


def flood(made: Account, one: LaneWork, events: int) -> None:
    first = 1 + max((work.read_to for work in made.works.values()), default=0)
    feed(made, one, *(record(seq, number=one.id) for seq in range(first, first + events)))


def test_a_lane_that_goes_on_has_no_claim_for_the_time_in_which_it_was_paused() -> None:
    paused, other = work(1, destination("paused")), work(2, destination("other"))
    made = account(paused, other)
    flood(made, paused, 300)
    flood(made, other, 1_000)
    paused.lane = replace(paused.lane, paused=True)
    sent(made, 40)
    paused.lane = replace(paused.lane, paused=False)
    assert 4 <= sent(made, 10).count("other") <= 6


def test_what_goes_again_at_a_low_weight_does_not_hold_up_a_live_lane_that_begins() -> None:
    again, busy, new = work(1, destination("again")), work(2, destination("busy")), work(3, destination("new"))
    again.lane = replace(again.lane, kind="rpl_1")
    made = account(again, busy, new)
    flood(made, again, 500)
    flood(made, busy, 500)
    while sent(made, 1) != ["again"]:
        pass
    flood(made, new, 100)
    assert "new" in sent(made, 2)


def test_what_fills_the_batches_of_another_lane_is_not_held_against_a_lane_for_long() -> None:
    trickle, full, other = work(1, destination("full")), work(2, destination("full")), work(3, destination("other"))
    made = account(trickle, full, other)
    flood(made, full, 2_000)
    for _ in range(100):
        flood(made, trickle, 1)
        sent(made, 1)
    flood(made, other, 1_000)
    assert 4 <= sent(made, 10).count("other") <= 6
