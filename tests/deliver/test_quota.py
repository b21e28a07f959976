"""Quota headers in all their forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.deliver.quota import Quota, exhausted, quotas
from gateway.errors import Reason
from gateway.vendors.base import Batch, Delivered, Response, Throttled, same
from tests.deliver.making import account, feed, now, record, work

NOW_MS = 1_767_322_800_000
DATE = "Fri, 02 Jan 2026 03:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "remaining", "reset_s"),
    [
        ({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767322830"}, 0, 30),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "1767322830500"}, 3, 30.5),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "12"}, 3, 12),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "Fri, 02 Jan 2026 03:00:20 GMT"}, 3, 20),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767322830", "x-ratelimit-reset-after": "1.25"}, 0, 1.25),
        ({"x-rate-limit-remaining": "1", "x-rate-limit-reset": "5"}, 1, 5),
        ({"x-rate-limit-requests-left": "0", "x-rate-limit-time-reset-ms": "1500"}, 0, 1.5),
        ({"x-rate-limit-requests-left": "35", "x-rate-limit-time-reset-ms": "15000"}, 35, 15),
        ({"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "7", "ratelimit-reset": "40"}, 7, 40),
        ({"ratelimit": "limit=100, remaining=50, reset=5"}, 50, 5),
        ({"ratelimit": '"default";r=50;t=30'}, 50, 30),
        ({"ratelimit": "default; r=0; t=30"}, 0, 30),
        ({"ratelimit": '"burst";r=0', "ratelimit-policy": '"daily";q=1000;w=86400, "burst";q=100;w=60'}, 0, 60),
        ({"ratelimit": '"a, b;c";r=1;t=2;pk=:cHsdsRa894==:'}, 1, 2),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "9999999"}, 0, 21_600),
        ({"date": DATE, "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767322830"}, 0, 30),
    ],
)
def test_a_quota_is_read(headers: dict[str, str], remaining: float, reset_s: float) -> None:
    (found,) = quotas(headers, NOW_MS)
    assert (found.remaining, found.reset_s) == (remaining, reset_s)


def test_a_moment_counts_from_the_vendors_own_clock() -> None:
    headers = {"date": DATE, "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767322830"}
    (found,) = quotas(headers, NOW_MS + 3_600_000)
    assert found.reset_s == 30


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-remaining": "0"},
        {"x-ratelimit-reset": "30"},
        {"x-ratelimit-remaining": "none", "x-ratelimit-reset": "soon"},
        {"ratelimit": '"default";r=0'},
        {"ratelimit": '"open'},
        {"ratelimit": '"b";r=0;t=9', "ratelimit-policy": '"b";q=9;w=9;qu="content-bytes"'},
    ],
)
def test_what_says_too_little_says_nothing(headers: dict[str, str]) -> None:
    assert list(quotas(headers, NOW_MS)) == []


SIGNS = st.text('"\\;,=: \t09rtwq.remainingset', max_size=200)


@given(SIGNS, SIGNS)
def test_nothing_that_a_vendor_may_say_is_an_error(told: str, policy: str) -> None:
    names = ("ratelimit-remaining", "ratelimit-reset", "x-ratelimit-remaining", "x-ratelimit-reset", "date")
    for one in quotas({"ratelimit": told, "ratelimit-policy": policy, **dict.fromkeys(names, told)}, NOW_MS):
        assert 0 <= one.reset_s <= 21_600


def test_a_header_that_is_made_to_be_slow_is_read_at_once() -> None:
    list(quotas({"ratelimit": "a" + ";b" * 900 + '"', "ratelimit-policy": '"' + "\\" * 1_999}, NOW_MS))


@pytest.mark.parametrize(
    ("remaining", "in_flight", "waits"), [(0, 0, True), (1, 0, False), (3, 3, True), (4, 3, False)]
)
def test_it_is_used_up_when_those_in_flight_take_the_rest(remaining: int, in_flight: int, waits: object) -> None:
    told = quotas({"ratelimit": f'"x";r={remaining};t=9'}, NOW_MS)
    assert (exhausted(told, in_flight) is not None) is waits


def test_the_quota_that_takes_longest_counts() -> None:
    told = quotas({"ratelimit": '"second";r=0;t=1, "day";r=0;t=900, "month";r=5;t=9000'}, NOW_MS)
    assert exhausted(told, 0) == Quota(0, 900, "ratelimit")


def test_an_account_waits_for_its_quota_although_all_went_well() -> None:
    one = work()
    made = account(one)
    feed(made, one, record(1))
    batch = made.next_batch(now(100.0))
    assert isinstance(batch, Batch)
    answer = Response(200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}, b"")
    (news,) = made.finished(batch, answer, same(Delivered(), batch), 0.01, now(100.0))
    assert (news.what, news.for_s, news.detail) == ("account.throttled", 30.0, "x-ratelimit-remaining: 0")
    feed(made, one, record(2))
    assert made.next_batch(now(100.0)) == 130.0
    assert isinstance(made.next_batch(now(130.0)), Batch)


def test_a_refusal_that_names_its_reset_in_a_quota_header_is_obeyed() -> None:
    one = work()
    made = account(one)
    feed(made, one, record(1))
    batch = made.next_batch(now(100.0))
    assert isinstance(batch, Batch)
    answer = Response(429, {"ratelimit-remaining": "0", "ratelimit-reset": "30"}, b"")
    made.finished(batch, answer, same(Throttled(Reason.RATE_LIMITED, 1.0, up_to_s=60.0), batch), 0.01, now(100.0))
    assert made.next_batch(now(100.0)) == 130.0


def test_a_short_wait_for_quota_is_no_news() -> None:
    one = work()
    made = account(one)
    feed(made, one, record(1))
    batch = made.next_batch(now(100.0))
    assert isinstance(batch, Batch)
    answer = Response(200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, b"")
    assert made.finished(batch, answer, same(Delivered(), batch), 0.01, now(100.0)) == ()
    feed(made, one, record(2))
    assert made.next_batch(now(100.0)) == 101.0


def test_no_more_leave_at_once_than_are_left() -> None:
    one = work()
    made = account(one)
    feed(made, one, record(1))
    batch = made.next_batch(now(100.0))
    assert isinstance(batch, Batch)
    answer = Response(200, {"ratelimit-remaining": "2", "ratelimit-reset": "30"}, b"")
    made.finished(batch, answer, same(Delivered(), batch), 0.01, now(100.0))
    for seq in (2, 3, 4):
        feed(made, one, record(seq, channel=f"channel {seq}"))
    found = [made.next_batch(now(100.0)) for _ in range(4)]
    assert [one if isinstance(one, float) else "leaves" for one in found] == ["leaves", "leaves", 130.0, 130.0]
    assert isinstance(made.next_batch(now(130.0)), Batch)


def test_what_is_left_is_what_the_last_answer_says() -> None:
    one = work()
    made = account(one)
    for remaining in (1, 1, 1):
        feed(made, one, record(1))
        batch = made.next_batch(now(100.0))
        assert isinstance(batch, Batch)
        answer = Response(200, {"ratelimit-remaining": str(remaining), "ratelimit-reset": "30"}, b"")
        made.finished(batch, answer, same(Delivered(), batch), 0.01, now(100.0))
