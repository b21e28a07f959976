"""`gateway try`: one payload's whole way, shown."""

from pathlib import Path
from typing import Any

import click

from gateway import app, document
from gateway.cli import show
from gateway.cli.options import DONE, NO, config_option, json_option
from gateway.cli.platform import CannotSign, Platform, Post
from gateway.cli.sending import given_headers, known_source, read, target
from gateway.cli.way import DERIVED_FROM, Guide, Sent, Way
from gateway.clock import SystemChance, SystemClock
from gateway.config.load import Loaded
from gateway.config.values import duration
from gateway.config.wording import near
from gateway.deliver.route import Decision
from gateway.errors import Cause
from gateway.model import NormalEvent, Offer


@click.command("try", short_help="Show one payload's whole way, without sending.")
@click.argument("source")
@click.argument("file", type=click.File("rb"))
@click.option("--topic", help="The topic it came under.")
@click.option("--header", "headers", multiple=True, metavar="K:V", help="A header beside, or for, the platform's.")
@click.option("--to", "destination", help="Only this destination.")
@click.option("--derived", is_flag=True, help="A look-up found FILE, under --topic.")
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
    if to is not None and to not in loaded.targets:
        raise click.BadParameter(f"there is no destination: {near(to, loaded.targets)}", param_hint="--to")
    if chosen["derived"]:
        way = Guide(loaded).taken((_found(source, chosen),), to)
    else:
        way = Guide(loaded).request(source, posted(loaded, source, chosen), to)
    if chosen["as_json"]:
        show.as_json(as_table(way))
    else:
        _tell(way)
    ctx.exit(DONE if way.is_fine else NO)


def _found(source: str, chosen: dict[str, Any]) -> Offer:
    """The event that a look-up would make of a file."""
    if chosen["topic"] is None:
        raise click.UsageError("--derived needs the --topic that the look-up gives it: lookup/TOPIC, unless it says so")
    headers = [("content-type", "application/json"), *((n.lower(), v) for n, v in given_headers(chosen["headers"]))]
    return Offer(
        source=source,
        topic=chosen["topic"],
        received_at_ms=SystemClock().now_ms(),
        revision=0,
        method="GET",
        query="",
        headers=tuple(dict(headers).items()),
        body=read(chosen["file"]),
        derived_from=DERIVED_FROM,
    )


def posted(loaded: Loaded, source: str, chosen: dict[str, Any]) -> Post:
    """The request that the platform would make of a file."""
    settings = loaded.config.sources[source]
    url = target(loaded, source, None)
    preset = app.presets_of(loaded)[settings.preset]
    platform = Platform(settings, preset, url, SystemChance(), pretends=True)
    body, more = read(chosen["file"]), given_headers(chosen["headers"])
    try:
        return platform.post(body, chosen["topic"], SystemClock().now_ms(), more)
    except CannotSign:  # a body that is no JSON, a key that is none: the door says so
        return Post("POST", url, [("Content-Type", "application/json"), *more], body)


# --- as a table ------------------------------------------------------------------------------------------------------


def as_table(way: Way) -> dict[str, Any]:
    """`event`, `routes`, `requests`; beside them what else there is to say."""
    documents = [normal.document() for normal in way.normals]
    return {
        "outcome": way.outcome,
        "identity": _identity(way.offers[0]) if way.offers else None,
        "event": documents[0] if documents else None,
        "events": documents,
        "routes": [_route(normal, one) for normal, decisions in way.decisions for one in decisions],
        "requests": [_request(sent) for sent in way.requests],
        "filtered": _filtered(way),
        "dead": dead(way),
        "rejected": None if way.rejected is None else {"cause": str(way.rejected.cause), "detail": way.rejected.detail},
    }


def _identity(offer: Offer) -> str | None:
    return None if offer.identity is None else offer.identity.hex()


def _route(normal: NormalEvent, decision: Decision) -> dict[str, Any]:
    to = [{"destination": name, "map": mapping} for name, mapping in decision.to]
    return {
        "route": decision.route,
        "event": normal.id,
        "matched": decision.wants,
        "why": decision.why,
        "to": to,
        "hold_seconds": decision.hold_s,
    }


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


def _filtered(way: Way) -> list[str]:
    """Destinations that a route leads to and that take nothing of it."""
    wanted = [name for _, decisions in way.decisions for one in decisions if one.wants for name, _ in one.to]
    served = {name for name, _ in way.records} | {name for name, _ in way.deaths}
    return [name for name in dict.fromkeys(wanted) if name not in served]


def dead(way: Way) -> list[dict[str, Any]]:
    """What could not be sent, and why."""
    if way.failure is not None:
        return [{"destination": None, "part": "", "reason": "mapping_failed", "detail": str(way.failure)}]
    return [
        {"destination": name, "part": death.part, "reason": str(death.reason), "detail": death.detail}
        for name, death in way.deaths
    ]


# --- for people ------------------------------------------------------------------------------------------------------

COLOURS = {"delivered": "green", "filtered": "yellow", "dead": "red", "rejected": "red"}
_WIDTH = len("routes[0]")


def _tell(way: Way) -> None:
    if way.rejected is not None:
        _line("rejected", f"{way.rejected.status} {way.rejected.cause} {way.rejected.detail}", "red")
        if way.rejected.cause is Cause.TOPIC_MISSING:
            click.echo("say which with --topic", err=True)
        return
    for offer in way.offers:
        _line("identity", _identity(offer) or "none: every request is a new event")
    for normal, decisions in way.decisions:
        _line("event", f"{normal.type} {normal.subject or ''}")
        show.highlighted(normal.document())
        for decision in decisions:
            _tell_route(decision)
    for sent in way.requests:
        _tell_request(sent)
    for name in _filtered(way):
        _line("filtered", f"{name}: it takes nothing of this", "yellow")
    for one in dead(way):
        _line("dead", f"{one['destination'] or 'everywhere'}: {one['reason']}: {one['detail']}", "red")
    _line("outcome", way.outcome, COLOURS[way.outcome])


def _tell_route(decision: Decision) -> None:
    to = ", ".join(f"{name} by {mapping}" if mapping else name for name, mapping in decision.to)
    held = f", held for {duration(decision.hold_s)}" if decision.hold_s else ""
    text = f"to {to}{held}" if decision.wants else f"no: {decision.why}"
    _line(f"routes[{decision.route}]", text, "green" if decision.wants else "yellow")


def _tell_request(sent: Sent) -> None:
    _line("request", f"{sent.destination}: {sent.request.method} {sent.request.url}", "green")
    for name, value in sent.request.headers:
        click.echo(f"{click.style(show.clean(name), fg='blue')}: {show.clean(value)}")
    click.echo()
    show.highlighted(_body(sent.request.body))
    click.echo()


def _line(name: str, text: str, colour: str = "cyan") -> None:
    click.echo(f"{click.style(name.ljust(_WIDTH), fg=colour, bold=True)}  {show.clean(text).rstrip()}")


COMMANDS = (try_,)
