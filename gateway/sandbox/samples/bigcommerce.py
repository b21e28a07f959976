"""BigCommerce: thin payloads, an id and what happened to it."""

import hashlib
from typing import Any

from gateway import document
from gateway.sandbox.samples.scene import Build, Platform, Scene

_ORDER, _CUSTOMER, _PRODUCT = 250, 32, 110


def _notice(scope: str, data: dict[str, Any]) -> Build:
    def build(number: int, at_ms: int) -> dict[str, Any]:
        first = {"orderId": _ORDER} if "orderId" in data else {}
        numbered = {**data, **{name: value + number for name, value in first.items()}}
        numbered["id"] = data["id"] + number if isinstance(data["id"], int) else Scene(number, at_ms).uuid(data["id"])
        notice = {
            "scope": scope,
            "store_id": "1025646",
            "data": numbered,
            "created_at": at_ms // 1000,
            "producer": "stores/nl8w2qk",
        }
        return {**notice, "hash": hashlib.sha1(document.dump([notice, at_ms]), usedforsecurity=False).hexdigest()}

    return build


_STATUS = {"previous_status_id": 0, "new_status_id": 11}

BIGCOMMERCE = Platform(
    {
        "store/order/created": _notice("store/order/created", {"type": "order", "id": _ORDER}),
        "store/order/statusUpdated": _notice(
            "store/order/statusUpdated", {"type": "order", "id": _ORDER, "status": _STATUS}
        ),
        "store/customer/created": _notice("store/customer/created", {"type": "customer", "id": _CUSTOMER}),
        "store/customer/deleted": _notice("store/customer/deleted", {"type": "customer", "id": _CUSTOMER}),
        "store/product/updated": _notice("store/product/updated", {"type": "product", "id": _PRODUCT}),
        "store/product/deleted": _notice("store/product/deleted", {"type": "product", "id": _PRODUCT}),
        "store/cart/updated": _notice("store/cart/updated", {"type": "cart", "id": "cart"}),
        "store/shipment/created": _notice("store/shipment/created", {"type": "shipment", "id": 12, "orderId": _ORDER}),
    },
    {
        "order": "store/order/created",
        "customer": "store/customer/created",
        "product": "store/product/updated",
        "cart": "store/cart/updated",
        "fulfillment": "store/shipment/created",
    },
)
