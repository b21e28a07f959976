"""A clock that stands still until it is told to move, and chance that is a list."""

import hashlib


class ManualClock:
    """Both clocks move together, by `move`. Sleeping moves them."""

    def __init__(self, now_ms: int = 1_760_000_000_000) -> None:
        self._started_ms = now_ms
        self._s = 0.0

    def now_ms(self) -> int:
        return self._started_ms + round(self._s * 1000)

    def monotonic_s(self) -> float:
        return self._s

    async def sleep(self, seconds: float) -> None:
        self.move(seconds)

    def move(self, seconds: float) -> None:
        self._s += seconds


class KnownChance:
    """`uniform` gives the numbers it was made with, over and over, between 0 and 1; nonces count."""

    def __init__(self, *numbers: float) -> None:
        self._numbers = numbers or (0.5,)
        self._drawn = 0
        self._nonces = 0

    def uniform(self, low: float, high: float) -> float:
        self._drawn += 1
        return low + self._numbers[(self._drawn - 1) % len(self._numbers)] * (high - low)

    def nonce(self, size: int) -> bytes:
        self._nonces += 1
        return hashlib.blake2b(str(self._nonces).encode(), digest_size=size).digest()
