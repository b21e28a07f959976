"""What the receiver tells of its work. The application hands in one that logs and counts; tests one that remembers."""

from collections.abc import Mapping
from typing import Protocol

from gateway.errors import Cause


class Observer(Protocol):
    """Called on the loop: must be quick and must not raise."""

    def refused(self, source: str, cause: Cause, detail: str, client: str, method: str) -> None:
        """One request was refused. `source` is empty for one that is not configured."""

    def committed(self, accepted: Mapping[str, int], duplicates: Mapping[str, int], took_s: float) -> None:
        """A group is done with: its events by source, and how long the commit took."""

    def failed(self, what: str, error: BaseException) -> None:
        """Something failed that should not: a commit, or the receiver itself."""

    def lost(self, rejections: int) -> None:
        """So many rejected requests were counted but not kept."""


class Quiet:
    """Tells nothing."""

    def refused(self, source: str, cause: Cause, detail: str, client: str, method: str) -> None: ...

    def committed(self, accepted: Mapping[str, int], duplicates: Mapping[str, int], took_s: float) -> None: ...

    def failed(self, what: str, error: BaseException) -> None: ...

    def lost(self, rejections: int) -> None: ...
