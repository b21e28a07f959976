"""What delivery says of itself in the log."""

import asyncio

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from gateway.deliver import tell
from gateway.deliver.tallies import WRITE_S
from gateway.errors import Reason
from gateway.model import Counts, Lane, LaneSettle, Settlement, State
from gateway.telemetry.metrics import REGISTRY
from gateway.vendors.base import Batch, Delivered, Failure, Refused, Response, Retry, Verdict, same
from tests.deliver.making import LEASE, record
from tests.journal.making import NOW_MS, row
from tests.simulation.virtual import simulate


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


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def counts(destination: str) -> dict[str, float]:
    """What a scrape would find."""
    to = {"destination": destination}
    return {
        "in flight": value("gateway_records_in_flight", **to),
        "2xx": value("gateway_sends_total", result="2xx", **to),
        "timeout": value("gateway_sends_total", result="timeout", **to),
        "delivered": value("gateway_records_total", outcome="delivered", reason="", **to),
        "refused": value("gateway_records_total", outcome="refused", reason="record_refused", **to),
        "retry": value("gateway_records_total", outcome="retry", reason="timeout", **to),
        "batches": value("gateway_batch_records_count", **to),
        "records": value("gateway_batch_records_sum", **to),
        "bytes": value("gateway_batch_bytes_sum", **to),
        "seconds": value("gateway_send_seconds_sum", **to),
        "delays": value("gateway_delivery_delay_seconds_count", **to),
    }


def sent(to: str, *, answered: bool = True) -> None:
    """A batch of three that is on its way and comes back, without a moment between."""
    records = tuple(replace(record(seq), received_at_ms=NOW_MS - 1_000) for seq in (1, 2, 3))
    batch = Batch(to, "order", records, NOW_MS)
    with tell.sending(to, batch):
        pass
    taken = Delivered()
    if answered:
        verdict = Verdict((taken, taken, Refused(Reason.RECORD_REFUSED)))
        tell.sent(batch, Response(200, {}, b""), verdict, 0.5, NOW_MS)
    else:
        tell.sent(batch, Failure(Reason.TIMEOUT, ""), same(Retry(Reason.TIMEOUT), batch), 0.5, NOW_MS)


def test_what_is_sent_is_counted_a_moment_later() -> None:
    async def act() -> None:
        size = 3 * record(1).size
        sent("tally")
        sent("tally", answered=False)
        await asyncio.sleep(WRITE_S * 1.1)
        assert counts("tally") == {
            "in flight": 0,
            "2xx": 1,
            "timeout": 1,
            "delivered": 2,
            "refused": 1,
            "retry": 3,
            "batches": 2,
            "records": 6,
            "bytes": 2 * size,
            "seconds": 1.0,
            "delays": 2,
        }
        assert value("gateway_limit_units_total", account="tally") == 2
        sent("tally")
        await asyncio.sleep(WRITE_S * 1.1)
        assert counts("tally")["delivered"] == 4

    simulate(act())


def test_what_is_on_its_way_is_seen_meanwhile() -> None:
    async def act() -> None:
        with tell.sending("tally-way", Batch("tally-way", "order", (record(1), record(2)))):
            await asyncio.sleep(WRITE_S * 1.1)
            assert counts("tally-way")["in flight"] == 2
        await asyncio.sleep(WRITE_S * 1.1)
        assert counts("tally-way")["in flight"] == 0

    simulate(act())


@pytest.mark.parametrize("times", [1, 2])
def test_who_leaves_an_account_has_counted_all_of_it_whatever_loop_it_ran_in(times: int) -> None:
    async def act() -> None:
        sent(f"tally-end-{times}")
        tell.left(f"tally-end-{times}")

    async def breaks_off() -> None:
        sent(f"tally-end-{times}")

    for _ in range(times):
        simulate(breaks_off())
        simulate(act())
    assert counts(f"tally-end-{times}")["2xx"] == 2 * times
