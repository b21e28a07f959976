"""A payload's way as a table: what `try --json` prints and the page of the same name shows."""

from typing import Any

from gateway import document
from gateway.deliver.route import Decision
from gateway.model import NormalEvent, Offer
from gateway.trial.way import Sent, Way


def as_table(way: Way) -> dict[str, Any]:
    """`event`, `routes`, `requests`; beside them what else there is to say."""
    documents = [normal.document() for normal in way.normals]
    return {
        "outcome": way.outcome,
        "identity": identity(way.offers[0]) if way.offers else None,
        "event": documents[0] if documents else None,
        "events": documents,
        "routes": [_route(normal, one) for normal, decisions in way.decisions for one in decisions],
        "requests": [_request(sent) for sent in way.requests],
        "filtered": filtered(way),
        "dead": dead(way),
        "rejected": None if way.rejected is None else {"cause": str(way.rejected.cause), "detail": way.rejected.detail},
    }


def identity(offer: Offer) -> str | None:
    """What makes a retry of it the same event."""
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
        "body": readable(request.body),
    }


def readable(body: bytes) -> Any:
    """A body: JSON as it is, anything else as text."""
    try:
        return document.parse(body)
    except document.Unreadable:
        return body.decode("utf-8", "replace")


def filtered(way: Way) -> list[str]:
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
