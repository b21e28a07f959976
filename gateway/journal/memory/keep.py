"""Keeping in memory: the same rules as everywhere, event by event."""

from msgspec.structs import replace

from gateway.errors import Reason
from gateway.journal import ledger
from gateway.journal.base import Keep, Kept
from gateway.journal.memory.store import LaneStore, Store
from gateway.model import Counts, Lane, State

PER_SLICE = 200
NOTHING = Kept(0, 0, 0, 0, 0, 0, more=False)


def keep(store: Store, rules: Keep) -> Kept:
    """One slice of what is over."""
    for name, act in (
        ("identities", _identities),
        ("events", _events),
        ("expired", _expire),
        ("attempts", _attempts),
        ("dead", _dead),
        ("replays", _replays),
    ):
        count = act(store, rules)
        if count:
            return replace(NOTHING, **{name: count}, more=True)
    return replace(NOTHING, more=_versions(store, rules) or _intents(store))


def recount(store: LaneStore, after_seq: int, to_seq: int) -> Counts:
    """The events of a lane with after_seq < seq <= to_seq that attempts tell of, without those that have rows."""
    bits: dict[int, int] = {}
    for one in store.tried:
        if one.counted:
            ledger.fold(bits, one.attempts, after_seq, to_seq, own=one.own)
    return ledger.count_closed(bits, store.rows)


def _identities(store: Store, rules: Keep) -> int:
    over = [key for key, known in store.identities.items() if known.at_ms + rules.identities_ms < rules.now_ms]
    for key in over[:PER_SLICE]:
        del store.identities[key]
    return len(over[:PER_SLICE])


def _events(store: Store, rules: Keep) -> int:
    """Settled events that are old, or beyond the room there is. The newest stays, as in every engine."""
    excess = store.size_bytes - rules.max_bytes if rules.max_bytes is not None else 0
    settled = ledger.settled_by_all(one.book for one in store.lanes.values())
    needed = _needed(store)
    over: list[int] = []
    for seq in store.seqs[:-1]:
        event = store.events[seq]
        old = excess > 0 or event.received_at_ms < rules.now_ms - rules.keep_ms
        if old and seq <= settled.get(event.source, seq) and seq not in needed:
            over.append(seq)
            excess -= len(event.body)
    for seq in over[:PER_SLICE]:
        store.remove_event(seq)
    return len(over[:PER_SLICE])


def _versions(store: Store, rules: Keep) -> bool:
    over = [key for key, one in store.versions.items() if one.at_ms < rules.now_ms - rules.keep_ms]
    for key in over[:PER_SLICE]:
        del store.versions[key]
    return bool(over)


def _intents(store: Store) -> bool:
    """Intents whose lanes have all ended, or are gone."""
    going = {number for number, lane in store.lanes.items() if not lane.lane.ended}
    over = [key for key, one in store.intents.items() if going.isdisjoint(lane for lane, _, _ in one.members)]
    for key in over[:PER_SLICE]:
        del store.intents[key]
    return bool(over)


def _needed(store: Store) -> set[int]:
    """The events that rows need. A letter that has expired needs none: it only says what was lost."""
    return {
        seq
        for lane in store.lanes.values()
        for seq, rows in lane.rows.items()
        if any(row.reason != Reason.EXPIRED for row in rows.values())
    }


def _expire(store: Store, rules: Keep) -> int:
    before_ms = rules.now_ms - rules.keep_at_most_ms
    lanes = [(seqs[0], lane.lane.id, seqs) for lane in store.lanes.values() if (seqs := store.waiting(lane.lane))]
    for _, number, seqs in lanes:
        over = [seq for seq in seqs if store.events[seq].received_at_ms < before_ms]
        if over and over[0] == seqs[0]:
            first = next((place for place, seq in enumerate(seqs) if seq not in set(over)), len(seqs))
            return _become_dead(store, number, seqs[: min(first, PER_SLICE)], rules.now_ms)
    if lanes and rules.max_bytes is not None and store.size_bytes > rules.max_bytes:
        _, number, seqs = min(lanes)
        return _become_dead(store, number, seqs[:1], rules.now_ms)
    return 0


def _become_dead(store: Store, number: int, seqs: list[int], at_ms: int) -> int:
    lane = store.of(number)
    for seq in seqs:
        store.write_row(lane, ledger.expired(seq, at_ms), 0)
    lane.stands(ledger.after_expiry(lane.lane, seqs))
    store.operations += 1
    return len(seqs)


def _attempts(store: Store, rules: Keep) -> int:
    before_ms = rules.now_ms - rules.attempts_ms
    for lane in store.lanes.values():
        over = [
            one
            for one in lane.tried
            if one.at_ms < before_ms and (not one.counted or one.last_seq() <= lane.lane.cursor)
        ][:PER_SLICE]
        if over:
            _raise_floor(lane, max((one.last_seq() for one in over if one.counted), default=0))
            gone = {id(one) for one in over}
            lane.tried = [one for one in lane.tried if id(one) not in gone]
            return len(over)
    return 0


def _raise_floor(lane: LaneStore, to_seq: int) -> None:
    """What is settled for good up to here is no longer recounted: it stands in `removed`. A skip goes as a whole."""
    book = lane.book
    to_seq = max([to_seq, *(last for after, last, _ in lane.skips if after < to_seq)])
    if to_seq <= book.floor_seq:
        return
    removed = ledger.plus(book.removed, recount(lane, book.floor_seq, to_seq))
    gone = sum(count for _, last, count in lane.skips if last <= to_seq)
    lane.skips = [skip for skip in lane.skips if skip[1] > to_seq]
    lane.book = book._replace(floor_seq=to_seq, removed=ledger.add(removed, State.DISCARDED, gone))


def _dead(store: Store, rules: Keep) -> int:
    for lane in store.lanes.values():
        over = [
            (seq, part)
            for seq, rows in lane.rows.items()
            for part, row in rows.items()
            if row.state is State.DEAD and row.at_ms < rules.now_ms - rules.dead_ms
        ][:PER_SLICE]
        if over:
            lane.let_go(over, State.DEAD, rules.now_ms)
            return len(over)
    return 0


def _replays(store: Store, rules: Keep) -> int:
    """Replays that are over and old, with their lanes."""
    old = [one.id for one in store.replays.values() if one.at_ms < rules.now_ms - rules.dead_ms][:PER_SLICE]
    lanes = [lane for lane in store.lanes.values() if lane.lane.kind in old]
    done = {id(lane) for lane in lanes if not lane.rows and not lane.tried and _is_over(lane.lane)}
    busy = {lane.lane.kind for lane in lanes if id(lane) not in done}
    store.lanes = {number: lane for number, lane in store.lanes.items() if id(lane) not in done}
    for replay in set(old) - busy:
        del store.replays[replay]
    return len(set(old) - busy)


def _is_over(lane: Lane) -> bool:
    return lane.ended or (lane.end_seq is not None and lane.cursor >= lane.end_seq)
