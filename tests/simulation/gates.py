"""Promises of what is left alone: an account whose key is refused, and one that only fails.

Judged from the requests that left and what their processes heard, spell by spell: what was before a spell is taken for
not known, so that an account is held to be closed only when it must be.
"""

from collections.abc import Iterator

from gateway.journal.base import EventView
from tests.simulation.history import History
from tests.simulation.paper import LIMIT
from tests.simulation.spells import Spell, spells
from tests.simulation.world import Sent

PROBE_EVERY_S = 60.0
IN_HAND_S = 0.02
"""Between the plan of a request and its leaving, at most: an intent is written."""
SLACK_S = 0.001
RAMP_SLACK_S = 0.1
RAMP_FROM = 0.1
STOPPING = (401, 423, 429)
"""What says nothing of a record."""


def not_left_alone(history: History) -> Iterator[str]:
    """A suspended account gets one request of one record every 60 s; one that failed too often in a row rests as well,
    is tried with one record, and comes back slowly.
    """
    for spell in spells(history):
        yield from _Gate(spell).found()


def _fails(one: Sent) -> bool:
    return one.status == 0 or one.status >= 500


class _Gate:
    """The gate of an account as it must be at least, by what was heard."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell
        self._rule = spell.rule
        self._in_a_row = 0
        self._closed_s = self._until_s = -1.0
        self._why = ""
        self._back_s: float | None = None
        self._before: Sent | None = None

    def found(self) -> Iterator[str]:
        """What left though it must not."""
        sent = self._spell.sent
        heard = [(one.done_s, 0, place) for place, one in enumerate(sent) if one.answered]
        left = [(one.at_s, 1, place) for place, one in enumerate(sent)]
        for _, leaves, place in sorted([*heard, *left]):
            if leaves:
                yield from self._leaves(sent[place])
            else:
                self._hears(sent[place])

    def _leaves(self, one: Sent) -> Iterator[str]:
        name, at_s = self._spell.account, one.at_s
        in_hand = at_s <= self._closed_s + IN_HAND_S
        if self._why and not in_hand:
            if at_s < self._until_s - SLACK_S:
                yield f"{name} is {self._why} until {self._until_s:.3f}, and is asked at {at_s:.3f}"
            if len(one.ids) > 1:
                yield f"{name} is {self._why}, and is probed with {len(one.ids)} records"
            if any(other.at_s < at_s < other.done_s for other in self._spell.sent):
                yield f"{name} is {self._why}, and has two requests at {at_s:.3f}"
        yield from self._too_soon(one)
        self._before = one

    def _too_soon(self, one: Sent) -> Iterator[str]:
        """After a breaker has closed, pace grows back."""
        before = self._before
        if self._back_s is None or self._rule is None or before is None or before.at_s < self._back_s:
            return
        share = (before.at_s - self._back_s) / self._rule.ramp
        if share < 1:
            apart_s = LIMIT.per_s / LIMIT.allow / max(share, RAMP_FROM)
            if one.at_s - before.at_s < apart_s - RAMP_SLACK_S:
                yield f"{self._spell.account} is asked again after {one.at_s - before.at_s:.3f} s, not {apart_s:.3f}"

    def _hears(self, one: Sent) -> None:
        still_closed = bool(self._why) and one.done_s < self._until_s - SLACK_S
        if one.status == STOPPING[0]:
            self._close("suspended", one.done_s, PROBE_EVERY_S)
        elif _fails(one):
            self._in_a_row += 1
            too_many = self._rule is not None and self._in_a_row >= self._rule.failures
            if (self._why or too_many) and not still_closed:
                self._close("broken", one.done_s, self._rule.open if self._rule else PROBE_EVERY_S)
        elif one.status not in STOPPING and not still_closed:
            self._back_s = one.done_s if self._why == "broken" and self._rule else self._back_s
            self._why, self._in_a_row = "", 0

    def _close(self, why: str, at_s: float, for_s: float) -> None:
        self._why, self._closed_s, self._until_s, self._back_s = why, at_s, at_s + for_s, None


def burnt(views: list[EventView]) -> Iterator[str]:
    """What says nothing of a record is no attempt at it."""
    for view in views:
        for lane, _, _, attempts in view.lanes:
            if any(one.attempt.status in STOPPING for one in attempts):
                yield f"event {view.event.seq} lost an attempt at {lane.destination} to a refused key or a pause"
