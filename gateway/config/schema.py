"""What may stand in the configuration: every section, every key, its meaning, its default.

These models are the only description of the configuration: `gateway schema`, the reference page and the messages are
made from them. Unknown keys are refused. Durations are seconds (`_s` is left out of keys), sizes are bytes.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.config.quiet import QuietHours
from gateway.config.values import (
    MAX_INTEGER,
    NAME,
    Address,
    Bytes,
    Country,
    Currency,
    HttpsUrl,
    HttpUrl,
    Moment,
    Name,
    Network,
    Seconds,
    Secret,
    Secrets,
    Share,
    Texts,
    Timezone,
    Url,
    listed,
)

__all__ = ["NAME", "Address", "Config", "DestinationSettings", "Name", "Network", "Route", "Section", "Source", "Texts"]

LOOKUP = "lookup"
"""The vendor of a look-up, which a destination cannot name."""

_TOPIC = ("header:", "json:", "query:", "const:")
_IDENTITY = ("header:", "json:", "query:")
_PLACEHOLDER = re.compile(r"\{(body|timestamp|url|header:[!-~]+?)\}")
_JOURNALS = re.compile(r"sqlite:///[^?#]+|postgres(ql)?://.+|memory:")


def _topic(value: str) -> str:
    if not any(value.startswith(kind) and len(value) > len(kind) for kind in _TOPIC):
        raise ValueError("a topic's place begins with header:, json:, query: or const:")
    return value


def _identity(value: str) -> str:
    if value != "body" and not any(value.startswith(kind) and len(value) > len(kind) for kind in _IDENTITY):
        raise ValueError("a part of the identity begins with header:, json: or query:, or is body")
    return value


def _journal_url(value: Url) -> Url:
    if not _JOURNALS.fullmatch(value):
        raise ValueError("a journal's URL begins with sqlite:/// or postgresql://")
    return value


def _postgres_url(value: Url) -> Url:
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("a URL to listen at begins with postgresql://")
    return value


def _quiet(value: list[str]) -> list[str]:
    if QuietHours(value).always():
        raise ValueError("it would never be anything but quiet: `paused: true` stops a destination")
    return value


def _span(value: str) -> str:
    QuietHours([value])
    return value


Quiet = Annotated[
    list[Annotated[str, AfterValidator(_span)]],
    AfterValidator(_quiet),
    BeforeValidator(listed, json_schema_input_type=str | list[str]),
]
"""Quiet hours, one or several."""

IdentityParts = Annotated[
    list[Annotated[str, AfterValidator(_identity)]],
    BeforeValidator(listed, json_schema_input_type=str | list[str]),
    Field(min_length=1),
]


def _targets(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


class Section(BaseModel):
    """The base of all sections: unknown keys are faults, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False, hide_input_in_errors=True)


class Journal(Section):
    """Where events are kept, and for how long."""

    url: Annotated[Url, AfterValidator(_journal_url)] = Field(
        Url("sqlite:///var/gateway.db"),
        description="`sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://user:password@host/database`.",
        examples=["sqlite:///var/gateway.db"],
    )
    listen_url: Annotated[Url, AfterValidator(_postgres_url)] | None = Field(
        None,
        description="PostgreSQL itself, where `url` is a pooler's (pgbouncer): new events are heard of there at once. "
        "Without it, and behind a pooler, they are looked for each second.",
        examples=["postgresql://user:password@db-direct/gateway"],
    )
    keep: Seconds = Field(30 * 86400, description="Events are removed after this, once every lane has settled them.")
    keep_at_most: Seconds = Field(
        90 * 86400, description="Events are removed after this in any case; what waits expires."
    )
    keep_dead: Seconds = Field(
        90 * 86400, description="Dead letters are removed after this, and replays that are over."
    )
    keep_attempts: Seconds = Field(30 * 86400, description="What came of each attempt is forgotten after this.")
    identities: Seconds = Field(7 * 86400, description="How long a retried request is recognised.")
    max_size: Bytes | None = Field(
        None, description="The most the journal's events may take; beyond it the oldest expire.", examples=["20GiB"]
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "keep" in self.model_fields_set and self.keep > self.keep_at_most:
            raise ValueError("`keep` is longer than `keep_at_most`: what is removed in any case is not kept longer")
        return self


class Receiver(Section):
    """The door that senders knock at."""

    listen: Address = Field("127.0.0.1:8080", description="Where webhooks are received.")
    trusted_proxies: list[Network] = Field(
        [], description="Networks whose forwarding header is believed.", examples=[["10.0.0.0/8"]]
    )
    forwarded: Literal["x-forwarded-for", "forwarded"] = Field(
        "x-forwarded-for", description="Which forwarding header the trusted proxies write."
    )
    body_limit: Bytes = Field(1 << 20, description="The largest body that is taken, on the wire and unpacked.")
    body_timeout: Seconds = Field(10.0, description="How long a body may stall before the answer is 408.")
    group_limit: int = Field(512, ge=1, le=10_000, description="Events that are committed together, at most.")
    waiting_limit: int = Field(
        4096, ge=1, description="Requests that may wait for a commit; beyond it the answer is 503 with Retry-After."
    )
    commit_timeout: Seconds = Field(10.0, description="How long a commit may take before the answer is 503.")


class Admin(Section):
    """The operators' door: API, pages, metrics, health."""

    listen: Address = Field(
        "127.0.0.1:8081", description="Where the admin API and pages, metrics and health are served."
    )
    token: Secret | None = Field(None, description="What the API and the pages ask for. Without one they are closed.")


class Log(Section):
    """What is written down."""

    format: Literal["auto", "json", "console"] = Field(
        "auto", description="JSON lines, or colours for people. `auto`: colours on a terminal."
    )
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least important level shown.")
    accepted: Literal["off", "sample", "all"] = Field(
        "off", description="Whether accepted requests are logged one by one."
    )


class Allow(Section):
    """Who may send, and how."""

    methods: list[Literal["POST", "PUT"]] | None = Field(None, description="Methods taken. Default: the preset's.")
    ips: list[Network] | Literal["published"] | None = Field(
        None,
        description="Networks that may send, or `published`: those that the platform publishes. Default: any.",
        examples=[["203.0.113.0/24"], "published"],
    )
    headers: dict[str, Texts] = Field(
        {},
        description='Headers each request must carry: a value, a list of values (any of them), or "*" (present).',
        examples=[{"X-Shopify-Shop-Domain": "uk-shop.myshopify.com"}],
    )


class HmacScheme(Section):
    """A signature that is a keyed hash over the request."""

    scheme: Literal["hmac"] = "hmac"
    header: str = Field(description="The header that carries the signature.", examples=["X-Signature"])
    algorithm: Literal["sha256", "sha1", "sha512"] = Field("sha256", description="The hash.")
    encoding: Literal["hex", "base64"] = Field("hex", description="How the signature is written.")
    prefix: str = Field("", description="What stands before the signature.", examples=["sha256="])
    signed: str = Field(
        "{body}",
        description="What is signed: `{body}`, `{timestamp}`, `{url}`, `{header:NAME}` and literal text.",
        examples=["{timestamp}.{body}"],
    )
    timestamp: str | None = Field(None, description="Where the time stands.", examples=["header:X-Timestamp"])
    tolerance: Seconds = Field(300.0, description="How far the time may be off, both ways.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        rest = _PLACEHOLDER.sub("", self.signed)
        if "{" in rest or "}" in rest:
            raise ValueError("`signed` knows {body}, {timestamp}, {url} and {header:NAME}")
        if "{body}" not in self.signed:
            raise ValueError("`signed` leaves out {body}: anything could be sent under such a signature")
        if "{timestamp}" in self.signed and not self.timestamp:
            raise ValueError("`signed` has {timestamp}, and `timestamp` does not say where it stands")
        if self.timestamp and not self.timestamp.startswith("header:"):
            raise ValueError("`timestamp` is header:NAME")
        return self


class Basic(Section):
    """HTTP Basic credentials."""

    user: str = Field(description="The user's name.", examples=["gateway"])
    password: Secret = Field(description="The password.")


class Source(Section):
    """A sender: one shop, reachable at `/webhooks/{name}`."""

    preset: str = Field("generic", description="What the gateway knows of the platform.", examples=["shopify"])
    secrets: Secrets = Field([], description="What requests are signed with. Several: all are valid (rotation).")
    api_key: Secrets = Field([], description="What `?api-key=` or `X-Api-Key` must carry. Several: all are valid.")
    basic: Basic | None = Field(None, description="HTTP Basic credentials that requests must carry.")
    bearer: Secret | None = Field(None, description="The token that `Authorization: Bearer` must carry.")
    allow: Allow = Field(Allow(), description="Who may send, and how.")
    verify: HmacScheme | None = Field(None, description="How requests are signed (generic preset).")
    topic: Annotated[str, AfterValidator(_topic)] | None = Field(
        None,
        description="Where the topic stands: `header:NAME`, `json:PATH`, `query:NAME` or `const:TEXT`.",
        examples=["header:X-Event-Type"],
    )
    identity: IdentityParts | None = Field(
        None,
        description="What makes two requests the same event: parts `header:NAME`, `json:PATH`, `query:NAME`, `body`.",
        examples=[["json:id"]],
    )
    identity_window: Seconds | None = Field(None, description="How long a retry is recognised. Default: the journal's.")
    normalise: dict[str, str] = Field(
        {}, description="Topic globs to mappings, before those of the preset.", examples=[{"order.*": "erp-order"}]
    )
    lookup: Texts = Field(
        [],
        description="Look-ups that make its thin events whole, by name. What they find is an event of this source.",
        examples=[["bigcommerce"]],
    )
    country: Country | None = Field(None, examples=["GB"], description="ISO 3166 country where a payload names none.")
    timezone: Timezone | None = Field(None, description="IANA zone of times without one.", examples=["Europe/London"])
    currency: Currency | None = Field(
        None, examples=["GBP"], description="ISO 4217 currency where a payload names none."
    )
    body_limit: Bytes | None = Field(None, description="The largest body taken. Default: the receiver's.")
    respond: str | None = Field(
        None, description="The body of the answer to an accepted event. Default: the preset's.", examples=["[accepted]"]
    )
    notification_url: str | None = Field(
        None,
        description="The URL as it is registered with the platform, to the letter (Square signs it).",
        examples=["https://hooks.example.com/webhooks/till"],
    )
    api_url: HttpsUrl | None = Field(
        None,
        description="The shop's API (Saleor: its keys are there).",
        examples=["https://shop.saleor.cloud/graphql/"],
    )
    jwks_url: HttpsUrl | None = Field(
        None,
        description="Where the signing keys are published.",
        examples=["https://shop.example.com/.well-known/jwks.json"],
    )
    webhook_id: str | None = Field(
        None, description="The webhook's id at the platform (PayPal signs it).", examples=["5GP028458E2496506"]
    )
    public_key: str | None = Field(
        None, description="The platform's public key, PEM (Wix).", examples=["${file:/run/secrets/wix.pem}"]
    )
    client_id: str | None = Field(
        None, description="The id that events are addressed to (Adobe I/O).", examples=["4e5f0a1b2c3d4e5f"]
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.verify and self.preset != "generic":
            raise ValueError("`verify` is for the generic preset; a platform's preset knows its signature: remove it")
        if self.verify and not self.secrets:
            raise ValueError("`verify` has nothing to verify with: add `secrets`")
        if self.secrets and not self.verify and self.preset == "generic":
            raise ValueError("`secrets` verify nothing without `verify`: say how requests are signed")
        return self


class LimitSetting(Section):
    """One window of a vendor's limits."""

    class Burst(Section):
        """A longer window that may be drawn on."""

        allow: float = Field(gt=0, description="Units of cost that are allowed.", examples=[150])
        per: Seconds = Field(description="In this long.", examples=["60s"])

    allow: float = Field(gt=0, description="Units of cost that are allowed.", examples=[25])
    per: Seconds = Field(description="In this long.", examples=["1s"])
    kind: Literal["sliding", "fixed"] = Field("sliding", description="Any window of that length, or windows in a row.")
    burst: Burst | None = Field(None, description="What may be drawn on beyond it.")
    scope: Literal["account", "key", "channel"] = Field("account", description="What it counts over.")
    cost: dict[str, float] = Field({}, description="Units by class of request; 1 for others.", examples=[{"write": 10}])


class BatchSetting(Section):
    """What travels in one request, at most. Lowers the vendor's figures, never raises them."""

    records: int | None = Field(None, ge=1, description="Records.", examples=[50])
    bytes: Bytes | None = Field(None, description="Bytes of the body.")
    linger: Seconds | None = Field(None, description="How long a batch that is not full waits for more.")


class RetrySetting(Section):
    """When a record that failed is tried again: exponential, with full jitter."""

    first: Seconds = Field(5.0, description="The first wait, before jitter.")
    factor: float = Field(2.0, ge=1, description="What each further wait is multiplied by.")
    max: Seconds = Field(3600.0, description="The longest wait.")
    give_up_after: Seconds = Field(3 * 86400.0, description="From the record's first own failure; then it is dead.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.first > self.max:
            raise ValueError("`first` is longer than `max`: the first wait is not above the longest")
        return self


class BreakerSetting(Section):
    """When an account that fails is left alone, and how it is come back to. Of an account with several destinations
    the first that says anything counts.
    """

    failures: int = Field(5, ge=1, le=10_000, description="Requests in a row that failed as a whole.")
    rate: Share = Field(0.5, description="More than this share of the window's requests failed, of 20 at least.")
    window: Seconds = Field(60.0, gt=0, description="How long a request counts in `rate`.")
    open: Seconds = Field(
        30.0, gt=0, description="How long nothing is sent; then one record tries, and each failure doubles the wait."
    )
    max: Seconds = Field(300.0, description="The longest wait between two tries.")
    ramp: Seconds = Field(10.0, description="How long pace and concurrency take to grow back after a try succeeded.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.open > self.max:
            raise ValueError("`open` is longer than `max`: the first wait is not above the longest")
        return self


def _switched(value: Any) -> Any:
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class DestinationSettings(Section):
    """What every destination takes, whatever its vendor."""

    vendor: str = Field(description="Whose API this is.", examples=["ometria"])
    base_url: HttpUrl | None = Field(
        None,
        description="All before the vendor's own path. Default: the vendor's.",
        examples=["https://api.example.com/v2"],
    )
    account: str | None = Field(
        None,
        pattern=r"^[^@]",
        description="What limits count over. Default: vendor, host or tenant, and a hash of the credential.",
        examples=["ometria-main"],
    )
    limits: list[LimitSetting] | None = Field(None, description="In place of the vendor's published limits.")
    batch: BatchSetting = Field(BatchSetting(), description="What travels in one request, at most.")
    concurrency: int | None = Field(
        None, ge=1, le=1000, description="Requests in flight, at most. Default: the vendor's.", examples=[4]
    )
    timeout: Seconds = Field(30.0, description="How long a request may take.")
    retry: RetrySetting = Field(RetrySetting(), description="When a record that failed is tried again.")
    breaker: Annotated[
        BreakerSetting | None, BeforeValidator(_switched, json_schema_input_type=BreakerSetting | bool)
    ] = Field(BreakerSetting(), description="When an account that fails is left alone; `false`: never.")
    weight: float = Field(1.0, gt=0, description="This destination's share of the account's budget.")
    order: Literal["entity", "none"] = Field("entity", description="Whether records of one key keep their order.")
    replay_weight: float = Field(
        0.25, gt=0, le=1, description="The weight of replays and backfills, as a part of `weight`: live events first."
    )
    coalesce: bool | list[str] = Field(
        False,
        description="Of the waiting full states of one entity only the newest is sent. True, or for these entities.",
        examples=[["product", "customer"]],
    )
    stale: bool | list[str] = Field(
        False,
        description="An update that is older (by its `updated_at`) than one that was delivered is not sent. True, or "
        "for these entities.",
        examples=[["order"]],
    )
    parked_max: int = Field(10_000, ge=1, description="Parked rows at which a lane stops reading.")
    read_ahead: int = Field(10_000, ge=1, le=100_000, description="Unsettled events planned at once, per lane.")
    start: Moment = Field(
        "now",
        description="Where a new lane starts: `now`, `beginning` or a time. What lies before is sent as a replay.",
        examples=["beginning", "2026-01-31T09:00:00Z"],
    )
    was: list[Name] = Field(
        [], description="Former names of this destination, whose lanes it takes over.", examples=[["old-name"]]
    )
    paused: bool = Field(False, description="Keep everything, send nothing.")
    quiet: Quiet = Field(
        [],
        description="When nothing is sent: times, days or both, with their time zone; one or several.",
        examples=["22:00-07:00 Europe/London", ["sat-sun Europe/London", "mon-fri 20:00-08:00 Europe/London"]],
    )
    dry_run: bool = Field(False, description="Do everything but the send; records count as delivered.")

    def coalesces(self, entity: str | None) -> bool:
        """Whether of the waiting states of an entity only the newest is sent."""
        return self.coalesce if isinstance(self.coalesce, bool) else entity in self.coalesce

    def drops_stale(self, entity: str | None) -> bool:
        """Whether an update of an entity that is older than what was delivered is not sent."""
        return self.stale if isinstance(self.stale, bool) else entity in self.stale

    def knows_versions(self) -> bool:
        """Whether it matters when an entity was last changed."""
        return bool(self.coalesce or self.stale)


class RouteTarget(Section):
    """A destination with a mapping of one's own."""

    destination: str = Field(description="The destination's name.", examples=["octolis"])
    map: str | None = Field(
        None, description="The mapping that makes its records. Default: the vendor's.", examples=["my-order"]
    )


class Route(Section):
    """Which normal events of which sources go to which destinations."""

    source_names: Texts | None = Field(
        None, min_length=1, alias="from", description="Sources. Default: every source.", examples=[["uk-shop"]]
    )
    events: Texts = Field(
        ["*"], description="Globs over the normal event's type.", examples=[["order.*", "customer.*"]]
    )
    when: str | None = Field(
        None, description="A JMESPath condition over the normal event.", examples=["data.total > `0`"]
    )
    hold: Seconds | None = Field(
        None,
        le=30 * 86400,
        description="How long after its receipt an event is delivered at the earliest. Of several routes to one "
        "destination through one mapping the longest counts.",
        examples=["10m"],
    )
    to: Annotated[
        list[str | RouteTarget],
        BeforeValidator(_targets, json_schema_input_type=str | RouteTarget | list[str | RouteTarget]),
    ] = Field(
        min_length=1,
        description="Destinations: names, or `{destination: NAME, map: MAPPING}`.",
        examples=[["ometria-uk"], [{"destination": "octolis", "map": "my-order"}]],
    )


class Config(Section):
    """The whole configuration."""

    revision: int | None = Field(
        None,
        ge=0,
        le=MAX_INTEGER,
        description="Grows with each change; Helm sets its release. Default: counted.",
        examples=[12],
    )
    journal: Journal = Field(Journal(), description="Where events are kept.")
    receiver: Receiver = Field(Receiver(), description="The door that senders knock at.")
    admin: Admin = Field(Admin(), description="The operators' door.")
    log: Log = Field(Log(), description="What is written down.")
    sources: dict[Name, Source] = Field({}, description="Senders, by name.")
    destinations: dict[Name, Any] = Field({}, description="Vendor targets, by name.")
    lookups: dict[Name, Any] = Field({}, description="Where thin events are made whole, by name.")
    mappings: dict[str, dict[str, Any]] = Field({}, description="Mappings of one's own, by name.")
    presets: dict[Name, dict[str, Any]] = Field({}, description="Platforms of one's own, by name.")
    routes: list[Route] = Field([], description="Which events go where.")
