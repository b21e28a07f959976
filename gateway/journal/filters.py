"""Which events and dead letters an operator means, and which intents a dispatcher. Pure, for every engine."""

from collections.abc import Collection

from gateway.journal.base import DeadFilter, EventFilter
from gateway.model import Event, Intent, Lane, ParkedRow


def is_event(which: EventFilter, event: Event) -> bool:
    """Whether an event is meant."""
    return (
        (which.source is None or event.source == which.source)
        and (which.topic is None or event.topic == which.topic)
        and (which.from_ms is None or event.received_at_ms >= which.from_ms)
        and (which.to_ms is None or event.received_at_ms <= which.to_ms)
        and (which.before_seq is None or event.seq < which.before_seq)
    )


def is_letter(which: DeadFilter, number: str, lane: Lane, row: ParkedRow) -> bool:
    """Whether a dead letter is meant; `number` is its id."""
    return (
        (not which.ids or number in which.ids)
        and (which.reason is None or row.reason == which.reason)
        and (which.source is None or lane.source == which.source)
        and (which.destination is None or lane.destination == which.destination)
        and (which.to_ms is None or row.at_ms <= which.to_ms)
    )


def is_intended(intent: Intent, lanes: Collection[int]) -> bool:
    """Whether one of an intent's records is of these lanes."""
    return any(lane in lanes for lane, _, _ in intent.members)
