"""`gateway try`: one payload's whole way, without sending anything."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from gateway import app, document
from gateway.cli import show
from gateway.cli.options import DONE, NO, config_option, json_option
from gateway.cli.platform import CannotSign, Platform, Post
from gateway.cli.sending import given_headers, known_source, read, target
from gateway.clock import SystemChance, SystemClock
from gateway.config.load import Loaded
from gateway.config.wording import near
from gateway.deliver.plan import Death, Destination
from gateway.deliver.route import Decision, Router
from gateway.errors import Cause, MappingError, Rejected
from gateway.model import Event, NormalEvent, Offer
from gateway.receive.door import Door, compile_door
from gateway.receive.guards import Clients
from gateway.receive.keys import Keys
from gateway.receive.request import Request
from gateway.vendors.base import Batch, Record
from gateway.vendors.base import Request as VendorRequest

EVENT_ID = "evt_try"


class Sent(Struct, frozen=True):
    """A request that would be made. Its secrets are masked."""

    destination: str
    request: VendorRequest
    records: int


class Way(Struct, frozen=True):
    """All that would become of a payload: refused at the door, or events with their normal forms, routes, requests and
    deaths.
    """

    rejected: Rejected | None = None
    offers: tuple[Offer, ...] = ()
    normals: tuple[NormalEvent, ...] = ()
    decisions: tuple[Decision, ...] = ()
    requests: tuple[Sent, ...] = ()
    deaths: tuple[tuple[str, Death], ...] = ()
    failure: MappingError | None = None

    @property
    def is_fine(self) -> bool:
        """Whether it would be delivered or filtered."""
        return self.rejected is None and self.failure is None and not self.deaths


@click.command("try", short_help="Show one payload's whole way, without sending.")
@click.argument("source")
@click.argument("file", type=click.File("rb"))
@click.option("--topic", help="The topic it came under.")
@click.option("--header", "headers", multiple=True, metavar="K:V", help="A header beside, or for, the platform's.")
@click.option("--to", "destination", help="Only this destination.")
@config_option
@json_option
@click.pass_context
def try_(ctx: click.Context, /, source: str, config: Path, **chosen: Any) -> None:
    """Show what would become of FILE (- is standard input) if SOURCE sent it. Nothing is kept, nothing is sent.

    Its identity, the normal event, which routes want it and why not, and each vendor's exact request with the secrets
    masked. Exits 1 when it would be rejected or dead.
    """
    loaded = app.load_config(config)
    known_source(loaded, source)
    to = chosen["destination"]
    if to is not None and to not in loaded.destinations:
        raise click.BadParameter(f"there is no destination: {near(to, loaded.destinations)}", param_hint="--to")
    way = followed(loaded, source, _post(loaded, source, chosen), to)
    if chosen["as_json"]:
        show.as_json(_as_table(way))
    else:
        _tell(way)
    ctx.exit(DONE if way.is_fine else NO)


def _post(loaded: Loaded, source: str, chosen: dict[str, Any]) -> Post:
    settings = loaded.config.sources[source]
    url = target(loaded, source, None)
    platform = Platform(settings, app.presets_of(loaded)[settings.preset], url, SystemChance())
    body, more = read(chosen["file"]), given_headers(chosen["headers"])
    try:
        return platform.post(body, chosen["topic"], SystemClock().now_ms(), more)
    except CannotSign:  # a body that is no JSON, a key that is none: the door says so
        return Post("POST", url, [("Content-Type", "application/json"), *more], body)


# --- the way ---------------------------------------------------------------------------------------------------------


def followed(loaded: Loaded, source: str, post: Post, to: str | None) -> Way:
    """What would become of a request."""
    try:
        offers = _offers(loaded, source, post)
    except Rejected as rejected:
        return Way(rejected=rejected)
    setup, router = app.setup_of(loaded, 0), Router(loaded.config.routes)
    events = [_event(offer, number) for number, offer in enumerate(offers, start=1)]
    try:
        routed = [(event, setup.planner.routed(event)) for event in events]
        normals = tuple(normal for _, pairs in routed for normal, _ in pairs)
        decisions = tuple(one for normal in normals for one in router.explain(normal))
    except MappingError as error:
        return Way(offers=offers, failure=error)
    requests: list[Sent] = []
    deaths: list[tuple[str, Death]] = []
    for event, pairs in routed:
        wanted = {name: None for _, targets in pairs for name in targets if to in (None, name)}
        for name in wanted:
            planned = setup.planner.plan(event, setup.destinations[name], lane=0)
            deaths += [(name, death) for death in planned.deaths]
            batches = _batches(setup.destinations[name], planned.records)
            requests += [_sent(setup.destinations[name], batch) for batch in batches]
    return Way(None, offers, normals, decisions, tuple(requests), tuple(deaths))


def _offers(loaded: Loaded, source: str, post: Post) -> tuple[Offer, ...]:
    """The events as the receiver would take them. The signature is not looked at, nor where it comes from."""
    config = loaded.config
    settings = config.sources[source]
    clients = Clients((), config.receiver.forwarded)
    door = compile_door(source, settings, app.presets_of(loaded)[settings.preset], config, clients, Keys(SystemClock()))
    headers = [(name.lower().encode(), value.encode()) for name, value in post.headers]
    query = post.url.partition("?")[2].encode()
    request = Request(post.method, headers, query, "", SystemClock().now_ms())
    request.wire = request.body = post.body
    if len(post.body) > door.limit_bytes:
        raise Rejected(Cause.BODY_TOO_LARGE, f"{len(post.body)} bytes; {door.limit_bytes} are taken")
    _not_aside(door, request, signed=False)
    door.understand(request)
    _not_aside(door, request, signed=True)
    return tuple(door.offer(one, revision=0) for one in door.events(request))


def _not_aside(door: Door, request: Request, *, signed: bool) -> None:
    if any(aside.holds(request) for aside in (door.asides if signed else door.unsigned_asides)):
        raise Rejected(Cause.NOT_AN_EVENT, "it is answered, and is no event")


def _event(offer: Offer, number: int) -> Event:
    return Event(
        seq=number,
        id=f"{EVENT_ID}{number}",
        source=offer.source,
        topic=offer.topic,
        received_at_ms=offer.received_at_ms,
        revision=offer.revision,
        method=offer.method,
        query=offer.query,
        headers=offer.headers,
        body=offer.body,
    )


def _batches(destination: Destination, records: Sequence[Record]) -> Iterator[Batch]:
    """The records by channel, as many in a request as may be."""
    channels: dict[str, list[Record]] = {}
    for record in records:
        channels.setdefault(record.draft.channel, []).append(record)
    most = destination.rules.records
    for channel, found in channels.items():
        for start in range(0, len(found), most):
            yield Batch(destination.name, channel, tuple(found[start : start + most]), SystemClock().now_ms())


def _sent(destination: Destination, batch: Batch) -> Sent:
    request = destination.vendor.request(batch)
    secrets = destination.vendor.secrets()
    masked = VendorRequest(
        request.method,
        _masked(request.url, secrets),
        tuple((name, _masked(value, secrets)) for name, value in request.headers),
        _masked(request.body.decode("utf-8", "replace"), secrets).encode(),
    )
    return Sent(destination.name, masked, len(batch.records))


def _masked(text: str, secrets: Sequence[str]) -> str:
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


# --- telling ---------------------------------------------------------------------------------------------------------


def _as_table(way: Way) -> dict[str, Any]:
    """DESIGN's form: `event`, `routes`, `requests`; beside it what else there is to say."""
    documents = [normal.document() for normal in way.normals]
    return {
        "outcome": _outcome(way),
        "identity": _identity(way.offers[0]) if way.offers else None,
        "event": documents[0] if documents else None,
        "events": documents,
        "routes": [_route(decision) for decision in way.decisions],
        "requests": [_request(sent) for sent in way.requests],
        "dead": _dead(way),
        "rejected": None if way.rejected is None else {"cause": str(way.rejected.cause), "detail": way.rejected.detail},
    }


def _identity(offer: Offer) -> str | None:
    return None if offer.identity is None else offer.identity.hex()


def _outcome(way: Way) -> str:
    if way.rejected is not None:
        return "rejected"
    if not way.is_fine:
        return "dead"
    return "delivered" if way.requests else "filtered"


def _route(decision: Decision) -> dict[str, Any]:
    to = [{"destination": name, "map": mapping} for name, mapping in decision.to]
    return {"route": decision.route, "matched": decision.wants, "why": decision.why, "to": to}


def _request(sent: Sent) -> dict[str, Any]:
    request = sent.request
    return {
        "destination": sent.destination,
        "method": request.method,
        "url": str(request.url),
        "headers": dict(request.headers),
        "body": _body(request.body),
    }


def _body(body: bytes) -> Any:
    """JSON as it is, anything else as text."""
    try:
        return document.parse(body)
    except document.Unreadable:
        return show.text_of(body)


def _dead(way: Way) -> list[dict[str, Any]]:
    if way.failure is not None:
        return [{"destination": None, "part": "", "reason": "mapping_failed", "detail": str(way.failure)}]
    return [
        {"destination": name, "part": death.part, "reason": str(death.reason), "detail": death.detail}
        for name, death in way.deaths
    ]


_COLOURS = {"delivered": "green", "filtered": "yellow", "dead": "red", "rejected": "red"}


def _tell(way: Way) -> None:
    outcome = _outcome(way)
    if way.rejected is not None:
        _line("rejected", f"{way.rejected.status} {way.rejected.cause} {way.rejected.detail}", "red")
        if way.rejected.cause is Cause.TOPIC_MISSING:
            click.echo("say which with --topic", err=True)
        return
    for offer in way.offers:
        _line("identity", _identity(offer) or "none: every request is a new event")
    for normal in way.normals:
        _line("event", f"{normal.type} {normal.subject or ''}")
        click.echo(show.pretty(normal.document()))
    for decision in way.decisions:
        to = ", ".join(name for name, _ in decision.to)
        _line(f"routes[{decision.route}]", f"to {to}" if decision.wants else f"no: {decision.why}")
    for sent in way.requests:
        _line("request", f"{sent.destination}: {sent.request.method} {sent.request.url}", "green")
        for name, value in sent.request.headers:
            click.echo(show.clean(f"{name}: {value}"))
        click.echo(f"\n{show.pretty(_body(sent.request.body))}\n")
    for dead in _dead(way):
        _line("dead", f"{dead['destination'] or 'everywhere'}: {dead['reason']}: {dead['detail']}", "red")
    _line("outcome", outcome, _COLOURS[outcome])


def _line(name: str, text: str, colour: str = "cyan") -> None:
    click.echo(f"{click.style(name, fg=colour, bold=True)}  {show.clean(text).rstrip()}")


COMMANDS = (try_,)
