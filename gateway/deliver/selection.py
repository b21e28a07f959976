"""What an operator wants done again, and the replay that does it: names and times become lanes and ranges of seqs.

An event goes again on a lane only where it has come to an end there: what still waits or is parked on the live lane
goes anyway. What is selected is settled at the moment of asking; nothing that comes in later belongs to the replay.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import NamedTuple

from msgspec import Struct

from gateway.config.wording import near
from gateway.deliver.plan import Planner, Setup
from gateway.deliver.replay import Meaning
from gateway.errors import MappingError, WrongSelection
from gateway.journal.base import Journal
from gateway.journal.ranges import bridged, clipped, without
from gateway.mapping.expressions import ExpressionError, compile_expression
from gateway.model import LIVE, Event, Lane, LaneSpec, Pick, Ranges, Replay, State, seq_of

CHOICES = (State.DELIVERED, State.FILTERED, State.SUPERSEDED, State.DEAD, State.DISCARDED)
"""The states in which an event may be selected: those in which it has come to an end."""
SKEW_MS = 120_000
"""Receivers' clocks and commits are together by this much; within it the events' own times decide."""
SEQS_PER_LOOK = 20_000
RANGES_MAX = 100_000
"""Of one lane: more would be carried about with the replay for ever."""
IDS_MAX = 10_000
TYPES_MAX = 100
TEXT_CHARS = 200
LOOK_EVENTS = 10_000
"""How many events are looked at, at most, for one that is meant."""
PAGE_EVENTS = 500
_ROWS_MAX = 1_000_000


class Selection(Struct, frozen=True):
    """Which events, on which lanes. Empty: all of them. Times are those of receipt: at or after `from_ms`, before
    `to_ms`. `states`: what an event is on the live lane. `types` are globs of normal types, `when` is JMESPath over the
    normal event. `every_state`: an old state goes even over a newer one that the journal holds.
    """

    source: str | None = None
    destination: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    types: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    ids: tuple[str, ...] = ()
    when: str | None = None
    every_state: bool = False

    def names_something(self) -> bool:
        """Whether it says anything of which events: a slip must not mean all of them."""
        return self != Selection(every_state=self.every_state)


class Ticket(Struct, frozen=True):
    """What a replay is filed under: its id, and when, by whom and why it was asked for."""

    id: str
    at_ms: int
    who: str
    note: str = ""


class Chosen(NamedTuple):
    """A replay that could begin, and its lanes. No lanes: nothing is meant."""

    replay: Replay
    lanes: tuple[LaneSpec, ...]


async def choose(journal: Journal, setup: Setup, selection: Selection, ticket: Ticket) -> Chosen:
    """The replay of a selection. Raises WrongSelection for one that cannot be read."""
    check(selection, setup)
    after_seq, to_seq = await _range(journal, selection)
    named = await _named(journal, selection.ids)
    picks = []
    for lane in live_lanes(await journal.lanes(), selection, setup):
        wanted = clipped([(1, to_seq)], after_seq, to_seq)
        if selection.ids:
            wanted = tuple((event.seq, event.seq) for event in named if event.source == lane.source)
        seqs = await _picked(journal, lane, wanted, selection.states)
        if len(seqs) > RANGES_MAX:
            raise WrongSelection(f"{_path(lane)}: over {RANGES_MAX} pieces of the log: select less of it at a time")
        if seqs:
            picks.append(Pick(lane.source, lane.destination, seqs))
    replay = _replay(selection, ticket, picks)
    kept = [pick for pick in picks if await _holds_any(journal, setup, replay, pick)]
    return Chosen(_replay(selection, ticket, kept), tuple(_lane(pick, ticket.id) for pick in kept))


def check(selection: Selection, setup: Setup) -> None:
    """Raises WrongSelection, saying what is wrong and what would be right."""
    _known("source", selection.source, setup.sources)
    _known("destination", selection.destination, setup.destinations)
    _check_lists(selection)
    if selection.from_ms is not None and selection.to_ms is not None and selection.from_ms >= selection.to_ms:
        raise WrongSelection("no time lies between: `from` is not before `to`")
    if selection.when is not None:
        try:
            compile_expression(selection.when)
        except ExpressionError as error:
            raise WrongSelection(f"when: {error}") from None


def _check_lists(selection: Selection) -> None:
    if len(selection.ids) > IDS_MAX or len(selection.types) > TYPES_MAX:
        raise WrongSelection(f"at most {IDS_MAX} ids and {TYPES_MAX} types")
    for name in selection.ids:
        if seq_of(name) is None:
            raise WrongSelection(f"{name[:TEXT_CHARS]!r} is no event's id: those begin with evt_")
    for glob in selection.types:
        if not 0 < len(glob) <= TEXT_CHARS:
            raise WrongSelection(f"a type is a glob of 1 to {TEXT_CHARS} characters, as order.*")
    for state in selection.states:
        if state not in CHOICES:
            raise WrongSelection(f"what is {state} goes anyway: the states to select are {', '.join(CHOICES)}")


def live_lanes(lanes: Sequence[Lane], selection: Selection, setup: Setup) -> list[Lane]:
    """The live lanes that a selection is about: those of configured sources to configured destinations."""
    return [
        lane
        for lane in lanes
        if lane.kind == LIVE
        and not lane.ended
        and lane.source in setup.sources
        and lane.destination in setup.destinations
        and selection.source in (None, lane.source)
        and selection.destination in (None, lane.destination)
    ]


def _known(what: str, name: str | None, known: Collection[str]) -> None:
    if name is not None and name not in known:
        raise WrongSelection(f"there is no {what} {name[:TEXT_CHARS]}: {near(name[:TEXT_CHARS], known)}")


async def _range(journal: Journal, selection: Selection) -> tuple[int, int]:
    """Between which seqs the selected times lie, with room for clocks that differ."""
    head_seq = (await journal.head()).seq
    after_seq = 0 if selection.from_ms is None else await journal.seq_at(selection.from_ms)
    to_seq = head_seq if selection.to_ms is None else await journal.seq_at(selection.to_ms + SKEW_MS)
    return after_seq, min(to_seq, head_seq)


async def _named(journal: Journal, ids: Sequence[str]) -> list[Event]:
    """The events of these ids, by seq. Raises WrongSelection for one that is not there."""
    found: dict[int, Event] = {}
    for name in ids:
        event = await journal.event(seq_of(name) or 0)
        if event is None or event.id != name:
            raise WrongSelection(f"there is no event {name}; it may have been removed (journal.keep)")
        found[event.seq] = event
    return [found[seq] for seq in sorted(found)]


async def _picked(journal: Journal, lane: Lane, wanted: Ranges, states: Sequence[State]) -> Ranges:
    """What of a range has come to an end on the lane, in one of these states (none: in any)."""
    settled = ((1, lane.cursor), *lane.ahead)
    done = tuple(piece for first, last in settled for piece in clipped(wanted, first - 1, last))
    if states:
        return tuple([piece async for piece in _in_states(journal, lane, done, frozenset(states))])
    parked = {row.seq for row in await journal.parked(lane.id, limit=_ROWS_MAX)}
    return without(done, sorted(parked))


async def _in_states(
    journal: Journal, lane: Lane, done: Ranges, states: frozenset[State]
) -> AsyncIterator[tuple[int, int]]:
    for first, last in done:
        for low in range(first - 1, last, SEQS_PER_LOOK):
            told = await journal.states(lane.id, low, min(low + SEQS_PER_LOOK, last))
            for piece in bridged((seq, state in states) for seq, state in told):
                yield piece


async def _holds_any(journal: Journal, setup: Setup, replay: Replay, pick: Pick) -> bool:
    """Whether one of the first events of a lane's range is meant; or there are too many to tell."""
    meaning = Meaning(replay, pick.source, pick.destination)
    after_seq, looked = pick.seqs[0][0] - 1, 0
    while after_seq < pick.seqs[-1][1]:
        page = await journal.read(after_seq, sources=(pick.source,), limit=PAGE_EVENTS)
        if any(meaning.means(event) and _is_wanted(setup.planner, meaning, event) for event in page.events):
            return True
        looked += len(page.events)
        if looked >= LOOK_EVENTS:
            return True
        after_seq = page.read_to
    return False


def _is_wanted(planner: Planner, meaning: Meaning, event: Event) -> bool:
    try:
        return any(meaning.wants(normal) for normal, _ in planner.routed(event))
    except MappingError:  # it would be dead, which is to be seen
        return True


def _replay(selection: Selection, ticket: Ticket, picks: Sequence[Pick]) -> Replay:
    return Replay(
        id=ticket.id,
        at_ms=ticket.at_ms,
        who=ticket.who,
        from_ms=selection.from_ms,
        to_ms=selection.to_ms,
        types=selection.types,
        when=selection.when,
        every_state=selection.every_state,
        picked=tuple(picks),
        note=ticket.note,
    )


def _lane(pick: Pick, kind: str) -> LaneSpec:
    return LaneSpec(pick.source, pick.destination, kind, start_seq=pick.seqs[0][0] - 1, end_seq=pick.seqs[-1][1])


def _path(lane: Lane) -> str:
    return f"{lane.source}/{lane.destination}"
