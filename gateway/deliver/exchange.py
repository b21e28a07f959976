"""One batch's way to its vendor and back: request, intent, token, steps, verdict.

request > (intent written) > send > judge            a call of one request
request > send > step > (intent) > send > ... > verdict   a call of several: upload, process, report
"""

from collections.abc import Callable

from msgspec.structs import replace

from gateway.clock import Clock
from gateway.deliver import tell
from gateway.deliver.gate import Gate
from gateway.deliver.intent import intent_of
from gateway.deliver.kept import Answers, Asked
from gateway.deliver.lessons import News
from gateway.deliver.outbound import Left
from gateway.deliver.plan import Destination
from gateway.deliver.token import Tokens
from gateway.errors import JournalUnavailable, Reason
from gateway.journal.base import Delivery
from gateway.model import Lease
from gateway.vendors.base import (
    Answer,
    Batch,
    Delivered,
    Failure,
    Outcome,
    Refused,
    Request,
    Response,
    Retry,
    Split,
    Step,
    SteppedVendor,
    Throttled,
    Verdict,
    same,
)

JOURNAL_AGAIN_S = 1.0
NOT_SENT = Failure(Reason.BUSY, "it was not sent")
NO_TOKEN = Failure(Reason.KEY_REFUSED, "there is no token to be had")


class Exchange:
    """How batches of one account travel, while its lease is held."""

    def __init__(
        self,
        lease: Lease,
        journal: Delivery,
        tokens: Tokens,
        clock: Clock,
        head: Callable[[], int] = lambda: 0,
        gate: Gate | None = None,
    ) -> None:
        """`head`: the seq up to which the journal is known. `gate`: the account's, which no step passes unheard."""
        self._lease = lease
        self._journal = journal
        self._tokens = tokens
        self._clock = clock
        self._head = head
        self._gate = gate or Gate()
        self._answers = Answers()

    async def of(
        self, destination: Destination, batch: Batch, step: Step | None, left: Left = None
    ) -> tuple[Answer, Verdict, bool]:
        """What came back, what it means, and whether an intent was written. `step`: where a crash cut the call off.
        `left` is called when the batch's bytes leave.

        Raises JournalConflict when the lease is another's.
        """
        if destination.settings.dry_run:
            return Response(200, {}, b""), same(Delivered(note="dry run"), batch), False
        try:
            request = destination.vendor.request(batch)
        except Exception as error:  # noqa: BLE001  a record that its vendor cannot write must not stop the account
            tell.not_built(batch, error)
            return NOT_SENT, same(_not_built(batch, error), batch), False
        if not request.intent:
            return *await self._once_through(destination, batch, request, left), False
        try:
            await self._intend(batch, request.intent, step)
        except JournalUnavailable:
            return NOT_SENT, same(Throttled(Reason.BUSY, JOURNAL_AGAIN_S), batch), False
        if isinstance(destination.vendor, SteppedVendor):
            return *await self._steps(destination, destination.vendor, batch, request, step, left), True
        return *await self._once_through(destination, batch, request, left), True

    async def ask(self, destination: Destination, request: Request, left: Left) -> Answer:
        """What comes back of a request that carries nothing."""
        answer = await self._tokens.send(destination.vendor, request, destination.settings.timeout, left)
        return answer if isinstance(answer, Answer) else NO_TOKEN

    async def _once_through(
        self, destination: Destination, batch: Batch, request: Request, left: Left
    ) -> tuple[Answer, Verdict]:
        known, asked = None, None
        if request.cache_s is not None:
            known, asked = self._known(batch, request.cache_s), Asked(self._head(), self._clock.monotonic_s())
        answer = known or await self._tokens.send(
            destination.vendor, _traced(request, batch), destination.settings.timeout, left
        )
        if not isinstance(answer, Answer):
            return NO_TOKEN, same(answer, batch)
        try:
            verdict = destination.vendor.judge(batch, answer)
        except Exception as error:  # noqa: BLE001  an answer that its vendor's file cannot read must not stop the account
            tell.not_judged(batch, error)
            return answer, same(Retry(Reason.UNEXPECTED_ANSWER, type(error).__name__), batch)
        if asked is not None and known is None and isinstance(answer, Response) and _all_delivered(verdict):
            self._answers.keep((batch.destination, batch.channel), answer, asked)
        return answer, verdict

    def _known(self, batch: Batch, cache_s: float) -> Response | None:
        """An answer that serves the batch without a call."""
        last_seq = max(record.seq for record in batch.records)
        what = (batch.destination, batch.channel)
        return self._answers.find(what, last_seq, self._clock.monotonic_s(), cache_s)

    async def _steps(
        self,
        destination: Destination,
        vendor: SteppedVendor,
        batch: Batch,
        request: Request,
        step: Step | None,
        left: Left,
    ) -> tuple[Answer, Verdict]:
        """Request after request until there is a verdict. Where a crash cut it off, it goes on with that step."""
        timeout_s = destination.settings.timeout
        now = request if step is None else vendor.step_request(batch, step)
        while True:
            answer = await self._tokens.send(vendor, _traced(now, batch), timeout_s, left)
            if not isinstance(answer, Answer):
                return NO_TOKEN, same(answer, batch)
            found = vendor.follow(batch, step, answer)
            if isinstance(found, Verdict):
                return answer, found
            step = found
            await self._intend_until_done(batch, request.intent, step)
            await self._wait(batch, step)
            now = vendor.step_request(batch, step)

    async def _wait(self, batch: Batch, step: Step) -> None:
        """Until the step's time has come, and the account may be called."""
        now_s = self._clock.monotonic_s()
        if step.pause is not None:
            for_s = self._gate.throttle(step.pause, (batch.destination, batch.channel), now_s)
            news = News("account.throttled", step.pause.reason, step.pause.detail, for_s)
            tell.standing(self._lease.account, news, self._gate.standing(now_s))
        await self._clock.sleep(step.after_s)
        while (opens_s := self._gate.opens_s(now_s := self._clock.monotonic_s())) > now_s:
            await self._clock.sleep(opens_s - now_s)

    async def _intend_until_done(self, batch: Batch, kind: str, step: Step) -> None:
        while True:
            try:
                await self._intend(batch, kind, step)
            except JournalUnavailable:
                await self._clock.sleep(JOURNAL_AGAIN_S)
            else:
                return

    async def _intend(self, batch: Batch, kind: str, step: Step | None) -> None:
        intent = intent_of(self._lease.account, batch, kind, step, self._clock.now_ms())
        await self._journal.intend(self._lease, (intent,))


def _all_delivered(verdict: Verdict) -> bool:
    return all(isinstance(one, Delivered) for one in verdict.outcomes)


def _not_built(batch: Batch, error: Exception) -> Outcome:
    """Halve the batch to find the record that cannot be written; that one is dead."""
    detail = f"the request could not be built: {type(error).__name__}"
    return Split(Reason.INCOMPLETE, detail) if len(batch.records) > 1 else Refused(Reason.INCOMPLETE, detail)


def _traced(request: Request, batch: Batch) -> Request:
    """The request with the trace of its first record passed on."""
    trace = batch.records[0].traceparent
    if trace is None or any(name.lower() == "traceparent" for name, _ in request.headers):
        return request
    return replace(request, headers=(*request.headers, ("traceparent", trace)))
