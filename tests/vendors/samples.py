"""Configured vendors, events and batches for the tests of every vendor. A new vendor adds a row to SAMPLES."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from gateway import document
from gateway.config.schema import DestinationSettings
from gateway.model import NormalEvent
from gateway.vendors import TARGETS
from gateway.vendors.base import Batch, Draft, Record, Request, Vendor

SENT_AT_MS = 1_767_323_045_000  # 2026-01-02T03:04:05Z


EVERY_VENDOR: Mapping[str, type[Vendor]] = TARGETS


class Sample(Struct, frozen=True):
    """A vendor's settings (each secret holds the text `hush`), an event for it, and what its mapping made of it."""

    settings: Mapping[str, Any]
    event: NormalEvent
    documents: Sequence[Any] | None


def an_event(
    type_: str = "customer.updated", subject: str | None = "C-1", data: Any = None, **more: Any
) -> NormalEvent:
    """A normal event of an invented shop."""
    entity = type_.partition(".")[0]
    fields: dict[str, Any] = {
        "id": "evt_1",
        "seq": 7,
        "source": "uk-shop",
        "time": "2026-01-02T03:04:05Z",
        "topic": "customers/update",
        "entity": entity,
        "received_at_ms": SENT_AT_MS,
    }
    return NormalEvent(type=type_, subject=subject, held=data if data is not None else {"id": subject}, **fields | more)


CONTACT = {"id": "C-1", "email": "ada@example.test", "firstname": "Zoë 🌍", "properties": {"größe": "XL"}}

SAMPLES: Mapping[str, Sample] = {
    "altcraft": Sample(
        {"base_url": "https://altcraft.example.test", "token": "hush-altcraft", "db_id": 1},
        an_event(),
        [{"email": "ada@example.test", "_fname": "Zoë 🌍"}],
    ),
    "amperity": Sample(
        {"tenant": "acme", "client_id": "id-1", "client_secret": "hush-amperity", "streams": {"customer": "is-1"}},
        an_event(),
        [{"id": "C-1", "first_name": "Zoë 🌍"}],
    ),
    "lookup": Sample(
        {
            "base_url": "https://shop.example.test",
            "urls": {"customer.*": "/v2/customers/{subject}"},
            "auth": {"header": {"name": "X-Auth-Token", "value": "hush-lookup"}},
        },
        an_event(),
        None,
    ),
    "http": Sample(
        {"url": "https://crm.example.test/in?team=1", "auth": {"bearer": "hush-bearer"}},
        an_event(data={"id": "C-1", "first_name": "Zoë 🌍"}),
        None,
    ),
    "octolis": Sample(
        {"api_key": "hush-octolis", "datasets": {"customer": {"id": "ds-customers", "keys": ["email"]}}},
        an_event(),
        [{"email": "ada@example.test", "first_name": "Zoë 🌍"}],
    ),
    "ometria": Sample({"api_key": "hush-ometria"}, an_event(), [CONTACT]),
    "ometria_batch": Sample(
        {"api_key": "id-1:hush-batch", "domain_key": "acme", "location_key": "eu"},
        an_event("product.updated", "P-1"),
        [{"id": "P-1", "titles": {"default": "Zoë 🌍"}}],
    ),
}


def content_of(request: Request) -> bytes:
    """The request's body, unpacked where it is an archive in a form."""
    if not request.body.startswith(b"--"):
        return request.body
    with zipfile.ZipFile(io.BytesIO(request.body)) as archive:
        return b"\n".join(archive.read(name) for name in archive.namelist())


def the_settings(name: str, told: Mapping[str, Any]) -> DestinationSettings:
    """Settings as the configuration reads them; a look-up names no vendor."""
    model = EVERY_VENDOR[name].Settings
    return model.model_validate({"vendor": name, **told} if "vendor" in model.model_fields else told)


def a_vendor(name: str, /, **settings: Any) -> Vendor:
    """A vendor with these settings alone."""
    vendor = EVERY_VENDOR[name]
    return vendor("crm", the_settings(name, settings))


def the_vendor(name: str, **changed: Any) -> Vendor:
    """A vendor with its sample's settings, and some changed."""
    return a_vendor(name, **{**SAMPLES[name].settings, **changed})


def a_record(draft: Draft, event: NormalEvent, seq: int = 7, **more: Any) -> Record:
    """The record of a draft as the planner makes it."""
    return Record(
        lane=1,
        seq=seq,
        source=event.source,
        part=draft.part,
        draft=draft,
        encoded=document.dump(draft.data),
        event_id=event.id,
        event_type=event.type,
        time=event.time,
        traceparent=event.traceparent,
        **more,
    )


def a_batch(vendor: Vendor, event: NormalEvent, documents: Sequence[Any] | None, copies: int = 1) -> Batch:
    """A batch of what a vendor makes of an event, as often as `copies` says, each of another seq."""
    drafts = vendor.records(event, documents)
    records = [a_record(draft, event, event.seq + copy) for copy in range(copies) for draft in drafts]
    return Batch("crm", records[0].draft.channel, tuple(records), SENT_AT_MS)


def the_batch(name: str, copies: int = 1, **changed: Any) -> Batch:
    """A batch of a vendor's sample event."""
    sample = SAMPLES[name]
    return a_batch(the_vendor(name, **changed), sample.event, sample.documents, copies)
