import pytest

from gateway.sandbox.sink import KEPT, Sink
from tests.sandbox.asgi import call
from tests.sandbox.clock import ManualClock


@pytest.fixture
def sink() -> Sink:
    return Sink(ManualClock())


@pytest.mark.parametrize("header", ["Idempotency-Key", "webhook-id", "ce-id"])
async def test_a_repetition_is_seen_by_its_key(sink: Sink, header: str) -> None:
    for value in ("a", "b", "a"):
        await call(sink, "POST", "/in", body={}, headers={header: value})
    assert sink.view()["counts"] == {"received": 3, "distinct": 2, "again": 1}


async def test_without_a_key_the_bodys_id_tells_and_else_the_body(sink: Sink) -> None:
    for body in ({"id": "1", "n": 1}, {"id": "1", "n": 2}, {"n": 1}, {"n": 1}, [1]):
        await call(sink, "POST", "/in", body=body)
    assert sorted(sink.view()["received"].values()) == [1, 2, 2]


async def test_a_body_that_is_not_json_is_taken_as_well(sink: Sink) -> None:
    assert (await call(sink, "PUT", "/in", raw=b"\xff<xml/>")).status == 200
    assert sink.taken[0].body.endswith("<xml/>")


async def test_it_remembers_method_path_query_and_headers_but_no_credentials(sink: Sink) -> None:
    await call(sink, "PUT", "/in/here?a=1", body={}, headers={"Authorization": "Bearer abc", "X-Kind": "k"})
    kept = sink.taken[0]
    assert (kept.method, kept.path, kept.query) == ("PUT", "/in/here", "a=1")
    assert (kept.headers["authorization"], kept.headers["x-kind"]) == ("***", "k")


async def test_a_get_of_the_sink_itself_looks_and_any_other_is_taken(sink: Sink) -> None:
    await call(sink, "GET", "/in")
    assert (await call(sink, "GET", "/")).json()["counts"]["received"] == 1


async def test_it_answers_what_it_is_told(sink: Sink) -> None:
    sink.adjust({"status": 422, "body": '{"no":1}'})
    answer = await call(sink, "POST", "/in", body={})
    assert (answer.status, answer.json()) == (422, {"no": 1})


async def test_what_it_keeps_is_bounded(sink: Sink) -> None:
    for number in range(KEPT + 5):
        await call(sink, "POST", "/in", raw=b"%d" % number)
    assert (len(sink.taken), sink.view()["counts"]["distinct"]) == (KEPT, KEPT + 5)


async def test_a_body_over_the_bound_is_refused(sink: Sink) -> None:
    assert (await call(sink, "POST", "/in", raw=b"x" * ((16 << 20) + 1))).status == 413
    assert dict(sink.witness.broken) == {"body_too_large": 1}
