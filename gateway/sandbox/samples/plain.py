"""Senders without a platform's shape: the generic source, Octolis' webhooks, Standard Webhooks and CloudEvents."""

from typing import Any

from gateway.sandbox.samples.scene import CURRENCY, HOST, Build, Platform, Scene, zulu_ms
from gateway.sandbox.shopify import money


def _order(scene: Scene) -> dict[str, Any]:
    return {
        "ref": f"A-{scene.number:05}",
        "id": f"evt-{scene.at_ms}-{scene.number}",
        "amount": "49.90",
        "currency": "EUR",
        "email": scene.person.email,
        "lines": [{"sku": "NL-MUG-03", "quantity": 2, "price": "24.95"}],
    }


def _customer(scene: Scene) -> dict[str, Any]:
    return {"id": f"cus-{scene.at_ms}-{scene.number}", "email": scene.person.email, "name": scene.person.name}


def _product(scene: Scene) -> dict[str, Any]:
    one = scene.good
    return {
        "id": f"pro-{one.good}",
        "sku": one.sku,
        "title": one.title,
        "price": money(one.pence),
        "currency": CURRENCY,
    }


_MADE = {"order.created": _order, "customer.created": _customer, "product.updated": _product}
_SHORT = {"order": "order.created", "customer": "customer.created", "product": "product.updated"}


def _bare(topic: str) -> Build:
    return lambda number, at_ms: _MADE[topic](Scene(number, at_ms))


def _standard(topic: str) -> Build:
    """As the specification recommends: `type`, `timestamp`, `data`."""
    return lambda number, at_ms: {
        "type": topic,
        "timestamp": zulu_ms(at_ms),
        "data": _MADE[topic](Scene(number, at_ms)),
    }


def _cloudevent(topic: str) -> Build:
    def build(number: int, at_ms: int) -> dict[str, Any]:
        data = _MADE[topic](Scene(number, at_ms))
        return {
            "specversion": "1.0",
            "id": Scene(number, at_ms).event(),
            "source": f"https://{HOST}/erp",
            "type": f"com.example.{topic}",
            "subject": data["id"],
            "time": zulu_ms(at_ms),
            "datacontenttype": "application/json",
            "data": data,
        }

    return build


GENERIC = Platform({topic: _bare(topic) for topic in _MADE}, _SHORT)
OCTOLIS = GENERIC
STANDARD_WEBHOOKS = Platform({topic: _standard(topic) for topic in _MADE}, _SHORT)
CLOUDEVENTS = Platform(
    {f"com.example.{topic}": _cloudevent(topic) for topic in _MADE},
    {name: f"com.example.{topic}" for name, topic in _SHORT.items()},
)
