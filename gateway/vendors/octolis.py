"""Octolis Data API: rows into datasets, at most 500 a request, each with a result of its own; or events to a webhook.

The key stands in the URL (`?api-key=`), so URLs are secret here. Upserts are known by the dataset's deduplication
columns, updates by the master id: sending again does no harm.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self
from urllib.parse import quote, urlencode

from pydantic import Field, model_validator

from gateway.config.schema import DestinationSettings, Section
from gateway.config.values import Secret
from gateway.errors import Reason
from gateway.model import NormalEvent
from gateway.vendors import answers, base, checks, octolis_answers
from gateway.vendors.octolis_answers import MASTER


class Dataset(Section):
    """One dataset and how rows go into it."""

    id: str = Field(min_length=1, description="The dataset's id.", examples=["ds-customers"])
    keys: list[str] = Field(
        [], description="Its deduplication columns: each row has a value in all of them.", examples=[["email"]]
    )
    mode: Literal["upsert", "update"] = Field(
        "upsert", description="Rows by their keys, or changes to rows that are there, by `__masterid__`."
    )

    @property
    def known_by(self) -> tuple[str, ...]:
        """The columns by which a row is found."""
        return (MASTER,) if self.mode == "update" else tuple(self.keys)

    @model_validator(mode="after")
    def _found(self) -> Self:
        if not self.known_by:
            raise ValueError("`keys` names no column: an upsert finds its row by them")
        return self


class OctolisSettings(DestinationSettings):
    """One API key of an Octolis account."""

    api_key: Secret = Field(description="The API key, sent as `?api-key=`.")
    datasets: dict[str, Dataset] = Field(
        {}, description="Datasets by entity.", examples=[{"customer": {"id": "ds-customers", "keys": ["email"]}}]
    )
    webhooks: dict[str, str] = Field(
        {}, description="Webhook ids by entity: its events are sent there as they are.", examples=[{"cart": "wh-carts"}]
    )
    float_digits: Literal["decimals", "significant"] = Field(
        "decimals", description="What Octolis's six digits of a fraction are: those after the point, or all of them."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.datasets and not self.webhooks:
            raise ValueError("names no dataset and no webhook: nothing could be sent")
        if both := self.datasets.keys() & self.webhooks.keys():
            raise ValueError(f"{min(both)} has a dataset and a webhook")
        forms = {(dataset.id, *dataset.known_by) for dataset in self.datasets.values()}
        if len(forms) > len({dataset.id for dataset in self.datasets.values()}):
            raise ValueError("one dataset has two sets of keys")
        return self


class Octolis:
    """Rows for one API key. Each dataset is a channel: it can be busy alone."""

    name: ClassVar[str] = "octolis"
    Settings: ClassVar[type[DestinationSettings]] = OctolisSettings

    def __init__(self, destination: str, settings: OctolisSettings) -> None:
        self.destination = destination
        self._settings = settings
        self._base_url = (settings.base_url or BASE_URL).rstrip("/")
        self._by_id = {dataset.id: dataset for dataset in settings.datasets.values()}
        self._known_by = {id_: tuple((name,) for name in dataset.known_by) for id_, dataset in self._by_id.items()}
        self._columns = checks.Columns(INT32, DIGITS, settings.float_digits == "significant")

    def account(self) -> str:
        return base.account_name(self.name, base.host_of(self._base_url), self._settings.api_key.reveal())

    def secrets(self) -> Sequence[str]:
        return (self._settings.api_key.reveal(),)

    # --- limits ------------------------------------------------------------------------------------------------------

    def limits(self) -> Sequence[base.Limit]:
        """25 points a second and 150 more a minute per key, 2,000 a minute per account, in fixed windows; a read costs
        1 point, a write 10 (Octolis Data API). Webhooks are not counted.
        """
        burst = base.Burst(150, 60.0)
        return (
            base.Limit(25, 1.0, "fixed", burst, scope="key", cost=POINTS, classes=frozenset(POINTS)),
            base.Limit(2000, 60.0, "fixed", scope="account", cost=POINTS, classes=frozenset(POINTS)),
        )

    def rules(self) -> base.BatchRules:
        """500 rows a request (Octolis Data API); the order within one is not promised, so one row of a key."""
        return base.BatchRules(500, BODY_BYTES, ROW_BYTES, linger_s=0.5, one_per_key=True)

    # --- records -----------------------------------------------------------------------------------------------------

    def mapping(self, event: NormalEvent) -> str | None:
        if event.entity in self._settings.webhooks:
            return None
        known = event.entity in base.ENTITIES and event.entity in self._settings.datasets
        if not known or base.verb_of(event) in base.DELETIONS:
            raise LookupError(event.type)
        return f"octolis/{event.entity}"

    def records(self, event: NormalEvent, documents: Sequence[Any] | None) -> Sequence[base.Draft]:
        """A row for each document; nothing for a deletion, which the API does not know."""
        entity = event.entity or ""
        if entity in self._settings.webhooks:
            return list(self._to_webhook(event, documents))
        if entity not in self._settings.datasets or base.verb_of(event) in base.DELETIONS:
            return ()
        return [self._row(self._settings.datasets[entity], checks.as_object(one, "Octolis")) for one in documents or ()]

    def _row(self, dataset: Dataset, fields: Mapping[str, Any]) -> base.Draft:
        known_by = self._known_by[dataset.id]
        data, faults = self._columns.row(fields)
        checks.refuse_if_any(dataset.id, checks.missing(data, known_by), *faults)
        key = "/".join([str(data[name]) for (name,) in known_by])
        return base.Draft(dataset.id, key, data, cost="write")

    def _to_webhook(self, event: NormalEvent, documents: Sequence[Any] | None) -> Iterator[base.Draft]:
        channel = f"{WEBHOOK}{self._settings.webhooks[event.entity or '']}"
        for one in [event.document()] if documents is None else documents:
            yield base.Draft(channel, event.subject or event.id, one, "fact", WEBHOOK, alone=True)

    # --- request -----------------------------------------------------------------------------------------------------

    def request(self, batch: base.Batch) -> base.Request:
        if batch.channel.startswith(WEBHOOK):
            path = f"/webhook/{quote(batch.channel.removeprefix(WEBHOOK), safe='')}"
            return self._call("POST", path, WEBHOOK, batch.records[0].encoded)
        method = METHODS[self._by_id[batch.channel].mode]
        path = f"/datasets/{quote(batch.channel, safe='')}/records/batch"
        return self._call(method, path, "write", base.json_array(batch))

    def read(self, entity: str, path: str = "", **parameters: str | int) -> base.Request:
        """Read back what a dataset holds: `path` is empty (rows), `/count` or `/<master id>`; parameters are format,
        header, filter, selection, page, pageSize and order (Octolis Data API).
        """
        dataset = quote(self._settings.datasets[entity].id, safe="")
        return self._call("GET", f"/datasets/{dataset}/records{path}", "read", b"", **parameters)

    def _call(self, method: str, path: str, cost: str, body: bytes, **parameters: str | int) -> base.Request:
        query = urlencode({**parameters, "api-key": self._settings.api_key.reveal()}, quote_via=quote)
        return base.Request(method, f"{self._base_url}{path}?{query}", HEADERS, body, cost, answer_bytes=ANSWER_BYTES)

    # --- response ----------------------------------------------------------------------------------------------------

    def judge(self, batch: base.Batch, answer: base.Answer) -> base.Verdict:
        webhook = batch.channel.startswith(WEBHOOK)
        if isinstance(answer, base.Response) and answer.status // 100 == TAKEN:
            if not webhook:
                return octolis_answers.rows(batch, answer, self.secrets())
            trace = answers.bounded(answer.headers.get(TRACE_HEADER, ""), self.secrets(), answers.RECEIPT_CHARS)
            return base.alone(base.Delivered(trace), batch)
        said = None
        if isinstance(answer, base.Response):
            faulty = octolis_answers.faulty(answers.json_of(answer))
            said = f"{answers.words(answer, 'detail', 'title')}{faulty}{_traces(answer)}"
        outcome = answers.by_status(STATUSES, batch, answer, self.secrets(), said)
        return base.alone(outcome, batch) if webhook else base.same(outcome, batch)


def _traces(answer: base.Response) -> str:
    """What Octolis's support asks for."""
    given = (name for name in (TRACE_HEADER, "traceparent") if name in answer.headers)
    return "".join(f" [{name} {answer.headers[name]}]" for name in given)


# --- tables ----------------------------------------------------------------------------------------------------------

BASE_URL = "https://api.octolis.cloud/v1/data"
TAKEN = 2
INT32 = 2_147_483_647
DIGITS = 6
ROW_BYTES = 256_000
BODY_BYTES = 8_000_000
"""No size is published. Octolis answers as AWS's gateway does, which takes 10 MB."""
ANSWER_BYTES = 16 << 20
"""An answer holds every row with all its columns."""
WEBHOOK = "webhook:"
TRACE_HEADER = "apigw-requestid"
HEADERS = (("Accept", "*/*"), ("Content-Type", "application/json"))
POINTS = {"read": 1.0, "write": 10.0}
METHODS = {"upsert": "POST", "update": "PATCH"}

STATUSES: answers.Statuses = {
    4: answers.split(Reason.PAYLOAD_REFUSED),
    404: answers.throttle(Reason.NOT_FOUND, 60.0, up_to_s=900.0, scope="channel"),
    409: answers.split(Reason.CONFLICT),
    413: answers.split(Reason.TOO_LARGE),
    423: answers.throttle(Reason.BUSY, 5.0, up_to_s=60.0, scope="channel"),
    429: answers.throttle(Reason.RATE_LIMITED, 1.0),
}
"""By status. 423 is a dataset that is busy (about 5 s); 404 one that is not there: it rests alone, the others go on."""
