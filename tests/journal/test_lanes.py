"""Lanes: where they begin, how they are taken over, what is settled."""

from gateway.journal.base import Journal
from gateway.model import Counts, LaneSpec, Pick, Replay, State
from tests.journal.making import NOW_MS, Lanehand, accept, by, row, tried


async def test_a_lane_begins_at_the_head_of_its_registration(journal: Journal) -> None:
    await accept(journal, 3)
    (lane,) = await journal.register([LaneSpec("shop", "crm")])
    assert (lane.start_seq, lane.cursor, lane.ahead, lane.counts) == (3, 3, (), Counts())
    assert (lane.paused, lane.ended, lane.kind) == (False, False, "live")


async def test_registering_again_changes_nothing(journal: Journal) -> None:
    specs = [LaneSpec("shop", "crm"), LaneSpec("shop", "lake"), LaneSpec("erp", "crm")]
    first = await journal.register(specs)
    await accept(journal, 3)
    head = await journal.head()
    assert await journal.register(specs) == first
    assert await journal.lanes() == first
    assert await journal.head() == head


async def test_lanes_come_back_in_the_order_of_the_specs(journal: Journal) -> None:
    await journal.register([LaneSpec("shop", "crm"), LaneSpec("erp", "crm")])
    lanes = await journal.register([LaneSpec("erp", "crm"), LaneSpec("new", "crm"), LaneSpec("shop", "crm")])
    assert [lane.source for lane in lanes] == ["erp", "new", "shop"]


async def test_a_lane_may_begin_in_the_past_and_end(journal: Journal) -> None:
    await accept(journal, 10)
    (lane,) = await journal.register([LaneSpec("shop", "crm", "replay-1", start_seq=2, end_seq=6)])
    assert (lane.start_seq, lane.cursor, lane.end_seq) == (2, 2, 6)
    (figures,) = await journal.lane_rows()
    assert figures.waiting == 4


async def test_a_renamed_destination_takes_its_lane_over_with_all_it_holds(journal: Journal) -> None:
    hand = await Lanehand.on(journal)
    await accept(journal, 2)
    await hand.settle(1, parked=[row(1)])
    (lane,) = await journal.register([LaneSpec("shop", "ometria", was=("older", "crm"))])
    assert (lane.id, lane.destination, lane.cursor) == (hand.lane.id, "ometria", 1)
    assert lane.changed > hand.lane.changed
    assert len(await journal.parked(lane.id)) == 1
    assert len(await journal.lanes()) == 1


async def test_a_renamed_destination_takes_over_the_replays_of_its_lane(journal: Journal) -> None:
    hand = await Lanehand.on(journal)
    await accept(journal, 4)
    pick = Pick("shop", "crm", ((2, 3),))
    replay = Replay("rpl_1", NOW_MS, "ada", picked=(pick, Pick("erp", "crm", ((1, 1),))))
    specs = [LaneSpec(source, "crm", replay.id, start_seq=0, end_seq=3) for source in ("shop", "erp")]
    again, other = await journal.replay(replay, specs, by("replay"))
    await journal.register([LaneSpec("shop", "ometria", was=("crm",))])
    await journal.register([LaneSpec("shop", "lake", was=("ometria",))])
    lanes = {lane.id: lane for lane in await journal.lanes()}
    assert [lanes[one].destination for one in (hand.lane.id, again.id, other.id)] == ["lake", "lake", "crm"]
    assert [lanes[one].began_as for one in (hand.lane.id, again.id, other.id)] == ["crm", "crm", ""]
    assert lanes[again.id].changed > again.changed


async def test_a_replay_that_is_on_both_destinations_is_not_renamed_onto_itself(journal: Journal) -> None:
    await journal.register([LaneSpec("shop", "crm"), LaneSpec("shop", "ometria")])
    await accept(journal, 4)
    specs = [LaneSpec("shop", to, "rpl_1", start_seq=0, end_seq=3) for to in ("crm", "ometria")]
    await journal.replay(Replay("rpl_1", NOW_MS, "ada"), specs, by("replay"))
    await journal.change_lane(2, by("end"))
    await journal.register([LaneSpec("shop", "ometria", was=("crm",))])
    told = [(lane.id, lane.destination) for lane in await journal.lanes() if lane.kind != "live"]
    assert told == [(3, "crm"), (4, "ometria")]


async def test_a_lane_that_exists_takes_nothing_over(journal: Journal) -> None:
    await journal.register([LaneSpec("shop", "crm"), LaneSpec("shop", "ometria")])
    await journal.register([LaneSpec("shop", "ometria", was=("crm",))])
    assert sorted(lane.destination for lane in await journal.lanes()) == ["crm", "ometria"]


async def test_a_lane_of_another_source_is_not_taken_over(journal: Journal) -> None:
    await journal.register([LaneSpec("erp", "crm")])
    await journal.register([LaneSpec("shop", "ometria", was=("crm",))])
    assert len(await journal.lanes()) == 2


async def test_an_ended_lane_makes_room_for_a_new_one(journal: Journal) -> None:
    (first,) = await journal.register([LaneSpec("shop", "crm")])
    await accept(journal, 4)
    await journal.change_lane(first.id, by("end"))
    (second,) = await journal.register([LaneSpec("shop", "crm")])
    assert second.id != first.id
    assert (second.start_seq, second.ended) == (4, False)


async def test_a_new_lane_is_heard_of(journal: Journal) -> None:
    seen = await journal.head()
    await journal.register([LaneSpec("shop", "crm")])
    assert (await journal.wait(seen, 5)).operations > seen.operations


async def test_a_settle_moves_the_cursor_and_what_is_ahead_of_it(hand: Lanehand) -> None:
    await accept(hand.journal, 10)
    attempts = [tried(seq) for seq in (1, 2, 5, 6, 9)]
    lane = await hand.settle(2, ahead=((5, 6), (9, 9)), counts=Counts(delivered=5), attempts=attempts)
    assert (lane.cursor, lane.ahead, lane.counts.delivered) == (2, ((5, 6), (9, 9)), 5)
    assert await hand.seen() == lane
    (figures,) = await hand.journal.lane_rows()
    assert figures.waiting == 5


async def test_what_waits_is_counted_without_what_other_sources_sent(hand: Lanehand) -> None:
    for _ in range(4):
        await accept(hand.journal, 2)
        await accept(hand.journal, 3, source="erp")
    await hand.settle(2, ahead=((6, 6), (12, 12)), counts=Counts(delivered=4), attempts=[tried(1), tried(6)])
    (figures,) = await hand.journal.lane_rows()
    assert figures.waiting == 8 - 2 - 2


async def test_how_long_the_oldest_event_waits_is_known(hand: Lanehand) -> None:
    await accept(hand.journal, 1, received_at_ms=1_000)
    await accept(hand.journal, 1, received_at_ms=2_000, source="erp")
    await accept(hand.journal, 1, received_at_ms=3_000)
    (figures,) = await hand.journal.lane_rows()
    assert figures.oldest_waiting_at_ms == 1_000
    await hand.deliver(1, 1)
    (figures,) = await hand.journal.lane_rows()
    assert figures.oldest_waiting_at_ms == 3_000
    await hand.deliver(3, 3)
    (figures,) = await hand.journal.lane_rows()
    assert (figures.waiting, figures.oldest_waiting_at_ms) == (0, None)


async def test_parked_events_of_a_lane_are_its_own(journal: Journal) -> None:
    one, two = await Lanehand.on(journal), await Lanehand.on(journal, destination="lake")
    await accept(journal, 1)
    await one.settle(1, parked=[row(1, state=State.PARKED)])
    assert len(await journal.parked(one.lane.id)) == 1
    assert await journal.parked(two.lane.id) == ()


async def test_a_configuration_that_changes_counts_as_one_more_revision(journal: Journal) -> None:
    revisions = [await journal.revise(digest) for digest in ("aa", "aa", "bb", "aa")]
    assert revisions == [1, 1, 2, 3]


async def test_a_revision_that_the_configuration_names_is_counted_on_from(journal: Journal) -> None:
    revisions = [await journal.revise("aa", 7), await journal.revise("bb"), await journal.revise("cc", 3)]
    assert revisions == [7, 8, 3]
