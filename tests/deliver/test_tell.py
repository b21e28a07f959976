"""What delivery says of itself in the log."""

from structlog.testing import capture_logs

from gateway.deliver import tell
from gateway.model import Counts, Lane, LaneSettle, Settlement, State
from tests.deliver.making import LEASE
from tests.journal.making import NOW_MS, row


def test_a_record_that_is_given_up_is_named_with_the_lane_it_died_on() -> None:
    lane = Lane(3, "uk-shop", "crm", "live", 0, None, 7, (), Counts(), 1, 0)
    settle = LaneSettle(3, 1, 7, (), Counts(), parked=(row(7, "order:1", State.DEAD), row(6, "order:0")))

    with capture_logs() as lines:
        tell.settled("crm:abc", Settlement(LEASE, NOW_MS, (settle,)), (lane,), 0.01)

    (dead,) = [line for line in lines if line["event"] == "record.dead"]
    assert {name: dead[name] for name in ("source", "destination", "seq", "part", "reason", "detail")} == {
        "source": "uk-shop",
        "destination": "crm",
        "seq": 7,
        "part": "order:1",
        "reason": "record_refused",
        "detail": "upstream said no",
    }
