"""Quiet hours: how they are written, when they begin and end, by the clock on the wall."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.quiet import QuietHours

LONDON, BERLIN, NEW_YORK = "Europe/London", "Europe/Berlin", "America/New_York"


def ms(text: str, zone: str = "UTC", fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def ends(quiet: str | list[str], text: str, zone: str = "UTC", fold: int = 0) -> str | None:
    """When the quiet at that time ends, in UTC."""
    until_ms = QuietHours([quiet] if isinstance(quiet, str) else quiet).until_ms(ms(text, zone, fold))
    return None if until_ms is None else datetime.fromtimestamp(until_ms / 1000, UTC).isoformat()[:16]


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-01-15T21:59:59", None),
        ("2026-01-15T22:00", "2026-01-16T07:00"),
        ("2026-01-16T06:59:59", "2026-01-16T07:00"),
        ("2026-01-16T07:00", None),
        ("2026-07-15T22:30", "2026-07-16T06:00"),
    ],
)
def test_a_night_in_london(at: str, until: str | None) -> None:
    assert ends("22:00-07:00 Europe/London", at, LONDON) == until


@pytest.mark.parametrize(
    ("quiet", "at", "until"),
    [
        ("sat-sun UTC", "2026-01-16T23:59", None),
        ("sat-sun UTC", "2026-01-17T00:00", "2026-01-19T00:00"),
        ("Sat,Sun UTC", "2026-01-18T12:00", "2026-01-19T00:00"),
        ("fri-mon UTC", "2026-01-16T00:00", "2026-01-20T00:00"),
        ("fri 22:00-07:00 UTC", "2026-01-17T06:00", "2026-01-17T07:00"),
        ("fri 22:00-07:00 UTC", "2026-01-16T06:00", None),
        ("mon,wed-thu 09:00-10:30 UTC", "2026-01-14T10:29", "2026-01-14T10:30"),
        ("mon,wed-thu 09:00-10:30 UTC", "2026-01-13T10:00", None),
        ("12:00-24:00 UTC", "2026-01-13T23:59", "2026-01-14T00:00"),
        (["22:00-07:00 UTC", "sat-sun UTC"], "2026-01-16T23:00", "2026-01-19T07:00"),
        (["22:00-23:00 UTC", "22:30-23:30 UTC"], "2026-01-16T22:10", "2026-01-16T23:30"),
    ],
)
def test_days_and_several_spans(quiet: str | list[str], at: str, until: str | None) -> None:
    assert ends(quiet, at) == until


def test_an_end_that_the_clock_passes_over_is_the_moment_of_the_change() -> None:
    assert ends("22:00-02:30 Europe/Berlin", "2026-03-29T01:30", BERLIN) == "2026-03-29T01:00"


def test_a_begin_that_the_clock_passes_over_is_the_moment_of_the_change() -> None:
    assert ends("02:30-05:00 Europe/Berlin", "2026-03-29T01:59", BERLIN) is None
    assert ends("02:30-05:00 Europe/Berlin", "2026-03-29T03:00", BERLIN) == "2026-03-29T03:00"


def test_an_end_that_comes_twice_is_the_second() -> None:
    assert ends("22:00-01:30 America/New_York", "2026-11-01T01:29", NEW_YORK) == "2026-11-01T06:30"
    assert ends("22:00-01:30 America/New_York", "2026-11-01T01:10", NEW_YORK, fold=1) == "2026-11-01T06:30"


def test_a_begin_that_comes_twice_is_the_first() -> None:
    assert ends("01:30-05:00 America/New_York", "2026-11-01T01:40", NEW_YORK) == "2026-11-01T10:00"
    assert ends("01:30-05:00 America/New_York", "2026-11-01T01:10", NEW_YORK, fold=1) == "2026-11-01T10:00"


def test_a_clock_that_goes_back_is_asked_anew() -> None:
    hours = QuietHours(["22:00-07:00 UTC"])
    assert hours.until_ms(ms("2026-01-15T12:00")) is None
    assert hours.until_ms(ms("2026-01-15T23:00")) == ms("2026-01-16T07:00")
    assert hours.until_ms(ms("2026-01-15T12:00")) is None
    assert hours.until_ms(ms("2026-01-14T23:00")) == ms("2026-01-15T07:00")


@given(
    begin=st.integers(0, 1439),
    length=st.integers(1, 1439),
    zone=st.sampled_from([LONDON, BERLIN, NEW_YORK, "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]),
    at_s=st.integers(1_750_000_000, 1_900_000_000),
)
@settings(max_examples=200, deadline=None)
def test_a_time_that_the_wall_says_is_quiet_is_quiet_and_after_its_end_it_is_not(
    begin: int, length: int, zone: str, at_s: int
) -> None:
    end = (begin + length) % 1440
    hours = QuietHours([f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02} {zone}"])
    wall = datetime.fromtimestamp(at_s, ZoneInfo(zone))
    until_ms = hours.until_ms(at_s * 1000)
    if (wall.hour * 60 + wall.minute - begin) % 1440 < length:
        assert until_ms is not None
    if until_ms is not None:
        # two days where the minute between two spans is one that the clocks show twice, or not at all
        assert at_s * 1000 < until_ms <= at_s * 1000 + timedelta(hours=49).total_seconds() * 1000
        assert hours.until_ms(until_ms) is None
        assert QuietHours([f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02} {zone}"]).until_ms(
            until_ms - 1000
        )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("22:00-07:00", "quiet hours are days, times or both, and a time zone"),
        ("Europe/London", "quiet hours are days, times or both, and a time zone"),
        ("22-07 Europe/London", "quiet hours are"),
        ("at night", "quiet hours are"),
        ("22:00-07:00 Europe/Londom", "Europe/Londom is no IANA time zone"),
        ("22:00-07:00 ../../etc/passwd", "no IANA time zone"),
        ("22:00-25:00 UTC", "25:00 is no time of the day"),
        ("22:60-23:00 UTC", "22:60 is no time of the day"),
        ("07:00-07:00 UTC", "begin and end at the same time"),
        ("mon-tue-wed UTC", "no range of days"),
    ],
)
def test_what_are_no_quiet_hours_is_told(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace(".", r"\.")):
        QuietHours([text])


def test_a_whole_week_of_quiet_is_known() -> None:
    assert QuietHours(["00:00-24:00 UTC"]).always()
    assert QuietHours(["mon-fri UTC", "sat-sun UTC"]).always()
    assert not QuietHours(["mon-sat UTC"]).always()
    assert QuietHours(["22:00-07:00 UTC", "07:00-22:00 UTC"]).until_ms(ms("2026-01-15T23:00")) is not None
