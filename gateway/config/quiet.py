"""Quiet hours: `22:00-07:00 Europe/London`, `sat-sun Europe/London`, `mon-fri 22:00-07:00 Europe/London`. Pure.

A span belongs to the day on which it begins, and goes by the clock on the wall: where that is put forward or back, a
span begins at the first moment that bears its time and ends at the last.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from math import inf
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES = 24 * 60
WEEK = 7
AHEAD_DAYS = 8
"""How far ahead a quiet span's end or the next one's begin is looked for: every span comes once a week at least."""

_DAY = "|".join(DAYS)
_TEXT = re.compile(
    rf"(?:(?P<days>(?:{_DAY})(?:[-,](?:{_DAY}))*)(?:\s+|$))?"
    r"(?:(?P<from>\d{1,2}:\d{2})\s*-\s*(?P<to>\d{1,2}:\d{2})(?:\s+|$))?(?P<zone>\S+)?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Span:
    """One span of quiet: on which days (0 is Monday) it begins, from and to which minute of the day, by whose clock. It
    ends on the next day where `to_minute` is not after `from_minute`.
    """

    days: frozenset[int]
    from_minute: int
    to_minute: int
    zone: ZoneInfo

    @classmethod
    def of(cls, text: str) -> "Span":
        """A span as it is written. Raises ValueError in plain words."""
        found = _TEXT.fullmatch(text.strip())
        if found is None or not found["zone"] or not (found["days"] or found["from"]):
            raise ValueError(
                "quiet hours are days, times or both, and a time zone: 22:00-07:00 Europe/London, sat-sun UTC"
            )
        first, last = (_minute(found["from"]), _minute(found["to"])) if found["from"] else (0, MINUTES)
        if first == last:
            raise ValueError("quiet hours begin and end at the same time; a whole day is 00:00-24:00")
        return cls(_days(found["days"]), first, last, _zone(found["zone"]))

    def on(self, day: date) -> tuple[int, int] | None:
        """Begin and end of the span that begins on a day, in milliseconds since the epoch."""
        if day.weekday() not in self.days:
            return None
        ends = self.to_minute + (MINUTES if self.to_minute <= self.from_minute else 0)
        return _moment_ms(day, self.from_minute, self.zone), _moment_ms(day, ends, self.zone, last=True)

    def minutes(self) -> Iterator[int]:
        """The minutes of the week that it takes, by the clock on the wall."""
        length = (self.to_minute - self.from_minute) % MINUTES or MINUTES
        for day in self.days:
            begin = day * MINUTES + self.from_minute
            yield from (minute % (WEEK * MINUTES) for minute in range(begin, begin + length))


class QuietHours:
    """Several spans. Nothing is to be sent in any of them."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._spans = tuple(map(Span.of, texts))
        self._known: tuple[float, float, int | None] = (inf, -inf, None)

    def until_ms(self, now_ms: int) -> int | None:
        """When the quiet that is now ends; None when it is not quiet."""
        if not self._spans:
            return None
        first, last, until_ms = self._known
        if not first <= now_ms < last:
            until_ms, changes_ms = self._look(now_ms)
            self._known = (now_ms, changes_ms, until_ms)
        return until_ms

    def always(self) -> bool:
        """Whether it is never anything but quiet."""
        zones = {span.zone.key for span in self._spans}
        return any(
            len({minute for span in self._spans if span.zone.key == zone for minute in span.minutes()})
            == WEEK * MINUTES
            for zone in zones
        )

    def _look(self, now_ms: int) -> tuple[int | None, int]:
        """The end of the quiet that is now, and when that may be something else."""
        near = sorted(self._near(now_ms))
        until_ms = now_ms
        for begin_ms, end_ms in near:
            if begin_ms <= until_ms < end_ms:
                until_ms = end_ms
        if until_ms > now_ms:
            return until_ms, until_ms
        return None, min((begin_ms for begin_ms, _ in near if begin_ms > now_ms), default=now_ms + MINUTES * 60_000)

    def _near(self, now_ms: int) -> Iterator[tuple[int, int]]:
        for span in self._spans:
            today = datetime.fromtimestamp(now_ms / 1000, span.zone).date()
            for days in range(-2, AHEAD_DAYS + 1):
                found = span.on(today + timedelta(days=days))
                if found is not None:
                    yield found


def _minute(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if minutes > 59 or hours * 60 + minutes > MINUTES:  # noqa: PLR2004  minutes of an hour
        raise ValueError(f"{text} is no time of the day: 00:00 to 24:00")
    return hours * 60 + minutes


def _days(text: str | None) -> frozenset[int]:
    """`sat-sun`, `mon,wed`, `fri-mon`; none: every day."""
    if text is None:
        return frozenset(range(WEEK))
    found: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.partition("-")
        if "-" in last:
            raise ValueError(f"{part} is no range of days: mon-fri")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found.update((begin + step) % WEEK for step in range((end - begin) % WEEK + 1))
    return frozenset(found)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise ValueError(f"{name} is no IANA time zone: Europe/London, UTC") from None


@lru_cache(maxsize=1024)
def _moment_ms(day: date, minute: int, zone: ZoneInfo, *, last: bool = False) -> int:
    """The first or last moment that bears this time on the wall; where the clock passes over it, that of the change."""
    wall = datetime.combine(day, time()) + timedelta(minutes=minute)
    early, late = sorted(int(wall.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))
    if _wall(early, zone) == wall:
        return (late if last else early) * 1000
    while late - early > 1:  # the clock jumps over it, somewhere in between
        middle = (early + late) // 2
        early, late = (middle, late) if _wall(middle, zone) < wall else (early, middle)
    return late * 1000


def _wall(at_s: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_s, zone).replace(tzinfo=None, fold=0)
