"""What the simulated Ometria holds for one API key: limits, the queue behind `push`, stored records, `_errors`.

The queue is drained at a rate, computed from the clock whenever somebody looks, so that nothing runs in the background
and a test's clock is enough.
"""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from gateway.clock import Clock
from gateway.sandbox import ometria_fields
from gateway.sandbox.api import Refused
from gateway.sandbox.simulator import masked
from gateway.sandbox.windows import SlidingLog
from gateway.sandbox.witness import Witness

RECORDS_MAX = 1_000_000
EMAILS_KEPT = 1_000
CONTROL = ("@merge", "@force_optin", "@add_to_lists", "@remove_from_lists")
DEFAULT_COLLECTION = "default"
EVENT_TYPE_MAX = 32


class Rules(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the simulated Ometria allows. Figures: Ometria API introduction; see VENDORS for what is inferred.

    `strict`: one record type per call, JSON numbers for numbers, required fields. `replace`: a record without `@merge`
    replaces the stored one (the documents conflict), else it is merged.
    """

    push_per_s: int = 4
    data_per_s: int = 4
    emails_per_s: int = 10
    deletions_per_min: int = 6
    records: int = 100
    record_bytes: int = 61_440
    queue: int = 50_000
    drain_per_s: float = 1_000.0
    errors: int = 100
    strict: bool = True
    replace: bool = True


class Stored(Struct):
    """A record as it is kept, and when it last changed (ms since the epoch)."""

    document: dict[str, Any]
    updated_at_ms: int


class Account:
    """What Ometria holds for one API key."""

    def __init__(self, key: str, clock: Clock, rules: Rules) -> None:
        self.name = masked(key)
        self.clock = clock
        self.witness = Witness(clock)
        self.queue: deque[dict[str, Any]] = deque()
        self.stored: dict[str, Stored] = {}
        self.applied = self.failed = self.rejected = 0
        self.emails: deque[dict[str, Any]] = deque(maxlen=EMAILS_KEPT)
        self.deletions: dict[str, dict[str, Any]] = {}
        self.kinds: Counter[str] = Counter()
        self.errors: deque[dict[str, str]] = deque()
        self._drained_at_s = clock.monotonic_s()
        self.follow(rules)

    def follow(self, rules: Rules) -> None:
        """Go by these rules from now on; the limits' windows begin anew."""
        self.rules = rules
        self.limits = {
            "push": SlidingLog(rules.push_per_s, 1.0),
            "data": SlidingLog(rules.data_per_s, 1.0),
            "email": SlidingLog(rules.emails_per_s, 1.0),
            "deletion": SlidingLog(rules.deletions_per_min, 60.0),
        }
        self.errors = deque(self.errors, maxlen=rules.errors)
        self._checks = ometria_fields.checks(strict=rules.strict)

    def take(self, limit: str) -> None:
        """Count a request against one of the limits. Raises Refused over it."""
        if not self.limits[limit].take(self.clock.monotonic_s()):
            raise Refused(429, "Too many requests", "rate_limit", limit)

    def room(self) -> int:
        """Free places in the queue, after what has been drained until now."""
        self.drain()
        return self.rules.queue - len(self.queue)

    def drain(self) -> None:
        """Apply what the worker has come to since somebody last looked, in the order it came."""
        now_s = self.clock.monotonic_s()
        due = int((now_s - self._drained_at_s) * self.rules.drain_per_s + 1e-6)
        for _ in range(min(due, len(self.queue))):
            self.apply(self.queue.popleft())
        if self.queue and self.rules.drain_per_s:
            self._drained_at_s += due / self.rules.drain_per_s
        else:
            self._drained_at_s = now_s

    def enqueue(self, records: Iterable[dict[str, Any]]) -> None:
        """Put records behind those that wait."""
        self.drain()
        self.queue.extend(records)

    def apply(self, record: dict[str, Any]) -> None:
        """Validate a record and store it: merged or replaced, nulls deleting."""
        findings = list(self._findings(record))
        if findings:
            self.failed += 1
            self.errors.extend(ometria_fields.error(finding) for finding in findings)
            self.witness.breach("invalid_field", f"{name_of(record)}: {' > '.join(findings[0][0])}: {findings[0][1]}")
            return
        self.applied += 1
        self._keep(record, self._merged(record))

    def _findings(self, record: dict[str, Any]) -> Iterable[ometria_fields.Finding]:
        """What is wrong with a record: types in what was sent, required fields in what would be stored."""
        check = self._checks[record["@type"]]
        yield from (finding for finding in check(record, ()) if finding[1] == ometria_fields.INVALID)
        if self.rules.strict:
            yield from (finding for finding in check(self._merged(record), ()) if finding[1] == ometria_fields.MISSING)

    def _merged(self, record: dict[str, Any]) -> dict[str, Any]:
        merged = self._base(record)
        lists = set(merged.get("@lists", ())) | set(record.get("@add_to_lists") or ())
        lists -= set(record.get("@remove_from_lists") or ())
        merged.update((name, value) for name, value in record.items() if name not in CONTROL)
        if record["@type"] == "contact":
            merged["@lists"] = sorted(lists) or None
        return {name: value for name, value in merged.items() if value is not None}

    def _base(self, record: dict[str, Any]) -> dict[str, Any]:
        """What a record is laid over: the stored one where it is merged (a product's attributes never are)."""
        known = self.stored.get(name_of(record))
        if known is None or record["@type"] == "custom_event" or not record.get("@merge", not self.rules.replace):
            return {}
        return {name: value for name, value in known.document.items() if name != "attributes"}

    def _keep(self, record: dict[str, Any], merged: dict[str, Any]) -> None:
        name = name_of(record)
        if record["@type"] == "custom_event":
            merged["event_type"] = merged["event_type"][:EVENT_TYPE_MAX]
        if name not in self.stored:
            self.kinds[record["@type"]] += 1
            if len(self.stored) >= RECORDS_MAX:
                oldest = next(iter(self.stored))
                self.kinds[oldest.partition(":")[0]] -= 1
                del self.stored[oldest]
        self.stored[name] = Stored(merged, self.clock.now_ms())

    def of(self, prefix: str) -> list[Stored]:
        """The stored records whose name begins so, by internal id."""
        self.drain()
        return [stored for name, stored in self.stored.items() if name.startswith(prefix)]

    def get(self, name: str) -> Stored | None:
        """One stored record."""
        self.drain()
        return self.stored.get(name)

    def counts(self) -> dict[str, int]:
        """How much of what it holds."""
        self.drain()
        received = self.witness.received.values()
        return {
            **{kind: self.kinds[kind] for kind in ometria_fields.TYPES},
            "received": sum(seen.times for seen in received),
            "received_distinct": len(self.witness.received),
            "received_again": sum(seen.times - 1 for seen in received),
            "rejected": self.rejected,
            "applied": self.applied,
            "failed": self.failed,
            "queue": len(self.queue),
            "emails": len(self.emails),
            "deletions": len(self.deletions),
        }


def name_of(record: dict[str, Any]) -> str:
    """A record's key: type, for contacts collection, and id."""
    if record["@type"] == "contact":
        return f"contact:{record.get('@collection') or DEFAULT_COLLECTION}:{record.get('id')}"
    return f"{record['@type']}:{record.get('id')}"
