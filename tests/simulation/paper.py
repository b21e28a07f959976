"""A vendor for simulations: a real vendor file in the gateway's form, for an API that the world plays."""

from collections.abc import Sequence
from typing import Any, ClassVar

from gateway import document
from gateway.config.schema import DestinationSettings
from gateway.errors import Reason, Refusal
from gateway.model import NormalEvent
from gateway.vendors import base

KEYED = "right"
"""The destination whose batches go out again after a crash with the same members."""
LIMIT = base.Limit(allow=4, per_s=1.0)
MEANING: dict[int, base.Outcome] = {
    400: base.Split(Reason.PAYLOAD_REFUSED, "400"),
    401: base.Suspended(Reason.KEY_REFUSED, "401"),
    422: base.Refused(Reason.RECORD_REFUSED, "422"),
    423: base.Throttled(Reason.BUSY, 5.0, scope="channel"),
    429: base.Throttled(Reason.RATE_LIMITED, 2.0),
}


class PaperSettings(DestinationSettings):
    """`site`: where it is in the world (default: the destination's name). `revision`: of the configuration."""

    site: str = ""
    revision: int = 0


class Paper:
    """`POST` of a JSON list; 200 with one status per record, or one status for all."""

    name: ClassVar[str] = "paper"
    Settings: ClassVar[type[DestinationSettings]] = PaperSettings

    def __init__(self, destination: str, settings: PaperSettings) -> None:
        self.destination = destination
        self.settings = settings

    def account(self) -> str:
        return f"paper {self.settings.account or self.destination}"

    def limits(self) -> Sequence[base.Limit]:
        return (LIMIT,)

    def rules(self) -> base.BatchRules:
        return base.BatchRules(records=5, body_bytes=100_000, record_bytes=10_000)

    def mapping(self, event: NormalEvent) -> str | None:  # noqa: ARG002  events travel as they are
        return None

    def records(self, event: NormalEvent, documents: Sequence[Any] | None) -> Sequence[base.Draft]:  # noqa: ARG002  they travel as they are
        data = event.data
        if data.get("unmappable"):
            raise Refusal(Reason.INCOMPLETE, "the world says so")
        channels = data.get("channels", ["one"])
        poisoned = channels[-1] if data.get("poison") else None
        return [
            base.Draft(channel, str(data["key"]), self._data(data, poison=channel == poisoned)) for channel in channels
        ]

    def _data(self, data: Any, *, poison: bool) -> dict[str, Any]:
        return {"key": data["key"], "n": data["n"], "poison": poison, "revision": self.settings.revision}

    def request(self, batch: base.Batch) -> base.Request:
        site = self.settings.site or batch.destination
        items = [
            {
                "id": record.idempotency_key,
                "lane": record.lane,
                "seq": record.seq,
                "channel": record.draft.channel,
                **record.draft.data,
            }
            for record in batch.records
        ]
        kind = "keyed" if site == KEYED and len(batch.records) > 1 else ""
        return base.Request(
            "POST",
            f"https://{site}.{self.account().rpartition(' ')[2]}.example/",
            (),
            document.dump(items),
            intent=kind,
        )

    def judge(self, batch: base.Batch, answer: base.Answer) -> base.Verdict:
        if isinstance(answer, base.Failure):
            return base.same(base.Retry(answer.reason, answer.detail), batch)
        if answer.status == 200:
            outcomes = tuple(self._one(status) for status in document.parse(answer.body))
            return base.Verdict(outcomes)
        return base.same(MEANING.get(answer.status, base.Retry(Reason.SERVER_ERROR, str(answer.status))), batch)

    def secrets(self) -> Sequence[str]:
        return ()

    def _one(self, status: int) -> base.Outcome:
        return base.Delivered() if status == 200 else MEANING.get(status, base.Retry(Reason.SERVER_ERROR, str(status)))
