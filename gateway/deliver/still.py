"""Which destinations of an account are in their quiet hours. Pure."""

from gateway.config.quiet import QuietHours
from gateway.deliver.plan import Destination
from gateway.deliver.queue import Now


class Still:
    """The destinations that have quiet hours, and until when it is quiet at which."""

    def __init__(self) -> None:
        self._hours: dict[str, QuietHours] = {}
        self._until_ms: dict[str, int] = {}

    def add(self, destination: Destination) -> None:
        """A destination, with its quiet hours if it has any."""
        if destination.settings.quiet:
            self._hours.setdefault(destination.name, QuietHours(destination.settings.quiet))

    def __contains__(self, destination: object) -> bool:
        return destination in self._until_ms

    def look(self, now: Now) -> bool:
        """Look at the time. Whether something else is quiet now than before."""
        if not self._hours:
            return False
        before = self._until_ms
        ends = ((name, hours.until_ms(now.ms)) for name, hours in self._hours.items())
        self._until_ms = {name: until_ms for name, until_ms in ends if until_ms is not None}
        return self._until_ms != before

    def ends_s(self, now: Now) -> list[float]:
        """When it is no longer quiet, for each destination where it is."""
        return [now.s + (until_ms - now.ms) / 1000 for until_ms in self._until_ms.values()]
