"""BigCommerce as a look-up asks it: what is found is what the pack reads."""

from typing import Any

from gateway.config.schema import Source
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import Event, NormalEvent
from gateway.receive.presets import shipped
from gateway.sandbox.server import Sandbox, build
from tests.sandbox.asgi import Answer, call

ANY = "any"
ORDER = "/bigcommerce/stores/abc/v2/orders/250?include=consignments.line_items"


async def asked(sandbox: Sandbox, target: str, token: str = ANY) -> Answer:
    headers = {"X-Auth-Token": token} if token else {}
    return await call(sandbox.app, "GET", target, headers=headers)


def normal(topic: str, answer: Answer) -> NormalEvent:
    source = Source(preset="bigcommerce", currency="GBP")
    normaliser = Normaliser("shop", source, shipped()["bigcommerce"].normalise, Book({}))
    event = Event(1, "evt_1", "shop", topic, 0, 0, "GET", "", (), answer.body, "evt_0")
    (found,) = normaliser.normal(event)
    return found


async def test_an_order_a_customer_and_a_product_are_what_their_pack_reads() -> None:
    sandbox = build()
    order = normal("lookup/store/order/created", await asked(sandbox, ORDER))
    assert (order.type, order.subject, len(order.data["items"])) == ("order.created", "250", 2)
    assert order.data["total"] == sum(one["total"] for one in order.data["items"]) + order.data["shipping"]
    customer = await asked(sandbox, "/bigcommerce/stores/abc/v3/customers?id:in=32&include=addresses")
    assert normal("lookup/store/customer/updated", customer).type == "customer.updated"
    product = normal("lookup/store/sku/updated", await asked(sandbox, "/bigcommerce/stores/abc/v3/catalog/products/7"))
    assert (product.type, product.subject, product.data["active"]) == ("product.updated", "7", True)


async def test_without_a_token_or_with_a_wrong_one_nothing_is_told() -> None:
    sandbox = build()
    assert (await asked(sandbox, ORDER, token="")).status == 401
    sandbox.bigcommerce.adjust({"tokens": ["right"]})
    assert [(await asked(sandbox, ORDER, token=token)).status for token in ("wrong", "right")] == [401, 200]
    assert "right" not in str(sandbox.bigcommerce.view())


async def test_what_is_not_there_is_not_found() -> None:
    sandbox = build()
    sandbox.bigcommerce.adjust({"last_id": 100})
    missing: Any = (await asked(sandbox, ORDER)).json()
    assert missing[0]["status"] == 404
    assert (await asked(sandbox, "/bigcommerce/stores/abc/v3/customers?id:in=101")).json()["data"] == []
