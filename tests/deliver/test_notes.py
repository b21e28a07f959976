"""What is noted of an account for who serves it next."""

import pytest

from gateway.deliver.gate import Gate
from gateway.deliver.lessons import note_of, pace_before, recall, without_pace
from gateway.deliver.pace import Pace
from gateway.deliver.queue import Now
from gateway.errors import Reason
from gateway.vendors.base import Limit, Throttled

LIMITS = [Limit(allow=4, per_s=60.0, classes=frozenset({"default", "other"}), scope="channel"), Limit(10, 1.0)]


def _note(gate: Gate) -> str:
    pace = Pace(LIMITS)
    pace.spend(100.0, "default", "orders")
    return note_of(gate, "digest", Now(1_000_000, 130.0), pace)


def test_an_account_that_was_let_go_tells_what_left_and_how_long_ago() -> None:
    found = pace_before(_note(Gate()), LIMITS, 7.0)
    assert found is not None
    assert set(found.sendings) == {(0, "orders")}
    ((left_s, units),) = found.sendings[0, "orders"]
    assert left_s == pytest.approx(7.0 - 30.0)
    assert units == 1.0


def test_what_left_before_a_crash_is_handed_on_as_unknown_while_it_may_count() -> None:
    pace = Pace(LIMITS, spent_at_s=110.0)
    pace.spend(171.0, "default", "orders")
    early = pace_before(note_of(Gate(), "digest", Now(1_000_000, 130.0), pace), LIMITS, 7.0)
    later = pace_before(note_of(Gate(), "digest", Now(1_000_000, 172.0), pace), LIMITS, 7.0)
    assert early is not None
    assert early.spent_at_s == pytest.approx(7.0 - 20.0)
    assert later is not None
    assert later.spent_at_s is None


def test_it_tells_nothing_of_other_limits() -> None:
    assert pace_before(_note(Gate()), LIMITS[:1], 7.0) is None
    assert pace_before("", LIMITS, 7.0) is None


def test_the_note_of_one_who_did_not_let_go_tells_nothing_of_its_pace_and_all_of_its_rest() -> None:
    gate, other = Gate(), Gate()
    gate.throttle(Throttled(Reason.RATE_LIMITED, 90.0), ("to", "orders"), 100.0)
    note = without_pace(_note(gate))
    assert pace_before(note, LIMITS, 7.0) is None
    recall(other, note, "digest", Now(1_000_000, 7.0))
    assert other.opens_s(7.0) == pytest.approx(7.0 + 60.0)
    assert without_pace("of another version") == "of another version"
