"""Whether an account may be called at all: throttled, suspended, broken or paused; and which of its channels rest.

Pure: times are monotonic seconds. What stops the account parks nothing: the lanes stand still. A suspended account (its
key is refused) is probed every 60 s; a breaker opens on an account that fails. Both probe with one record.
"""

from enum import StrEnum
from math import inf

from gateway.config.schema import BreakerSetting
from gateway.deliver.breaker import Breaker
from gateway.errors import Reason
from gateway.vendors.base import Suspended, Throttled

PROBE_EVERY_S = 60.0
THROTTLE_MAX_S = 6 * 3600.0
DEFAULT = BreakerSetting()


Channel = tuple[str, str]
"""A destination's channel: (destination, channel)."""


class Standing(StrEnum):
    """What an account is to its dispatcher."""

    OPEN = "open"
    THROTTLED = "throttled"
    SUSPENDED = "suspended"
    BROKEN = "broken"
    PROBING = "probing"


class Gate:
    """One account's gate and those of its channels. `breaker`: when it is left alone; None: never."""

    def __init__(self, breaker: BreakerSetting | None = DEFAULT) -> None:
        self._breaker = Breaker(breaker) if breaker else None
        self.why: Reason | None = None
        self.detail = ""
        self._throttled_until_s = 0.0
        self._closed_until_s = 0.0
        self._probing: Standing | None = None
        self._channels: dict[Channel, float] = {}
        self._pauses: dict[tuple[Channel | None, Reason], float] = {}
        self._left = inf
        self._left_until_s = 0.0
        self._stopped_since_s: float | None = None
        self._stopped_s = 0.0

    def standing(self, now_s: float) -> Standing:
        """What the account is now."""
        if self._probing is not None:
            return self._probing if now_s < self._closed_until_s else Standing.PROBING
        return Standing.THROTTLED if now_s < self._throttled_until_s else Standing.OPEN

    def opens_s(self, now_s: float) -> float:
        """When the next request may leave as far as the gate goes: now, or later."""
        spent_until_s = self._left_until_s if self._left < 1 else 0.0
        return max(now_s, self._throttled_until_s, self._closed_until_s, spent_until_s)

    def rests_until_s(self) -> float:
        """Until when the vendor asked to be left alone; a time that is over where it does not."""
        return self._throttled_until_s

    def quota(self, left: float, until_s: float) -> None:
        """The vendor says how many more requests it takes until then, beside those in flight."""
        self._left, self._left_until_s = left, until_s

    def leaves(self) -> None:
        """A request leaves: one less is left of the quota."""
        self._left -= 1

    def probing(self) -> bool:
        """Only one request of one record may be in flight."""
        return self._probing is not None

    def suspended(self) -> bool:
        """Whether the key is refused."""
        return self._probing is Standing.SUSPENDED

    def share(self, now_s: float) -> float:
        """The share of pace and concurrency that may be used: it grows back after a breaker has closed."""
        return self._breaker.share(now_s) if self._breaker else 1.0

    def obey(self, breaker: BreakerSetting | None) -> None:
        """The breaker's rule is another: it counts anew."""
        self._breaker = Breaker(breaker) if breaker else None

    def try_now(self) -> None:
        """What was wrong may be right by now (a new key): a probe may go at once. A pause that the vendor asked for
        stays.
        """
        self._closed_until_s = 0.0

    def channels_rest(self, now_s: float) -> bool:
        """Whether any channel is not to be used now."""
        return any(until_s > now_s for until_s in self._channels.values())

    def channel_opens_s(self, channel: Channel, now_s: float) -> float:
        """When a channel may be used: now, or later."""
        return max(now_s, self._channels.get(channel, 0.0))

    def throttle(self, outcome: Throttled, channel: Channel, now_s: float) -> float:
        """The vendor asks for a pause, of the account or of one channel; gives its seconds.

        Asked again for the same reason, the pause doubles up to what the vendor's file allows (`up_to_s`).
        """
        key = (channel if outcome.scope == "channel" else None, outcome.reason)
        wanted_s = outcome.for_s
        if outcome.up_to_s:
            wanted_s = min(max(wanted_s, 2 * self._pauses.get(key, 0.0)), max(outcome.up_to_s, wanted_s))
            self._pauses[key] = wanted_s
        for_s = min(max(wanted_s, 0.0), THROTTLE_MAX_S)
        until_s = now_s + for_s
        if outcome.scope == "channel":
            self._channels[channel] = max(self._channels.get(channel, 0.0), until_s)
            return for_s
        self._throttled_until_s = max(self._throttled_until_s, until_s)
        self.why, self.detail = outcome.reason, outcome.detail
        self._stop(now_s)
        return for_s

    def suspend(self, outcome: Suspended, now_s: float, for_s: float | None = None) -> bool:
        """The key is refused; it is tried again in `for_s` (None: as every minute). True when that is news."""
        news = self._probing is not Standing.SUSPENDED
        self._probing = Standing.SUSPENDED
        self._closed_until_s = now_s + (PROBE_EVERY_S if for_s is None else for_s)
        self.why, self.detail = outcome.reason, outcome.detail
        self._stop(now_s)
        return news

    def failed(self, reason: Reason, detail: str, now_s: float) -> bool:
        """A request failed as a whole. True when the breaker opens with it, for the first time."""
        if self._breaker is None:
            if self._probing is not None:
                self._closed_until_s = now_s + PROBE_EVERY_S
            return False
        too_much = self._breaker.failed(now_s)
        if (self._probing is None and not too_much) or self._still_closed(now_s):
            return False
        news = self._probing is None
        self._probing = Standing.BROKEN
        self._closed_until_s = now_s + (self._breaker.open() if news else self._breaker.longer())
        self.why, self.detail = reason, detail
        self._stop(now_s)
        return news

    def succeeded(self, now_s: float) -> bool:
        """A request was taken. True when the account was suspended or broken until now. One that was on its way when
        the gate closed opens nothing.
        """
        self._pauses.clear()
        if self._still_closed(now_s):
            return False
        before, self._probing = self._probing, None
        if self._breaker is not None and before is Standing.BROKEN:
            self._breaker.close(now_s)
        elif self._breaker is not None:
            self._breaker.took(now_s)
        self._closed_until_s = 0.0
        if now_s >= self._throttled_until_s:
            self.why, self.detail = None, ""
            self._go(now_s)
        return before is not None

    def _still_closed(self, now_s: float) -> bool:
        """Whether no probe can have gone since the gate closed: what is answered now left before."""
        return self._probing is not None and now_s < self._closed_until_s

    def stopped_s(self, now_s: float) -> float:
        """Seconds in which the account stood still so far: they do not count against a record."""
        running = now_s - self._stopped_since_s if self._stopped_since_s is not None else 0.0
        return self._stopped_s + running

    def _stop(self, now_s: float) -> None:
        if self._stopped_since_s is None:
            self._stopped_since_s = now_s

    def _go(self, now_s: float) -> None:
        if self._stopped_since_s is not None:
            self._stopped_s += now_s - self._stopped_since_s
            self._stopped_since_s = None
