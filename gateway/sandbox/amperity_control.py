"""Amperity's control plane: lists behind cursors, and workflows that run by the clock."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from gateway import document
from gateway.clock import Chance, Clock
from gateway.sandbox.api import Refused

PAGE, PAGE_MAX = 20, 100
RUNS_MAX = 1_000
RUN_AFTER_S, DONE_AFTER_S = 2.0, 10.0
JOBS_WINDOW = timedelta(days=7)


class Run(Struct):
    """A workflow: when it was started, by the monotonic clock, and whether it was stopped."""

    id: str
    config: str
    created_at_ms: int
    created_at_s: float
    stopped: bool = False


class Control:
    """The control plane of one tenant. Lists are invented; cursors are opaque and expire after `cursor_s`."""

    def __init__(self, clock: Clock, chance: Chance, cursor_s: float) -> None:
        self._clock = clock
        self._chance = chance
        self.cursor_s = cursor_s
        self._runs: dict[str, Run] = {}
        self._lists: dict[str, list[dict[str, Any]]] = {
            "segments": [{"id": f"sg-{n:03}", "name": f"Segment {n}"} for n in range(45)],
            "campaigns": [{"id": f"cm-{n:03}", "name": f"Campaign {n}"} for n in range(3)],
            "audit-events": [{"id": f"ae-{n:03}", "type": "login"} for n in range(25)],
            "ingest/jobs": [{"id": f"jb-{n:03}", "state": "succeeded"} for n in range(7)],
        }

    def page(self, listing: str, query: dict[str, str]) -> dict[str, Any]:
        """A page of a list. Raises Refused: 404 for none such, 400 for a parameter or cursor that does not do."""
        if listing == "workflow/runs":
            items = [self._shown(run) for run in self._runs.values()]
        elif listing in self._lists:
            items = self._lists[listing]
        else:
            raise Refused(404, "Not found", "wrong_path", listing)
        if listing == "ingest/jobs":
            _window(query)
        first = self._offset(query["next_token"], listing) if "next_token" in query else 0
        size = query.get("limit", str(PAGE))
        if not size.isdigit() or not 1 <= int(size) <= PAGE_MAX:
            raise Refused(400, "limit is not valid", "malformed_query", size)
        last = first + int(size)
        page: dict[str, Any] = {"data": items[first:last]}
        if last < len(items):
            page["next_token"] = self._cursor(last, listing)
        if query.get("with_total") == "true":
            page["total"] = len(items)
        return page

    def one(self, listing: str, name: str) -> dict[str, Any]:
        """One item of a list. Raises Refused (404)."""
        found = next((item for item in self._lists[listing] if item["id"] == name), None)
        if found is None:
            raise Refused(404, "Not found")
        return found

    def start(self, wanted: dict[str, Any], tenant: str) -> dict[str, Any]:
        """Start a workflow: each call starts another one."""
        if len(self._runs) >= RUNS_MAX:
            raise Refused(409, "Too many workflows")
        name = f"wf-{self._chance.nonce(8).hex()}"
        run = Run(name, wanted["config_id"], self._clock.now_ms(), self._clock.monotonic_s())
        self._runs[name] = run
        return {**self._shown(run), "tenant": tenant}

    def run(self, name: str) -> dict[str, Any]:
        return self._shown(self._found(name))

    def stop(self, name: str) -> dict[str, Any]:
        """Stop a workflow. Raises Refused (409) when it has ended."""
        run = self._found(name)
        if self._state(run) not in ("scheduled", "running"):
            raise Refused(409, "The workflow has ended")
        run.stopped = True
        return self._shown(run)

    def runs_started(self) -> int:
        return len(self._runs)

    def _found(self, name: str) -> Run:
        if name not in self._runs:
            raise Refused(404, "Not found")
        return self._runs[name]

    def _state(self, run: Run) -> str:
        age_s = self._clock.monotonic_s() - run.created_at_s
        if run.stopped:
            return "stopped"
        if age_s < RUN_AFTER_S:
            return "scheduled"
        return "running" if age_s < DONE_AFTER_S else "succeeded"

    def _shown(self, run: Run) -> dict[str, Any]:
        created = datetime.fromtimestamp(run.created_at_ms / 1000, UTC).isoformat()
        kind = {"type": "courier_group", "config_id": run.config}
        return {"id": run.id, "state": self._state(run), "created_at": created, **kind}

    def _cursor(self, offset: int, listing: str) -> str:
        until_s = self._clock.monotonic_s() + self.cursor_s
        return base64.urlsafe_b64encode(document.dump([listing, offset, until_s])).decode()

    def _offset(self, cursor: str, listing: str) -> int:
        try:
            of, offset, until_s = document.parse(base64.urlsafe_b64decode(cursor))
        except (binascii.Error, document.Unreadable, ValueError, TypeError):
            raise Refused(400, "next_token is not valid", "wrong_cursor") from None
        if of != listing or self._clock.monotonic_s() > float(until_s):
            raise Refused(400, "next_token is expired", "wrong_cursor")
        return int(offset)


def _window(query: dict[str, str]) -> None:
    """Ingest jobs are asked for by a window of at most seven days."""
    try:
        began, ended = (datetime.fromisoformat(query[name]) for name in ("created_from", "created_to"))
        fits = timedelta(0) <= ended - began <= JOBS_WINDOW
    except (KeyError, ValueError, TypeError):
        fits = False
    if not fits:
        raise Refused(400, "created_from and created_to are required, at most 7 days apart", "malformed_query")
