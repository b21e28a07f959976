"""Replays: events done again on lanes of their own; and what a destination is known to have."""

import random

from gateway.journal.base import DeadFilter, Journal
from gateway.model import Counts, Lane, LaneSpec, Pick, Replay, State
from tests.journal.bookkeeper import Bookkeeper
from tests.journal.making import DAY_MS, HOUR_MS, NOW_MS, Lanehand, accept, by, keep_all, row, rules, tried

REPLAY = Replay(
    "rpl_0123456789abcdef",
    NOW_MS,
    "ada",
    from_ms=NOW_MS - DAY_MS,
    to_ms=NOW_MS,
    types=("order.*",),
    when="data.total > `0`",
    every_state=True,
    picked=(Pick("shop", "crm", ((2, 3), (5, 5))),),
)


def _lane(start_seq: int = 1, end_seq: int = 4, destination: str = "crm") -> LaneSpec:
    return LaneSpec("shop", destination, REPLAY.id, start_seq=start_seq, end_seq=end_seq)


async def test_a_replay_has_lanes_of_its_own_over_a_past_range(journal: Journal) -> None:
    await accept(journal, 6)
    lanes = await journal.replay(REPLAY, [_lane(), _lane(destination="lake")], by("replay"))
    assert [(lane.destination, lane.kind, lane.start_seq, lane.end_seq) for lane in lanes] == [
        ("crm", REPLAY.id, 1, 4),
        ("lake", REPLAY.id, 1, 4),
    ]
    assert await journal.replays() == (REPLAY,)
    assert [figures.waiting for figures in await journal.lane_rows()] == [3, 3]


async def test_a_replay_that_is_begun_again_changes_nothing(journal: Journal) -> None:
    await accept(journal, 6)
    first = await journal.replay(REPLAY, [_lane()], by("replay"))
    assert await journal.replay(REPLAY, [_lane()], by("replay")) == first
    assert await journal.replays() == (REPLAY,)
    assert len(await journal.lanes()) == 1


async def test_a_replay_is_heard_of(journal: Journal) -> None:
    seen = await journal.head()
    await journal.replay(REPLAY, [_lane(0, 0)], by("replay"))
    assert (await journal.wait(seen, 5)).operations > seen.operations


async def test_replays_come_newest_first(journal: Journal) -> None:
    for number in range(3):
        await journal.replay(Replay(f"rpl_{number}", NOW_MS + number, "ada"), [], by("replay"))
    assert [one.id for one in await journal.replays()] == ["rpl_2", "rpl_1", "rpl_0"]


async def test_a_replay_that_runs_holds_its_events_and_one_that_is_over_does_not(journal: Journal) -> None:
    await accept(journal, 4)
    await accept(journal, 2, received_at_ms=NOW_MS + DAY_MS)
    hand = await Lanehand.on(journal, kind=REPLAY.id, start_seq=0, end_seq=4)
    over = rules(NOW_MS + DAY_MS + HOUR_MS, keep_ms=2 * HOUR_MS)
    assert (await keep_all(journal, over)).events == 0
    await hand.deliver(1, 4)
    assert (await keep_all(journal, over)).events == 4
    assert (await hand.audited()).balanced


# --- how long they are kept ------------------------------------------------------------------------------------------

OLD_MS = NOW_MS + 40 * DAY_MS
OVER = {"attempts_ms": 10 * DAY_MS, "dead_ms": 30 * DAY_MS}


async def _over(journal: Journal, destination: str = "crm") -> Lanehand:
    """A replay that is over: one event was delivered, one is dead."""
    await accept(journal, 2)
    await journal.replay(REPLAY, [_lane(0, 2, destination)], by("replay"))
    hand = await Lanehand.on(journal, kind=REPLAY.id, start_seq=0, end_seq=2, destination=destination)
    await hand.settle(2, counts=Counts(delivered=1), parked=[row(2, state=State.DEAD)], attempts=[tried(1)])
    return hand


async def test_a_replay_that_is_over_goes_with_its_lanes_when_it_is_old(journal: Journal) -> None:
    (live,) = await journal.register([LaneSpec("shop", "crm")])
    await _over(journal)
    assert (await keep_all(journal, rules(NOW_MS + 29 * DAY_MS, **OVER))).replays == 0
    assert len(await journal.replays()) == 1
    assert (await keep_all(journal, rules(OLD_MS, **OVER))).dead == 1
    assert (await keep_all(journal, rules(OLD_MS + 11 * DAY_MS, **OVER))).replays == 1
    assert await journal.replays() == ()
    assert [lane.id for lane in await journal.lanes()] == [live.id]
    assert all(one.balanced for one in await journal.audit())
    assert await journal.dead_groups(DeadFilter()) == ()


async def test_a_replay_stays_as_long_as_anything_tells_of_it(journal: Journal) -> None:
    hand = await _over(journal)
    assert (await keep_all(journal, rules(OLD_MS, attempts_ms=90 * DAY_MS, dead_ms=30 * DAY_MS))).replays == 0
    assert (await hand.audited()).balanced
    assert len(await journal.replays()) == 1


async def test_a_replay_that_runs_stays_however_old(journal: Journal) -> None:
    await accept(journal, 2)
    lanes = await journal.replay(REPLAY, [_lane(0, 2), _lane(0, 2, "lake")], by("replay"))
    await journal.change_lane(lanes[0].id, by("end"))
    await keep_all(journal, rules(OLD_MS, **OVER))
    assert (await journal.replays(), [lane.id for lane in await journal.lanes()]) == ((REPLAY,), [lanes[1].id])


async def test_a_replay_that_was_cancelled_goes_as_well(journal: Journal) -> None:
    await accept(journal, 2)
    (lane,) = await journal.replay(REPLAY, [_lane(0, 2)], by("replay"))
    await journal.change_lane(lane.id, by("end"))
    assert (await keep_all(journal, rules(OLD_MS, **OVER))).replays == 1
    assert (await journal.replays(), await journal.lanes()) == ((), ())


async def test_a_lane_that_begins_later_has_a_number_of_its_own(journal: Journal) -> None:
    (gone,) = await journal.replay(REPLAY, [_lane(0, 0)], by("replay"))
    await keep_all(journal, rules(OLD_MS, **OVER))
    assert await journal.lanes() == ()
    (live,) = await journal.register([LaneSpec("shop", "crm")])
    assert live.id > gone.id


async def test_many_replays_go_in_slices(journal: Journal) -> None:
    for number in range(250):
        replay = Replay(f"rpl_{number}", NOW_MS, "ada")
        await journal.replay(replay, [LaneSpec("shop", "crm", replay.id, 0, 0)], by("replay"))
    kept = await journal.keep(rules(OLD_MS, **OVER))
    assert kept.more
    assert len(await journal.lanes()) > 0
    assert kept.replays + (await keep_all(journal, rules(OLD_MS, **OVER))).replays == 250
    assert await journal.lanes() == ()


async def test_a_replay_over_a_hole_counts_what_is_there(journal: Journal) -> None:
    for _ in range(3):
        await accept(journal, 2)
    await accept(journal, 2, received_at_ms=NOW_MS + DAY_MS)
    assert (await keep_all(journal, rules(NOW_MS + DAY_MS + HOUR_MS, keep_ms=2 * HOUR_MS))).events == 6
    hand = await Lanehand.on(journal, kind=REPLAY.id, start_seq=0, end_seq=8)
    (figures,) = await journal.lane_rows()
    assert figures.waiting == 2
    await hand.deliver(7, 8)
    (figures,) = await journal.lane_rows()
    assert figures.waiting == 0
    assert (await hand.audited()).balanced


async def test_an_event_is_only_on_the_lanes_that_span_it(journal: Journal) -> None:
    await journal.replay(REPLAY, [_lane(0, 0), _lane(1, 2, "lake")], by("replay"))
    await accept(journal, 3)
    found = [await journal.view(seq) for seq in (1, 2, 3)]
    assert [[lane.destination for lane, *_ in view.lanes] for view in found if view] == [[], ["lake"], []]


async def test_a_replay_is_given_up_by_ending_its_lanes(journal: Journal) -> None:
    await accept(journal, 6)
    (lane,) = await journal.replay(REPLAY, [_lane()], by("replay"))
    ended = await journal.change_lane(lane.id, by("end"))
    assert (ended.ended, ended.counts) == (True, Counts(discarded=3))


async def test_a_new_lane_with_a_past_begins_now_and_is_backfilled(journal: Journal) -> None:
    await accept(journal, 5)
    backfill = Replay("rpl_b", NOW_MS, "gateway", why="backfill")
    (live,) = await journal.register([LaneSpec("shop", "crm", start_seq=2, backfill=backfill)])
    assert (live.start_seq, live.kind) == (5, "live")
    assert _beside(await journal.lanes()) == [("rpl_b", 2, 5)]
    assert await journal.replays() == (backfill,)


async def test_a_lane_that_exists_is_not_backfilled_again(journal: Journal) -> None:
    await accept(journal, 5)
    for number in range(2):
        backfill = Replay(f"rpl_{number}", NOW_MS, "gateway", why="backfill")
        await journal.register([LaneSpec("shop", "crm", start_seq=0, backfill=backfill)])
    assert _beside(await journal.lanes()) == [("rpl_0", 0, 5)]


async def test_a_lane_that_is_taken_over_has_its_past_already(journal: Journal) -> None:
    await journal.register([LaneSpec("shop", "crm")])
    await accept(journal, 5)
    backfill = Replay("rpl_b", NOW_MS, "gateway", why="backfill")
    await journal.register([LaneSpec("shop", "new", start_seq=0, was=("crm",), backfill=backfill)])
    assert _beside(await journal.lanes()) == []


async def test_an_empty_past_is_not_backfilled(journal: Journal) -> None:
    backfill = Replay("rpl_b", NOW_MS, "gateway", why="backfill")
    await journal.register([LaneSpec("shop", "crm", start_seq=0, backfill=backfill)])
    assert len(await journal.lanes()) == 1


async def test_a_time_finds_its_place_in_the_log(journal: Journal) -> None:
    assert await journal.seq_at(NOW_MS) == 0
    for hour in range(4):
        await accept(journal, 2, received_at_ms=NOW_MS + hour * HOUR_MS)
    assert await journal.seq_at(NOW_MS) == 0
    assert await journal.seq_at(NOW_MS + 1) == 2
    assert await journal.seq_at(NOW_MS + 2 * HOUR_MS) == 4
    assert await journal.seq_at(NOW_MS + DAY_MS) == 8


async def test_the_states_of_a_lanes_events_are_told_in_bulk(hand: Lanehand) -> None:
    await accept(hand.journal, 3)
    await accept(hand.journal, 2, source="erp")
    await accept(hand.journal, 5)
    await hand.settle(
        7,
        ahead=((9, 9),),
        counts=Counts(delivered=3, filtered=1),
        parked=[row(3, "a"), row(3, "b", State.DEAD), row(6, state=State.DEAD)],
        attempts=[tried(1), tried(2, State.FILTERED, ""), tried(3, State.PARKED, "a"), tried(7), tried(9)],
    )
    assert await hand.journal.states(hand.lane.id, 0, 10) == (
        (1, State.DELIVERED),
        (2, State.FILTERED),
        (3, State.PARKED),
        (6, State.DEAD),
        (7, State.DELIVERED),
        (8, State.WAITING),
        (9, State.DELIVERED),
        (10, State.WAITING),
    )
    assert await hand.journal.states(hand.lane.id, 2, 6) == ((3, State.PARKED), (6, State.DEAD))
    assert await hand.journal.states(hand.lane.id, 3, 5) == ()
    assert await hand.journal.states(hand.lane.id, 10, 99) == ()


async def test_states_are_those_of_the_lanes_own_range(journal: Journal) -> None:
    await accept(journal, 6)
    (lane,) = await journal.replay(REPLAY, [_lane(start_seq=2, end_seq=4)], by("replay"))
    assert await journal.states(lane.id, 0, 6) == ((3, State.WAITING), (4, State.WAITING))
    await journal.change_lane(lane.id, by("end"))
    assert await journal.states(lane.id, 0, 6) == ((3, State.DISCARDED), (4, State.DISCARDED))


async def test_a_state_that_is_no_longer_known_is_none_and_an_event_that_is_gone_has_none(hand: Lanehand) -> None:
    await accept(hand.journal, 2)
    await accept(hand.journal, 3, received_at_ms=NOW_MS + DAY_MS)
    await hand.deliver(1, 3)
    await hand.settle(4, parked=[row(4, state=State.DEAD)], at_ms=NOW_MS + DAY_MS)
    old = rules(NOW_MS + DAY_MS + HOUR_MS, keep_ms=2 * HOUR_MS, attempts_ms=2 * HOUR_MS)
    assert (await keep_all(hand.journal, old)).events == 2
    assert await hand.journal.states(hand.lane.id, 0, 5) == ((3, None), (4, State.DEAD), (5, State.WAITING))


async def test_states_in_bulk_are_those_of_one_event_after_the_other(journal: Journal) -> None:
    chance = random.Random(7)
    hand = await Lanehand.on(journal)
    keeper = Bookkeeper(journal, hand)
    moves = [keeper.take, keeper.settle, keeper.attempt, keeper.remap, keeper.retry, keeper.discard, keeper.keep]
    await keeper.take([1] * 10)
    for _ in range(60):
        await chance.choice(moves)([chance.randrange(1_000) for _ in range(6)])
    head = (await journal.head()).seq
    told = dict(await journal.states(hand.lane.id, 0, head))
    for seq in range(1, head + 1):
        view = await journal.view(seq)
        if view is None or view.event.source != "shop":
            assert seq not in told
        else:
            assert told[seq] == next((state for lane, state, _, _ in view.lanes if lane.id == hand.lane.id), None)


async def test_the_newest_version_that_a_destination_has_is_known(hand: Lanehand) -> None:
    await accept(hand.journal, 3)
    one, other, unknown = b"1" * 16, b"2" * 16, b"3" * 16
    await hand.settle(1, counts=Counts(delivered=1), versions=((one, 50), (other, 70)))
    await hand.settle(2, counts=Counts(delivered=1), versions=((one, 40), (other, 80)))
    lake = await Lanehand.on(hand.journal, destination="lake")
    assert await hand.journal.versions(hand.lane.id, [one, other, unknown]) == {one: 50, other: 80}
    assert await hand.journal.versions(lake.lane.id, [one]) == {}
    assert await hand.journal.versions(hand.lane.id, []) == {}


async def test_versions_go_with_their_destination_when_it_is_renamed(hand: Lanehand) -> None:
    key = b"1" * 16
    await accept(hand.journal, 1)
    await hand.settle(1, counts=Counts(delivered=1), versions=((key, 50),))
    await hand.journal.register([LaneSpec("shop", "new", was=("crm",))])
    assert await hand.journal.versions(hand.lane.id, [key]) == {key: 50}


async def test_versions_are_kept_as_long_as_events(hand: Lanehand) -> None:
    key, newer = b"1" * 16, b"2" * 16
    await accept(hand.journal, 2)
    await hand.settle(1, counts=Counts(delivered=1), versions=((key, 50),), at_ms=NOW_MS)
    await hand.settle(2, counts=Counts(delivered=1), versions=((newer, 50),), at_ms=NOW_MS + DAY_MS)
    await keep_all(hand.journal, rules(NOW_MS + DAY_MS + HOUR_MS, keep_ms=2 * HOUR_MS))
    assert await hand.journal.versions(hand.lane.id, [key, newer]) == {newer: 50}


def _beside(lanes: tuple[Lane, ...]) -> list[tuple[str, int, int | None]]:
    return [(lane.kind, lane.start_seq, lane.end_seq) for lane in lanes if lane.kind != "live"]
