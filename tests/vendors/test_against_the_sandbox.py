"""Every vendor's requests are taken by its simulator, which was written from the vendor's documentation alone."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from gateway.sandbox.server import Sandbox
from gateway.vendors import VENDORS
from gateway.vendors.base import (
    TOKEN,
    Batch,
    Delivered,
    Request,
    Response,
    Step,
    SteppedVendor,
    Token,
    TokenVendor,
    Vendor,
    Verdict,
)
from tests.sandbox.asgi import call
from tests.sandbox.clock import KnownChance, ManualClock
from tests.vendors.samples import SAMPLES, a_batch, an_event, the_vendor

ORIGIN = "http://sandbox.example.test"

PLACES: Mapping[str, dict[str, Any]] = {
    "altcraft": {"base_url": f"{ORIGIN}/altcraft"},
    "amperity": {"base_url": f"{ORIGIN}/amperity"},
    "http": {"url": f"{ORIGIN}/sink"},
    "octolis": {"base_url": f"{ORIGIN}/octolis/v1/data"},
    "ometria": {"base_url": f"{ORIGIN}/ometria/v2", "gdpr": True},
    "ometria_batch": {"base_url": f"{ORIGIN}/ometria_batch"},
}


class World:
    """A sandbox, its clock, and somebody who does what a dispatcher does with a vendor's requests."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.sandbox = Sandbox(self.clock, KnownChance())

    async def send(self, request: Request) -> Response:
        target = request.url.removeprefix(ORIGIN)
        headers = {**dict(request.headers), "content-length": str(len(request.body))}
        answer = await call(self.sandbox.app, request.method, target, raw=request.body, headers=headers)
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)

    async def deliver(self, vendor: Vendor, batch: Batch) -> Verdict:
        answer = await self.send(await self.with_token(vendor, vendor.request(batch)))
        if not isinstance(vendor, SteppedVendor):
            return vendor.judge(batch, answer)
        found = vendor.follow(batch, None, answer)
        while isinstance(found, Step):
            self.clock.move(found.after_s)
            found = vendor.follow(batch, found, await self.send(vendor.step_request(batch, found)))
        return found

    async def with_token(self, vendor: Vendor, request: Request) -> Request:
        if not request.token:
            return request
        assert isinstance(vendor, TokenVendor)
        token = vendor.token_of(await self.send(vendor.token_request()))
        assert isinstance(token, Token)
        text = token.text.reveal()
        headers = tuple((name, value.replace(TOKEN, text)) for name, value in request.headers)
        return msgspec.structs.replace(request, headers=headers)


async def delivered(name: str, event: Any, documents: Any, **settings: Any) -> None:
    vendor = the_vendor(name, **{**PLACES[name], **settings})
    verdict = await World().deliver(vendor, a_batch(vendor, event, documents))
    assert set(map(type, verdict.outcomes)) == {Delivered}, verdict


@pytest.mark.parametrize("name", VENDORS)
async def test_a_sample_is_delivered(name: str) -> None:
    await delivered(name, SAMPLES[name].event, SAMPLES[name].documents)


@pytest.mark.parametrize("content", ["json", "xml"])
async def test_altcraft_takes_batches_in_both_forms(content: str) -> None:
    profiles = [{"email": f"{name}@example.test", "_fname": name} for name in ("ada", "bob")]
    await delivered("altcraft", an_event(), profiles, content=content)


@pytest.mark.parametrize("format_", ["cloudevents", "cloudevents-binary", "data"])
async def test_a_plain_endpoint_takes_every_format(format_: str) -> None:
    await delivered("http", an_event(), None, format=format_)


async def test_ometria_takes_deletion_requests_and_emails() -> None:
    await delivered("ometria", an_event("customer.redacted", data={"email": "ada@example.test"}), None)
    email = {"to": {"email": "ada@example.test"}, "from": {"email": "shop@example.test"}, "subject": "Thanks"}
    await delivered("ometria", an_event(), [{"@type": "transactional_email", **email, "content": {"text": "Thanks"}}])
