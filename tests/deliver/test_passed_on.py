"""What nothing normalises and nothing maps travels as it came; it is read where somebody asks for it, once."""

from typing import Any

import pytest

from gateway import document
from gateway.config.schema import Route, Source
from gateway.deliver.intent import batch_of, intent_of
from gateway.deliver.plan import Death, Destination, Planned, Planner
from gateway.deliver.route import Router
from gateway.deliver.settle import row_waiting
from gateway.deliver.stored import unpack
from gateway.document import Text, Unreadable
from gateway.errors import Reason
from gateway.mapping.book import Book
from gateway.mapping.drift import LEARNED, Watch
from gateway.mapping.normalise import Normaliser
from gateway.model import Event
from gateway.vendors.base import Batch, Request
from tests.mapping.making import JSON, event
from tests.vendors.samples import EVERY_VENDOR, SENT_AT_MS, the_settings

SAID = b'{"id": "7", "total": 1.50, "name": "Zo\\u00eb \\/ Co", "big": 1E5, "updated_at": "2026-01-02T00:00:00Z"}'
"""As no writer of ours would write it."""

LINES = b'{\n  "id": "7",\r\n  "total": 1.50\n}\n'


def http(**settings: Any) -> Destination:
    told = the_settings("http", {"url": "https://crm.example.test/in", **settings})
    vendor = EVERY_VENDOR["http"]("crm", told)
    return Destination("crm", told, vendor, "crm", "crm", (), vendor.rules())


def planner(watch: Watch | None = None, **route: Any) -> Planner:
    book = Book({"renamed": {"fields": {"key": "data.id"}}})
    router = Router([Route(**{"events": ["*"], "to": ["crm"], **route})])
    return Planner({"uk-shop": Normaliser("uk-shop", Source(), {}, book, watch)}, router, book)


def planned(to: Destination, one: Event, by: Planner | None = None) -> Planned:
    return (by or planner()).plan(one, to, 1)


def request(to: Destination, *bodies: bytes) -> Request:
    records = [record for body in bodies for record in planned(to, event(body)).records]
    return to.vendor.request(Batch("crm", records[0].draft.channel, tuple(records), SENT_AT_MS))


def is_read(by: Planner, one: Event) -> bool:
    """Whether somebody has asked for what the event holds."""
    routed = by.prepare(one)
    assert isinstance(routed, tuple)
    held = routed[0][0].held
    return not isinstance(held, Text) or held._is_read


# --- as it came ------------------------------------------------------------------------------------------------------


def test_an_event_travels_inside_its_envelope_as_it_came() -> None:
    body = request(http(), b"\xef\xbb\xbf" + SAID + b"\n").body
    assert b'"data":' + SAID + b',"gatewayseq"' in body
    assert document.parse(body)["subject"] == "7"


def test_in_a_list_and_alone_too() -> None:
    assert request(http(format="data", batch={"records": 5}), SAID, b"[1]", b"").body == b"[" + SAID + b",[1],null]"


def test_lines_stay_lines() -> None:
    sent = request(http(format="data", content="ndjson", batch={"records": 5}), SAID, LINES, SAID + b"\r\n").body
    assert sent.splitlines() == [SAID, b'{"id":"7","total":1.50}', SAID]


def test_what_is_measured_is_what_is_sent() -> None:
    to = http(format="data")
    (record,) = planned(to, event(b"  " + SAID)).records
    assert record.size == len(SAID) == len(request(to, SAID).body)


def test_nobody_reads_it_on_its_way() -> None:
    by, one = planner(), event(SAID)
    planned(http(batch={"records": 5}), one, by)
    assert not is_read(by, one)


# --- read where it is asked for --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"content": "form"}, b"id=7&total=1.50"),
        ({"content": "xml"}, b"<total>1.50</total>"),
        ({"format": "cloudevents-binary"}, b'"name":"Zo\xc3\xab / Co"'),
        ({"headers": {"X-Total": "{data.total}"}}, b'"name":"Zo\xc3\xab / Co"'),
        ({"body": "renamed"}, b'{"key":"7"}'),
    ],
)
def test_bodies_that_need_its_fields_have_them(settings: dict[str, Any], sent: bytes) -> None:
    assert sent in request(http(**settings), SAID).body


def test_places_are_filled_from_it() -> None:
    made = request(http(url="https://crm.example.test/in/{data.total}", batch={"records": 5}), SAID, SAID)
    assert made.url == "https://crm.example.test/in/1.50"


@pytest.mark.parametrize(("when", "records"), [("data.total == `1.5`", 1), ("data.total == `2`", 0)])
def test_a_condition_reads_it(when: str, records: int) -> None:
    assert len(planned(http(), event(SAID), planner(when=when)).records) == records


def test_its_own_word_on_when_it_changed_is_read_where_that_matters() -> None:
    versions = [planned(http(**more), event(SAID)).records[0].version_ms for more in ({"stale": True}, {})]
    assert versions == [1_767_312_000_000, 0]


def test_a_watch_learns_from_it_and_later_passes_most_over() -> None:
    by = planner(Watch("passed-on"))
    read = [is_read(by, event_at(seq)) for seq in range(1, LEARNED + 10)]
    assert read == [True] * LEARNED + [False] * 9


def event_at(seq: int) -> Event:
    return Event(seq, f"evt_{seq}", "uk-shop", "orders/create", 0, 1, "POST", "", JSON, SAID)


# --- what cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"{", b'{"id":"\xff"}', b"[" * 201 + b"]" * 201, b'{"a":1}x', b"7" * 5000])
def test_what_is_not_readable_is_dead_in_the_parsers_words(body: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        document.parse(body)
    detail = f"normalise: body: cannot be read: {refused.value}"
    assert planned(http(), event(body)) == Planned(deaths=(Death("", Reason.MAPPING_FAILED, detail, "normalise"),))


def test_what_is_too_large_is_dead() -> None:
    (death,) = planned(http(), event(b'"%b"' % (b"x" * (8 << 20)))).deaths
    assert death.reason is Reason.TOO_LARGE


# --- and comes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"format": "data"}, {"content": "ndjson"}, {"headers": {"X": "{data.id}"}}])
def test_a_record_that_was_parked_makes_the_same_request(settings: dict[str, Any]) -> None:
    to = http(**settings)
    (record,) = planned(to, event(SAID)).records
    again = unpack(1, row_waiting(record, 0, 0, Reason.REDELIVER))
    batches = [Batch("crm", one.draft.channel, (one,), SENT_AT_MS) for one in (record, again)]
    assert to.vendor.request(batches[0]) == to.vendor.request(batches[1])
    assert (again.encoded, again.idempotency_key) == (record.encoded, record.idempotency_key)


def test_a_batch_that_was_cut_off_makes_the_same_request() -> None:
    to = http(batch={"records": 5}, idempotency_header="Idempotency-Key")
    records = tuple(planned(to, event_at(seq)).records[0] for seq in (1, 2))
    batch = Batch("crm", records[0].draft.channel, records, SENT_AT_MS)
    assert to.vendor.request(batch_of(intent_of("crm", batch, "keyed", None, 0))) == to.vendor.request(batch)
