"""Which events and dead letters an operator means. Pure, for every engine."""

from gateway.journal.base import DeadFilter, EventFilter
from gateway.model import Event, Lane, ParkedRow


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
