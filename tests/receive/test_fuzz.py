"""Whatever comes: an answer, never an exception, never a 5xx."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway import document
from gateway.document import Unreadable
from gateway.errors import Rejected
from gateway.receive.content import check, claims, read
from gateway.receive.presets import shipped
from tests.receive import signers
from tests.receive.knock import Reply, opened
from tests.receive.signers import SCHEMES

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

SOURCES: dict[str, Any] = {
    **{name: {"preset": scheme.preset, **scheme.source} for name, scheme in SCHEMES.items()},
    "erp": {"api_key": "k", "topic": "json:a.b", "identity": ["json:id", "query:q"]},
    "open": {"topic": "json:a"},
    "cloudevents": {"preset": "cloudevents"},
    "hooked": {"preset": "commercetools", "api_key": "k"},
}
KNOWN = sorted(
    {name for scheme in SCHEMES.values() for name in scheme.sign(scheme.body, 0).headers}
    | {"Content-Type", "Content-Encoding", "Content-Length", "X-Api-Key", "Authorization", "X-Forwarded-For"}
    | {"traceparent", "ce-type", "ce-id", "ce-source", "aeg-event-type", "x-amz-sns-message-type"}
)
TYPES = ["application/json", "application/x-www-form-urlencoded", "text/xml", "gzip", "deflate", "k", "Notification"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["a", "b", "id", "type", "data", "message", "detail", "notificationItems"]), inner
        )
    ),
    max_leaves=20,
)
BODIES = (
    st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()) | st.text(max_size=80).map(str.encode)
)
VALUES = st.binary(max_size=120) | st.sampled_from([text.encode() for text in TYPES])
HEADERS = st.lists(
    st.tuples(st.sampled_from([name.encode() for name in KNOWN]) | st.binary(max_size=20), VALUES), max_size=12
)


def knock(source: str, method: str, body: bytes, headers: list[tuple[bytes, bytes]], query: bytes) -> Reply:
    async def fetch(url: str) -> bytes:
        published = {url: text for scheme in SCHEMES.values() for url, text in scheme.published.items()}
        return published[url]

    async def once() -> Reply:
        async with opened(SOURCES, fetch=fetch, roots=signers.roots) as visitor:
            reply = await visitor.send(method, f"/webhooks/{source}", body, headers, query=query)
        assert [error for what, error in visitor.told.failures if what == "request"] == []
        return reply

    return asyncio.run(once())


@given(
    source=st.sampled_from([*SOURCES, "nobody"]),
    method=st.sampled_from(["POST", "PUT", "GET", "HEAD"]),
    body=BODIES,
    headers=HEADERS,
    query=st.binary(max_size=60) | st.sampled_from([b"api-key=k", b"api-key=k&q=1", b"challenge=x"]),
)
@QUICK
def test_headers_bodies_and_queries_of_any_kind_are_answered(
    source: str, method: str, body: bytes, headers: list[tuple[bytes, bytes]], query: bytes
) -> None:
    reply = knock(source, method, body, headers, query)
    assert reply.status < 500 or (reply.status == 503 and reply.cause == "key_unavailable")


@pytest.mark.parametrize(
    "name", [name for name in SCHEMES if SCHEMES[name].preset not in {"adyen", "commercetools", "wix"}]
)
@given(body=BODIES)
@settings(QUICK, max_examples=15)
def test_bodies_of_any_kind_that_are_signed_rightly_are_taken_or_400(name: str, body: bytes) -> None:
    request = SCHEMES[name].sign(body, signers.NOW_S)
    headers = [(key.lower().encode(), value.encode()) for key, value in request.headers.items()]
    reply = knock(name, "POST", request.body, headers, b"")
    assert reply.status in ({200, 400, 401} if name == "adobe-commerce" else {200, 400})


@given(body=BODIES)
@example(body=b'{"id": %b}' % (b"9" * 5000))
@example(body=b'{"id": -1.%be5}' % (b"9" * 5000))
@example(body=b'{"id": "%b"}' % (b"9" * 5000))
@example(body=b'{"id": 1e99999999999999999999}')
@example(body=b'{"id": 1e99999999999999999999, "and": then')
@example(body=b'{"id": 12E-999999999999999999}')
@example(body=b'{"id": "1e99999999999999999999"}')
@QUICK
def test_checking_a_body_says_what_parsing_it_would_say(body: bytes) -> None:
    def says(action: Any) -> bool:
        try:
            action(body)
        except Unreadable:
            return False
        return True

    assert says(document.check) == says(document.parse)


@given(body=BODIES, kind=st.sampled_from(["json", "form", "xml"]))
@QUICK
def test_reading_a_body_gives_a_document_or_a_refusal(body: bytes, kind: str) -> None:
    for action in (lambda: check(kind, body), lambda: read(kind, body), lambda: claims(body)):
        try:
            action()
        except Rejected as rejected:
            assert rejected.status in {400, 401}, rejected  # noqa: PT017  either is right


def test_every_preset_is_among_the_fuzzed() -> None:
    assert {str(source.get("preset", "generic")) for source in SOURCES.values()} | {"octolis"} == set(shipped())
