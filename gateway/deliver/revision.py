"""When a dispatcher stands back for those that have a newer configuration. Pure."""

STAND_BACK_AFTER_S = 15.0
"""How long events of a newer revision may wait before the leases are given up."""
STAND_BACK_S = 30.0
"""For how long nothing is claimed then. Where nobody has taken a lease by that time, what is older is delivered."""


class StandBack:
    """Whether this process leaves its accounts to others, since events wait that it must not read."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._until_s: float | None = None

    def look(self, newest: int, revision: int, now_s: float) -> bool:
        """Whether to stand back now. `newest`: the newest revision among the events met; `revision`: ours."""
        if newest <= revision:
            self._since_s = self._until_s = None
            return False
        if self._until_s is not None and now_s < self._until_s:
            return True
        if self._since_s is None or self._until_s is not None:
            self._since_s, self._until_s = now_s, None
        if now_s - self._since_s < STAND_BACK_AFTER_S:
            return False
        self._until_s = now_s + STAND_BACK_S
        return True
