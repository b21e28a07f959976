"""What the receiver answers: accepted, recognised, refused, and to requests of sixty malformed kinds."""

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest

from gateway.config.schema import Config
from gateway.errors import Cause, ConfigurationError, JournalUnavailable
from gateway.model import Event, event_id
from gateway.receive.presets import load_presets
from tests.receive import signers
from tests.receive.knock import NOW_MS, CommandedLog, Visitor, opened, raw_headers
from tests.receive.signers import BODY, SECRET

SHOP = {"preset": "shopify", "secrets": SECRET}
SIGNED = signers.shopify(BODY, 0).headers


def shopify(body: bytes = BODY, topic: str = "orders/create") -> dict[str, str]:
    """Headers as Shopify signs them; an empty topic is left out."""
    headers = {**signers.shopify(body, 0).headers, "X-Shopify-Topic": topic}
    return {name: value for name, value in headers.items() if value}


async def test_an_accepted_event_is_answered_with_its_id() -> None:
    async with opened({"shop": SHOP}) as visitor:
        reply = await visitor.post("shop", BODY, SIGNED)
        (receipt, offer) = visitor.log.events[0]
    assert (reply.status, reply.json) == (200, {"id": receipt.id, "duplicate": False})
    assert reply.headers["content-type"] == "application/json"
    assert (offer.source, offer.topic, offer.method, offer.body) == ("shop", "orders/create", "POST", BODY)
    assert (offer.received_at_ms, offer.revision) == (NOW_MS, 7)


async def test_a_duplicate_is_answered_like_the_first_with_the_first_ones_id() -> None:
    async with opened({"shop": SHOP}) as visitor:
        first = await visitor.post("shop", BODY, SIGNED)
        second = await visitor.post("shop", BODY, SIGNED)
    assert second.status == 200
    assert second.json == {"id": first.json["id"], "duplicate": True}
    assert len(visitor.log.events) == 1


async def test_five_copies_at_once_are_one_event() -> None:
    async with opened({"shop": SHOP}) as visitor:
        replies = await asyncio.gather(*[visitor.post("shop", BODY, SIGNED) for _ in range(5)])
    assert {reply.json["id"] for reply in replies} == {visitor.log.events[0][0].id}
    assert sorted(reply.json["duplicate"] for reply in replies) == [False, True, True, True, True]


async def test_no_answer_goes_out_before_the_commit() -> None:
    async with opened({"shop": SHOP}) as visitor:
        visitor.log.gate.clear()
        task = asyncio.create_task(visitor.post("shop", BODY, SIGNED))
        await visitor.log.arrived.wait()
        await asyncio.sleep(0.01)
        assert not task.done()
        visitor.log.gate.set()
        assert (await task).status == 200


async def test_a_journal_that_cannot_commit_is_503_with_retry_after_and_nothing_is_kept_as_rejected() -> None:
    log = CommandedLog()
    log.trouble = lambda _: JournalUnavailable("disk full")
    async with opened({"shop": SHOP}, log=log) as visitor:
        reply = await visitor.post("shop", BODY, SIGNED)
        assert (reply.status, reply.cause) == (503, "journal_unavailable")
        assert int(reply.headers["retry-after"]) > 0
        log.trouble = lambda _: None
        assert (await visitor.post("shop", BODY, SIGNED)).json["duplicate"] is False
    assert log.rejections == []


async def test_too_many_waiting_are_503_with_retry_after() -> None:
    async with opened({"shop": SHOP}, receiver={"waiting_limit": 1}) as visitor:
        visitor.log.gate.clear()
        first = asyncio.create_task(visitor.post("shop", BODY, SIGNED))
        await visitor.log.arrived.wait()
        reply = await visitor.post("shop", BODY, SIGNED)
        visitor.log.gate.set()
        assert (await first).status == 200
    assert (reply.status, reply.cause, reply.headers["retry-after"]) == (503, "overloaded", "1")


async def test_a_commit_that_takes_too_long_is_503() -> None:
    async with opened({"shop": SHOP}, receiver={"commit_timeout": "30ms"}) as visitor:
        visitor.log.gate.clear()
        reply = await visitor.post("shop", BODY, SIGNED)
        visitor.log.gate.set()
    assert (reply.status, reply.cause) == (503, "journal_unavailable")


async def test_a_fault_of_our_own_is_503_and_told_never_500() -> None:
    async with opened({"shop": SHOP}) as visitor:
        visitor.app.state.receiver._endpoint._acceptor = None
        reply = await visitor.post("shop", BODY, SIGNED)
    assert reply.status == 503
    assert [what for what, _ in visitor.told.failures] == ["request"]


async def test_a_request_that_a_stop_cuts_off_is_to_come_again() -> None:
    async with opened({"shop": SHOP}) as visitor:
        visitor.log.gate.clear()
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": BODY}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/webhooks/shop", "root_path": "", "query_string": b""}
        call = visitor.app({**scope, "headers": raw_headers(SIGNED), "client": None}, receive, send)
        task = asyncio.ensure_future(call)
        await visitor.log.arrived.wait()
        task.cancel()
        visitor.log.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert sent[0]["status"] == 503


async def test_a_refusal_is_a_problem_document_that_says_nothing_secret() -> None:
    async with opened({"shop": SHOP}) as visitor:
        reply = await visitor.post("shop", b"{}", SIGNED)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "cause": "signature_wrong",
        "detail": "the signature does not fit the body and any of the secrets",
    }
    assert SECRET.encode() not in reply.body


async def test_a_refused_request_is_told_and_kept_with_the_start_of_its_body_and_without_credentials() -> None:
    body = b"x" * 10_000
    headers = {**SIGNED, "Authorization": "Bearer hidden", "Cookie": "hidden", "X-Api-Key": "hidden"}
    async with opened({"shop": SHOP}) as visitor:
        await visitor.post("shop", body, headers, query=b"api-key=hidden")
    (kept,) = visitor.log.rejections
    assert (kept.source, kept.cause, kept.method, kept.client) == ("shop", "signature_wrong", "POST", "198.51.100.7")
    assert kept.body == body[:4096]
    assert "hidden" not in repr(kept)
    assert ("x-shopify-topic", "orders/create") in kept.headers
    assert visitor.told.refusals == [("shop", Cause.SIGNATURE_WRONG, "198.51.100.7")]


async def test_unknown_sources_are_counted_under_one_label_and_not_kept() -> None:
    async with opened({"shop": SHOP}) as visitor:
        await visitor.post("nobody", BODY)
        await visitor.post("shop", BODY, SIGNED)
    assert visitor.told.refusals == [("", Cause.UNKNOWN_SOURCE, "198.51.100.7")]
    assert visitor.log.rejections == []


async def test_credentials_are_never_kept_and_other_headers_are_in_order() -> None:
    headers = {
        **shopify(),
        "Authorization": "a",
        "X-Api-Key": "b",
        "Cookie": "c",
        "X-Extra": "d",
        "Content-Length": "9",
    }
    async with opened({"shop": SHOP}) as visitor:
        await visitor.post("shop", BODY, headers)
    names = [name for name, _ in visitor.log.offers[0].headers]
    assert names == [name.lower() for name in shopify()] + ["x-extra"]


async def test_kept_headers_are_bounded_in_number_and_size() -> None:
    many = [(b"x-%d" % number, b"v") for number in range(1000)]
    async with opened({"shop": SHOP}) as visitor:
        await visitor.post("shop", BODY, [*raw_headers(SIGNED), (b"x-long", b"v" * 5000), *many])
    headers = visitor.log.offers[0].headers
    assert len(headers) <= 64
    assert "x-long" not in dict(headers)


async def test_the_stored_query_has_lost_its_keys() -> None:
    async with opened({"erp": {"api_key": "opens"}}) as visitor:
        query = b"a=1&api-key=opens&b=%20&API%5FKEY=opens&token=opens&&c"
        reply = await visitor.post("erp", b"{}", query=query)
    assert reply.status == 200
    assert visitor.log.offers[0].query == "a=1&b=%20&c"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", False),
        ("garbage", False),
    ],
)
async def test_a_trace_context_is_kept_when_it_is_one(given: str, kept: bool) -> None:  # noqa: FBT001  a table's column
    async with opened({"shop": SHOP}) as visitor:
        reply = await visitor.post("shop", BODY, {**SIGNED, "traceparent": given})
    assert reply.status == 200
    assert visitor.log.offers[0].traceparent == (given if kept else None)


async def test_alive_says_alive_whatever_the_journal_does() -> None:
    log = CommandedLog()
    log.trouble = lambda _: JournalUnavailable("gone")
    async with opened({}, log=log) as visitor:
        assert (await visitor.send("GET", "/healthz")).status == 200
        assert (await visitor.send("HEAD", "/healthz")).status == 200
        assert (await visitor.send("POST", "/healthz")).status == 405


async def test_a_sender_that_hangs_up_is_let_go_quietly() -> None:
    async with opened({"shop": SHOP}) as visitor:
        messages: list[Any] = [
            {"type": "http.request", "body": b"{", "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/webhooks/shop", "root_path": "", "query_string": b""}
        await visitor.app({**scope, "headers": raw_headers(SIGNED), "client": None}, receive, send)
    assert sent == []
    assert visitor.told.refusals == []


async def test_a_websocket_is_closed() -> None:
    async with opened({"shop": SHOP}) as visitor:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/webhooks/shop", "root_path": "", "query_string": b"", "headers": []}
        await visitor.app(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


# --- bodies ----------------------------------------------------------------------------------------------------------


async def test_a_body_in_pieces_is_put_together() -> None:
    async with opened({"shop": SHOP}) as visitor:
        reply = await visitor.post("shop", headers=SIGNED, chunks=[BODY[:5], b"", BODY[5:9], BODY[9:], b""])
    assert reply.status == 200
    assert visitor.log.offers[0].body == BODY


async def test_a_body_that_stalls_is_408_and_the_connection_ends() -> None:
    async with opened({"shop": SHOP}, receiver={"body_timeout": "40ms"}) as visitor:
        messages = [{"type": "http.request", "body": b"{", "more_body": True}]
        sent: list[Any] = []

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await asyncio.sleep(60)
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/webhooks/shop", "root_path": "", "query_string": b""}
        await asyncio.wait_for(visitor.app({**scope, "headers": [], "client": None}, receive, send), 1)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


async def test_a_body_that_drips_is_ended_in_the_end() -> None:
    async with opened({"shop": SHOP}, receiver={"body_timeout": "20ms"}) as visitor:
        sent: list[Any] = []

        async def receive() -> Any:
            await asyncio.sleep(0.005)
            return {"type": "http.request", "body": b"x", "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/webhooks/shop", "root_path": "", "query_string": b""}
        await asyncio.wait_for(visitor.app({**scope, "headers": [], "client": None}, receive, send), 2)
    assert sent[0]["status"] == 408


@pytest.mark.parametrize("length", ["1001", "1048577", "9" * 17])
async def test_a_declared_length_over_the_limit_is_refused_at_once(length: str) -> None:
    async with opened({"shop": {**SHOP, "body_limit": "1KB"}}) as visitor:
        reply = await visitor.post("shop", headers={"Content-Length": length}, chunks=[])
    assert (reply.status, reply.cause) == (413, "body_too_large")


@pytest.mark.parametrize("chunks", [[b"x" * 1001], [b"x" * 600, b"x" * 600, b""], [b"x" * 1000, b"x"]])
async def test_a_body_that_grows_over_the_limit_is_refused(chunks: list[bytes]) -> None:
    async with opened({"shop": {**SHOP, "body_limit": "1KB"}}) as visitor:
        reply = await visitor.post("shop", chunks=chunks)
    assert (reply.status, reply.cause) == (413, "body_too_large")


def packed(kind: str, body: bytes = BODY) -> bytes:
    if kind == "gzip":
        return gzip.compress(body)
    if kind == "members":
        return gzip.compress(body[:7]) + gzip.compress(body[7:])
    if kind == "raw":
        squeezer = zlib.compressobj(wbits=-15)
        return squeezer.compress(body) + squeezer.flush()
    return zlib.compress(body)


@pytest.mark.parametrize(
    ("encoding", "kind"),
    [("gzip", "gzip"), ("x-gzip", "gzip"), ("GZIP", "members"), ("deflate", "zlib"), ("deflate", "raw")],
)
async def test_a_packed_body_is_signed_as_it_travels_and_kept_unpacked(encoding: str, kind: str) -> None:
    wire = packed(kind)
    async with opened({"shop": SHOP}) as visitor:
        reply = await visitor.post("shop", wire, {**shopify(wire), "Content-Encoding": encoding})
        assert (reply.status, visitor.log.offers[0].body) == (200, BODY)
        assert "content-encoding" not in dict(visitor.log.offers[0].headers)
        reply = await visitor.post("shop", wire, {**shopify(BODY), "Content-Encoding": encoding})
        assert reply.cause == "signature_wrong"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "nonsense", "gzip;q=1", "\u00e9"])
async def test_another_encoding_is_415_and_says_which_are_taken(encoding: str) -> None:
    async with opened({"shop": SHOP}) as visitor:
        reply = await visitor.post("shop", BODY, {**SIGNED, "Content-Encoding": encoding})
    assert (reply.status, reply.cause) == (415, "encoding_unsupported")
    assert "gzip" in reply.headers["accept-encoding"]


@pytest.mark.parametrize("kind", ["gzip", "zlib", "raw"])
async def test_a_packed_body_that_unpacks_to_more_than_the_limit_is_refused(kind: str) -> None:
    bomb = packed(kind, b"0" * 5_000_000)
    encoding = "gzip" if kind == "gzip" else "deflate"
    async with opened({"shop": SHOP}) as visitor:
        reply = await visitor.post("shop", bomb, {**shopify(bomb), "Content-Encoding": encoding})
    assert (reply.status, reply.cause) == (413, "body_too_large")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"{}",
        gzip.compress(BODY)[:-6],
        gzip.compress(BODY) + b"trailing",
        zlib.compress(BODY)[:-2],
        b"\x78\x9cgarbage",
        zlib.compress(BODY) + b"trailing",
        gzip.compress(b"") * 100,
    ],
    ids=["empty", "plain", "cut gzip", "trailing gzip", "cut zlib", "garbage", "trailing zlib", "members"],
)
async def test_a_packed_body_that_is_broken_is_400(encoding: str, wire: bytes) -> None:
    async with opened({"shop": SHOP}) as visitor:
        reply = await visitor.post("shop", wire, {**shopify(wire), "Content-Encoding": encoding})
    assert (reply.status, reply.cause) == (400, "body_unreadable")


UNREADABLE = {
    "empty": b"",
    "space": b"  ",
    "word": b"hello",
    "form": b"a=1&b=2",
    "xml": b"<a/>",
    "open brace": b"{",
    "trailing comma": b'{"a":1,}',
    "two documents": b"{} {}",
    "trailing garbage": b"{}x",
    "single quotes": b"{'a':1}",
    "nan": b'{"a":NaN}',
    "infinity": b"[Infinity]",
    "not utf-8": b'{"a":"\xff"}',
    "latin-1": '{"a":"é"}'.encode("latin-1"),
    "utf-16": '{"a":1}'.encode("utf-16"),
    "lone surrogate": b'{"a":"\\ud800"}',
    "control character": b'{"a":"\x01"}',
    "deep lists": b"[" * 201 + b"]" * 201,
    "very deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 201 + b"1" + b"}" * 201,
    "unclosed deep": b"[" * 100_000,
    "nul": b"\x00",
    "bom only": b"\xef\xbb\xbf",
    "leading zero": b"[01]",
    "bad escape": b'"\\x"',
    "half a literal": b"tru",
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_right_signature_over_an_unreadable_body_is_400_and_leaves_no_identity(body: bytes) -> None:
    async with opened({"shop": SHOP}) as visitor:
        reply = await visitor.post("shop", body, shopify(body))
        assert (reply.status, reply.cause) == (400, "body_unreadable")
        assert visitor.log.events == []
        headers = {**shopify(BODY), "X-Shopify-Event-Id": SIGNED["X-Shopify-Event-Id"]}
        assert (await visitor.post("shop", BODY, headers)).json["duplicate"] is False


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"null",
        b"0",
        b'""',
        b"\xef\xbb\xbf{}",
        b'{"id":820982911946154508}',
        b'{"n":1e400}',
        b"[1" + b"0" * 300 + b"]",
        b"[" * 200 + b"]" * 200,
        ('{"a":"' + "[" * 500 + '"}').encode(),
        b' {"a":1} \n',
        b'{"a":"\\ud83d\\ude00"}',
    ],
)
async def test_json_of_any_shape_is_kept_byte_for_byte(body: bytes) -> None:
    async with opened({"shop": SHOP}) as visitor:
        reply = await visitor.post("shop", body, shopify(body))
    assert reply.status == 200
    assert visitor.log.offers[0].body == body


# --- malformed requests ----------------------------------------------------------------------------------------------

ERP = {
    "api_key": "opens",
    "topic": "json:type",
    "identity": ["json:id", "header:X-Id"],
    "allow": {"methods": ["POST", "PUT"]},
}
GOOD = b'{"type":"a.b","id":1}'
KEYED = {"X-Api-Key": "opens", "X-Id": "1"}
UNSIGNED_SIGNATURES = ["", " ", "a", "=", "====", "\u20ac", "A" * 44, "A" * 100_000, "null", "\x7f"]

IN_ERP = "/webhooks/erp"
IN_SHOP = "/webhooks/shop"
LENGTH = "Content-Length"
TWICE = [(b"content-length", b"21")] * 2
RAW = raw_headers(KEYED)
MANY = [(b"x-%d" % number, b"") for number in range(1000)]
NONSENSE = ",,;=[::" * 500
ODD_TYPE = (b"content-type", b"\xff")
NO_TOPIC = shopify(topic="")
ODD_TOPIC = [*raw_headers(NO_TOPIC), (b"x-shopify-topic", b"\xff")]
CONTROL_TOPIC = shopify(topic="\x01\x02")
Kind = tuple[str, str, bytes, Any, bytes, int]
MALFORMED: dict[str, Kind] = {
    # name: method, path, body, headers, query, status
    "unknown source": ("POST", "/webhooks/nobody", GOOD, KEYED, b"", 404),
    "empty source": ("POST", "/webhooks/", GOOD, KEYED, b"", 404),
    "no source": ("POST", "/webhooks", GOOD, KEYED, b"", 404),
    "trailing slash": ("POST", "/webhooks/erp/", GOOD, KEYED, b"", 404),
    "deeper path": ("POST", "/webhooks/erp/x", GOOD, KEYED, b"", 404),
    "double slash": ("POST", "//webhooks/erp", GOOD, KEYED, b"", 404),
    "upper case source": ("POST", "/webhooks/ERP", GOOD, KEYED, b"", 404),
    "source with a nul": ("POST", "/webhooks/erp\x00", GOOD, KEYED, b"", 404),
    "source with a newline": ("POST", "/webhooks/erp\n", GOOD, KEYED, b"", 404),
    "source with dots": ("POST", "/webhooks/..", GOOD, KEYED, b"", 404),
    "source with a replacement": ("POST", "/webhooks/\ufffd\ufffd", GOOD, KEYED, b"", 404),
    "source beyond ascii": ("POST", "/webhooks/ärp", GOOD, KEYED, b"", 404),
    "source with braces": ("POST", "/webhooks/{source}", GOOD, KEYED, b"", 404),
    "source of 10,000 letters": ("POST", "/webhooks/" + "a" * 10_000, GOOD, KEYED, b"", 404),
    "root": ("POST", "/", GOOD, KEYED, b"", 404),
    "empty path": ("POST", "", GOOD, KEYED, b"", 404),
    "star": ("OPTIONS", "*", b"", KEYED, b"", 404),
    "get": ("GET", IN_ERP, b"", KEYED, b"", 405),
    "head": ("HEAD", IN_ERP, b"", KEYED, b"", 405),
    "options": ("OPTIONS", IN_ERP, b"", KEYED, b"", 405),
    "delete": ("DELETE", IN_ERP, GOOD, KEYED, b"", 405),
    "patch": ("PATCH", IN_ERP, GOOD, KEYED, b"", 405),
    "trace": ("TRACE", IN_ERP, b"", KEYED, b"", 405),
    "invented method": ("BREW", IN_ERP, GOOD, KEYED, b"", 405),
    "lower case method": ("post", IN_ERP, GOOD, KEYED, b"", 405),
    "get with a challenge": ("GET", IN_ERP, b"", KEYED, b"challenge=x", 405),
    "no headers": ("POST", IN_ERP, GOOD, {}, b"", 401),
    "empty key": ("POST", IN_ERP, GOOD, {"X-Api-Key": ""}, b"", 401),
    "wrong key": ("POST", IN_ERP, GOOD, {"X-Api-Key": "closes"}, b"", 401),
    "key in another case": ("POST", IN_ERP, GOOD, {"X-Api-Key": "OPENS"}, b"", 401),
    "key with a space": ("POST", IN_ERP, GOOD, {"X-Api-Key": "opens "}, b"", 401),
    "key beyond ascii": ("POST", IN_ERP, GOOD, [(b"x-api-key", b"\xff\xfe")], b"", 401),
    "key twice": ("POST", IN_ERP, GOOD, [(b"x-api-key", b"opens")] * 2, b"", 401),
    "key of 100,000 letters": ("POST", IN_ERP, GOOD, {"X-Api-Key": "o" * 100_000}, b"", 401),
    "wrong key in the query": ("POST", IN_ERP, GOOD, {}, b"api-key=closes", 401),
    "empty key in the query": ("POST", IN_ERP, GOOD, {}, b"api-key=", 401),
    "bare key in the query": ("POST", IN_ERP, GOOD, {}, b"api-key", 401),
    "broken percent in the query": ("POST", IN_ERP, GOOD, {}, b"api-key=%zz%", 401),
    "binary query": ("POST", IN_ERP, GOOD, {}, bytes(range(256)), 401),
    "query of ampersands": ("POST", IN_ERP, GOOD, {}, b"&" * 50_000, 401),
    "query of equals": ("POST", IN_ERP, GOOD, KEYED, b"=" * 50_000, 200),
    "query of percents": ("POST", IN_ERP, GOOD, KEYED, b"%" * 50_000, 200),
    "query of pairs": ("POST", IN_ERP, GOOD, KEYED, b"a=b&" * 20_000, 200),
    "query beyond ascii": ("POST", IN_ERP, GOOD, KEYED, "ä=ö".encode(), 200),
    "empty body": ("POST", IN_ERP, b"", KEYED, b"", 400),
    "broken body": ("POST", IN_ERP, b"{", KEYED, b"", 400),
    "binary body": ("PUT", IN_ERP, bytes(range(256)), KEYED, b"", 400),
    "no topic": ("POST", IN_ERP, b'{"id":1}', KEYED, b"", 400),
    "null topic": ("POST", IN_ERP, b'{"type":null}', KEYED, b"", 400),
    "empty topic": ("POST", IN_ERP, b'{"type":""}', KEYED, b"", 400),
    "topic with a newline": ("POST", IN_ERP, b'{"type":"a\\nb"}', KEYED, b"", 400),
    "topic with a nul": ("POST", IN_ERP, b'{"type":"a\\u0000b"}', KEYED, b"", 400),
    "topic of 300 letters": ("POST", IN_ERP, b'{"type":"' + b"a" * 300 + b'"}', KEYED, b"", 400),
    "topic in a list": ("POST", IN_ERP, b'[{"type":"a"}]', KEYED, b"", 400),
    "topic is a huge object": ("POST", IN_ERP, b'{"type":{"a":"' + b"b" * 500 + b'"}}', KEYED, b"", 400),
    "scalar body": ("POST", IN_ERP, b"5", KEYED, b"", 400),
    "content type of nonsense": ("POST", IN_ERP, GOOD, {**KEYED, "Content-Type": ";;;===,,,"}, b"", 200),
    "content type beyond ascii": ("POST", IN_ERP, GOOD, [*RAW, ODD_TYPE], b"", 200),
    "content length of words": ("POST", IN_ERP, GOOD, {**KEYED, LENGTH: "many"}, b"", 200),
    "content length below zero": ("POST", IN_ERP, GOOD, {**KEYED, LENGTH: "-5"}, b"", 200),
    "content length beyond numbers": ("POST", IN_ERP, GOOD, {**KEYED, LENGTH: "9" * 5000}, b"", 200),
    "content length in other digits": ("POST", IN_ERP, GOOD, {**KEYED, LENGTH: "\u0665"}, b"", 200),
    "content length twice": ("POST", IN_ERP, GOOD, [*RAW, *TWICE], b"", 200),
    "header name of nothing": ("POST", IN_ERP, GOOD, [*RAW, (b"", b"")], b"", 200),
    "header name beyond ascii": ("POST", IN_ERP, GOOD, [*RAW, (b"\xff", b"\x00")], b"", 200),
    "a thousand headers": ("POST", IN_ERP, GOOD, [*RAW, *MANY], b"", 200),
    "a header a thousand times": ("POST", IN_ERP, GOOD, [*RAW, *[(b"x", b"y")] * 1000], b"", 200),
    "identity of nonsense": ("POST", IN_ERP, GOOD, {"X-Api-Key": "opens", "X-Id": "\x00\xff"}, b"", 200),
    "unsigned": ("POST", IN_SHOP, BODY, {"X-Shopify-Topic": "orders/create"}, b"", 401),
    "signed for another body": ("POST", IN_SHOP, b"{}", SIGNED, b"", 401),
    "topic missing": ("POST", IN_SHOP, BODY, NO_TOPIC, b"", 400),
    "topic beyond ascii": ("POST", IN_SHOP, BODY, ODD_TOPIC, b"", 400),
    "topic of control characters": ("POST", IN_SHOP, BODY, CONTROL_TOPIC, b"", 400),
    "host of nonsense": ("POST", IN_SHOP, BODY, {**SIGNED, "Host": "\x00"}, b"", 200),
    "expectation of nonsense": ("POST", IN_SHOP, BODY, {**SIGNED, "Expect": "a-miracle"}, b"", 200),
    "a forwarding header of nonsense": ("POST", IN_SHOP, BODY, {**SIGNED, "X-Forwarded-For": NONSENSE}, b"", 200),
}  # fmt: skip


@pytest.mark.parametrize("kind", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_request_is_answered_and_never_ours_to_blame(kind: Kind) -> None:
    method, path, body, headers, query, status = kind
    async with opened({"shop": SHOP, "erp": ERP}) as visitor:
        reply = await visitor.send(method, path, body, headers, query=query)
        assert reply.status == status
        if status != 200:
            assert reply.json["status"] == status
            assert set(reply.json) == {"type", "title", "status", "cause", "detail"}
        if status == 405:
            assert reply.headers["allow"] == "POST, PUT"
        await visitor.post("erp", GOOD, {**KEYED, "X-Id": "still there"})
    assert visitor.told.failures == []
    for receipt, offer in visitor.log.events:
        assert receipt.id == event_id(receipt.seq, visitor.log.offered[-1].id) or receipt.seq
        Event(receipt.seq, receipt.id, offer.source, offer.topic, 0, 0, offer.method, offer.query, offer.headers, b"")
        json.dumps([offer.topic, offer.query, offer.headers])


@pytest.mark.parametrize("signature", UNSIGNED_SIGNATURES)
async def test_a_signature_of_nonsense_is_401(signature: str) -> None:
    async with opened({"shop": SHOP}) as visitor:
        reply = await visitor.post("shop", BODY, {**SIGNED, "X-Shopify-Hmac-Sha256": signature})
    assert reply.status == 401


def test_there_are_more_than_sixty_kinds() -> None:
    assert len(MALFORMED) > 60


# --- configuration ---------------------------------------------------------------------------------------------------


async def swapped(visitor: Visitor, sources: dict[str, Any], revision: int) -> None:
    visitor.app.state.receiver.swap(Config.model_validate({"sources": sources}), load_presets({}), revision)


async def test_a_swap_changes_the_sources_for_requests_that_begin_later() -> None:
    async with opened({"old": SHOP}) as visitor:
        visitor.log.gate.clear()
        under_way = asyncio.create_task(visitor.post("old", BODY, SIGNED))
        await visitor.log.arrived.wait()
        await swapped(visitor, {"new": SHOP}, 8)
        visitor.log.gate.set()
        assert (await under_way).status == 200
        assert (await visitor.post("old", BODY, SIGNED)).status == 404
        assert (await visitor.post("new", BODY, SIGNED)).status == 200
    assert [offer.revision for offer in visitor.log.offers] == [7, 8]


async def test_a_swap_to_sources_that_cannot_be_served_changes_nothing() -> None:
    async with opened({"shop": SHOP}) as visitor:
        for wrong in (
            {"shop": {"preset": "shopify"}},
            {"shop": {"preset": "nobody"}},
            {"shop": {"preset": "square", "secrets": "s"}},
        ):
            with pytest.raises(ConfigurationError):
                await swapped(visitor, wrong, 9)
        assert (await visitor.post("shop", BODY, SIGNED)).status == 200
        assert visitor.app.state.receiver.revision == 7


async def test_a_source_may_say_what_is_answered() -> None:
    async with opened({"shop": {**SHOP, "respond": "thanks"}, "quiet": {**SHOP, "respond": ""}}) as visitor:
        assert (await visitor.post("shop", BODY, SIGNED)).body == b"thanks"
        assert (await visitor.post("quiet", BODY, SIGNED)).body == b""
