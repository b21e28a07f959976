"""What delivery tells of itself: one log line for each change of an account's standing and each settle, and counts."""

from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager

from gateway.deliver.drops import KEPT, Drop
from gateway.deliver.gate import Standing
from gateway.deliver.lessons import News
from gateway.deliver.standing import AccountStanding
from gateway.deliver.tallies import Tallies
from gateway.errors import Reason
from gateway.model import Intent, Lane, Settlement, State
from gateway.telemetry import log as logs
from gateway.telemetry import metrics
from gateway.vendors.base import Answer, Batch, Delivered, Failure, Outcome, Response, Verdict

log = logs.get("deliver")
_tallies = Tallies()


class _Sending:
    """A batch on its way; a generator's context costs three times as much."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __enter__(self) -> None:
        _tallies.of(self._batch.destination).in_flight += len(self._batch.records)

    def __exit__(self, *_: object) -> None:
        _tallies.of(self._batch.destination).in_flight -= len(self._batch.records)


def sending(account: str, batch: Batch) -> AbstractContextManager[None]:
    """A batch is with its vendor while the context lasts."""
    _tallies.unit(account)
    return _Sending(batch)


def served(account: str, rate_per_s: float | None, lanes: int) -> None:
    """The account is served by this process from now on."""
    meters = metrics.account(account)
    meters.held.set(1)
    meters.stands(Standing.OPEN)
    meters.units_per_second.set(rate_per_s or 0)
    log.info("account.served", account=account, lanes=lanes)


def shared(account: str) -> None:
    """The account is left to another dispatcher."""
    log.info("account.shared", account=account)


def lost(account: str) -> None:
    """Another process has taken the lease over: this one stood still for too long."""
    log.warning("lease.lost", account=account)


def left(account: str) -> None:
    """The account is no longer served by this process."""
    _tallies.write()
    metrics.account(account).held.set(0)


def sent(batch: Batch, answer: Answer, verdict: Verdict, latency_s: float, now_ms: int) -> None:
    """A batch was answered."""
    tally = _tallies.of(batch.destination)
    tally.seconds.append(latency_s)
    tally.records.append(len(batch.records))
    tally.bytes.append(sum([len(record.encoded) for record in batch.records]))
    tally.answers[(answer.status, None) if isinstance(answer, Response) else (None, answer.reason)] += 1
    different = verdict.different()
    if len(different) == 1:
        tally.outcomes[_outcome(different[0])] += len(batch.records)
        taken = batch.records if isinstance(different[0], Delivered) else ()
    else:
        shared = Counter(map(id, verdict.outcomes))
        for outcome in different:
            tally.outcomes[_outcome(outcome)] += shared[id(outcome)]
        told = zip(batch.records, verdict.outcomes, strict=True)
        taken = tuple(record for record, outcome in told if isinstance(outcome, Delivered))
    tally.delays_s += [max(0, now_ms - record.received_at_ms) / 1000 for record in taken if record.received_at_ms]
    if logs.says("debug"):
        log.debug(
            "batch.sent",
            destination=batch.destination,
            channel=batch.channel,
            records=len(batch.records),
            status=answer.status if isinstance(answer, Response) else answer.reason,
            events=[record.event_id for record in batch.records],
            took_ms=int(now_ms - batch.sent_at_ms),
        )


def stands(one: AccountStanding) -> None:
    """How an account stands, now and then."""
    meters = metrics.account(one.account)
    meters.stands(one.standing)
    meters.found_per_second.set(one.found_per_s or 0)


def standing(account: str, news: News, now: Standing) -> None:
    """The account's standing changed."""
    metrics.account(account).stands(now)
    level = log.info if news.what in ("account.resumed", "breaker.closed") else log.warning
    fields = {"for_s": round(news.for_s, 1)} if news.for_s else {}
    level(news.what, account=account, reason=news.reason, detail=news.detail, **fields)


def dropped(account: str, news: tuple[Drop, ...] | Failure | None) -> None:
    """What a vendor dropped of what it had taken; or why it does not tell, said once."""
    if isinstance(news, Failure):
        log.warning("account.drops_unknown", account=account, reason=news.reason, detail=news.detail)
    elif news:
        count = sum(one.count for one in news)
        metrics.account(account).dropped.inc(count)
        detail = "; ".join(f"{one.count} {one.detail}" for one in news[:KEPT])
        log.warning("account.dropped", account=account, count=count, detail=detail)


def settled(account: str, settlement: Settlement, lanes: Iterable[Lane], took_s: float) -> None:
    """A settle is in the journal, and these are its lanes as they stand."""
    metrics.settle_seconds.observe(took_s)
    counts: Counter[str] = Counter()
    names = {lane.id: {"source": lane.source, "destination": lane.destination} for lane in lanes}
    for lane in settlement.lanes:
        counts["delivered"] += lane.counts.delivered
        counts["filtered"] += lane.counts.filtered
        counts["superseded"] += lane.counts.superseded
        counts.update(str(row.state) for row in lane.parked)
        counts.update(str(one.outcome) for one in lane.resolved)
        for row in lane.parked:
            if row.state is State.DEAD:
                if row.reason == Reason.MAPPING_FAILED:
                    metrics.mapping_failures.labels(row.mapping).inc()
                said = {"seq": row.seq, "part": row.part, "reason": row.reason, "detail": row.detail}
                log.warning("record.dead", **names.get(lane.lane, {}), **said)
    log.info("settle.done", account=account, **{name: count for name, count in counts.items() if count})


def not_built(batch: Batch, error: Exception) -> None:
    """A vendor could not write the request of a batch."""
    log.error("request.not_built", destination=batch.destination, exception=repr(error))


def not_judged(batch: Batch, error: Exception) -> None:
    """A vendor's file could not read an answer."""
    log.error("answer.not_judged", destination=batch.destination, exception=repr(error))


def unreadable(lane: Lane, error: Exception) -> None:
    """A replay of another version of the gateway stands still on this lane."""
    log.error(
        "replay.unreadable", replay=lane.kind, source=lane.source, destination=lane.destination, reason=str(error)
    )


def resumed(intent: Intent) -> None:
    """A call that a crash cut off was found."""
    log.warning("intent.found", destination=intent.destination, kind=intent.kind, step=intent.step)


def conflict(account: str, error: Exception) -> None:
    """The lease or a lane is no longer what it was."""
    metrics.settle_conflicts.inc()
    log.warning("settle.conflict", account=account, detail=str(error))


def journal_failed(account: str, error: Exception) -> None:
    """The journal cannot answer now."""
    log.error("journal.unavailable", account=account, reason=str(error))


def _outcome(outcome: Outcome) -> tuple[str, str]:
    return type(outcome).__name__.lower(), str(getattr(outcome, "reason", ""))
