"""The promise of fairness: lanes of one account share its requests by weight.

Judged only in calm: one process serves the account, every request of it is taken, nobody touches a lane. Of the lanes
that wait only those are looked at of which nothing can be held back but by their keys, and from when these were free.
While such a lane waits, each request that leaves carries a lane that has not had more than its share since. A replay's
lane is owed less, and has no less of a claim to that.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from gateway.journal.base import EventView
from gateway.model import LIVE, Lane
from tests.simulation.configured import HELD_AT, LOOKUP, QUIET_AT, site_of
from tests.simulation.history import History
from tests.simulation.spells import Spell, spells
from tests.simulation.virtual import START_MS
from tests.simulation.world import Sent

CALM_S = 8.0
"""After trouble: what rested or was parked meanwhile has come back."""
BEGUN_S = 3.0
"""After a spell's begin: what a crash had cut off has gone before all others."""
HEARD_S = 1.2
"""From an event's commit, or a key's release, until its lane can send: where nobody tells of commits, they are looked
for every second.
"""
SURVEYED_S = 3.0
"""From a replay's begin until its lane can send: it is known which states are the newest, and what had left is back."""
SHARE_RECORDS = 7
"""What a lane may have before another must have had its turn: a batch, and somewhat more."""
REPLAY_WEIGHT = 0.25
OUT_OF_TURN = 2
"""Requests that may carry nobody whose turn it is: what waited first in a lane waits for its key, as is seen then."""


def unfair(history: History, views: list[EventView]) -> Iterator[str]:
    """A lane that has something to send waits for no more than the others' shares."""
    watch: _Watch | None = None
    for spell in spells(history):
        if len(spell.sent) > OUT_OF_TURN + 1:
            watch = watch or _Watch(history, views)
            yield from watch.of(spell)


class _Watch:
    """What is known of a history's lanes and events."""

    def __init__(self, history: History, views: list[EventView]) -> None:
        self._history = history
        self._views = {view.event.seq: view for view in views}
        self._lanes = {lane.id: lane for view in views for lane, *_ in view.lanes}
        self._trouble_s = sorted([*history.cut_s, *history.reloaded_s, *history.away_s])

    def of(self, spell: Spell) -> Iterator[str]:
        """What was unfair in a spell."""
        for begin_s, sent in self._calm(spell):
            waits_since: dict[int, int] = {}
            for place, one in enumerate(sent):
                for lane in {lane for lane, *_ in one.carried}:
                    since = waits_since.get(lane, -1)
                    if place - since > OUT_OF_TURN + 1 and self._may_be_judged(lane):
                        yield from self._waited(
                            spell, lane, begin_s, sent[since:place] if since >= 0 else sent[:place], one
                        )
                    waits_since[lane] = place

    def _calm(self, spell: Spell) -> Iterator[tuple[float, list[Sent]]]:
        """The stretches in which every request was taken and nothing else happened, and since when there is calm."""
        begin_s, sent = spell.begin_s + BEGUN_S, list[Sent]()
        for before, one in pairwise([None, *spell.sent]):
            assert one is not None
            trouble_s = self._trouble_between(before.at_s if before else spell.begin_s, one.at_s)
            if trouble_s is not None:
                yield begin_s, sent
                begin_s, sent = max(begin_s, trouble_s + CALM_S), []
            if one.status == 200:
                sent.append(one)
            else:
                yield begin_s, sent
                begin_s, sent = max(begin_s, one.done_s + CALM_S), []
        yield begin_s, sent

    def _trouble_between(self, first_s: float, last_s: float) -> float | None:
        place = bisect_right(self._trouble_s, last_s)
        at_s = self._trouble_s[place - 1] if place else -1.0
        return at_s if at_s >= first_s else None

    def _may_be_judged(self, number: int) -> bool:
        """A lane that nobody touched, of a destination that holds nothing back."""
        lane = self._lanes.get(number)
        if lane is None or number in self._history.handled:
            return False
        site = site_of(lane.destination)
        choosy = any(site in one.coalesce | one.stale for one in self._history.ever)
        return site not in (HELD_AT, QUIET_AT, LOOKUP) and not choosy

    def _waited(self, spell: Spell, number: int, begin_s: float, others: list[Sent], one: Sent) -> Iterator[str]:
        """`others`: the requests since the lane's last one."""
        ready_s = min(self._ready_s(self._lanes[number], item, one) for item in one.carried if item[0] == number)
        since_s = max(begin_s, ready_s)
        had: Counter[int] = Counter()
        out_of_turn = 0
        for other in others:
            if other.at_s <= since_s:
                continue
            lanes = Counter(lane for lane, *_ in other.carried)
            share = SHARE_RECORDS / self._weight(number)
            out_of_turn += all(had[lane] > share * self._weight(lane) for lane in lanes)
            had.update(lanes)
        if out_of_turn > OUT_OF_TURN:
            yield f"lane {number} of {spell.account} waited until {one.at_s:.3f} while others had {dict(had)} records"

    def _weight(self, number: int) -> float:
        lane = self._lanes.get(number)
        return REPLAY_WEIGHT if lane is not None and lane.kind != LIVE else 1.0

    def _ready_s(self, lane: Lane, item: tuple[int, int, str, str], one: Sent) -> float:
        """From when on a record could have been sent; that of its request, where nobody can say."""
        _, seq, channel, key = item
        told = self._history.told
        if seq not in told.received_ms:
            return one.at_s
        again = self._history.replays.get(lane.kind)
        ready_s = max((told.received_ms[seq] - START_MS) / 1000, again.at_s + SURVEYED_S if again else 0.0)
        done: set[int] = set()
        for other in self._history.world.sent:
            if other is one or other.at_s > one.at_s or site_of(other.destination) != site_of(lane.destination):
                continue
            for its_lane, its_seq, *its in other.carried:
                if its == [channel, key]:
                    if (its_lane, its_seq) == (lane.id, seq):
                        return one.at_s
                    ready_s = max(ready_s, other.done_s)
                    if its_lane == lane.id and other.status == 200:
                        done.add(its_seq)
        return one.at_s if self._earlier(lane, seq, channel, key) - done else ready_s + HEARD_S

    def _earlier(self, lane: Lane, seq: int, channel: str, key: str) -> set[int]:
        """The events before one on its lane that may hold its key."""
        bodies, received = self._history.told.bodies, self._history.told.received_ms
        return {
            other
            for other, view in self._views.items()
            if lane.start_seq < other < seq
            and other in received
            and view.event.source == lane.source
            and view.event.topic != "thing/ignored"
            and bodies[other]["key"] == key
            and channel in bodies[other].get("channels", ["one"])
        }
