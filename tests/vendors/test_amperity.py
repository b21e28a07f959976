"""What is particular to Amperity: tokens that are fetched, reads with a cursor, one credential."""

from typing import Any

import pytest

from gateway.errors import Reason
from gateway.vendors.amperity import Amperity
from gateway.vendors.base import TOKEN, Failure, Response, Retry, Suspended, Throttled, Token, TokenVendor
from tests.vendors.samples import a_vendor, an_event, the_batch, the_vendor

STREAMS = {"customer": "is-1"}


def vendor(**changed: Any) -> Amperity:
    found = the_vendor("amperity", **changed)
    assert isinstance(found, Amperity)
    assert isinstance(found, TokenVendor)
    return found


def test_a_token_is_fetched_with_the_clients_credentials() -> None:
    request = vendor().token_request()
    assert request.url == "https://acme.amperity.com/api/v0/oauth2/token"
    assert request.body == b"grant_type=client_credentials&client_id=id-1&client_secret=hush-amperity"
    assert dict(request.headers)["X-Amperity-Tenant"] == "acme"


def test_requests_say_that_a_fetched_token_is_missing_in_them() -> None:
    fetched = vendor().request(the_batch("amperity"))
    assert fetched.token
    assert dict(fetched.headers)["Authorization"] == f"Bearer {TOKEN}"
    given = vendor(client_id=None, client_secret=None, token="jwt-1").request(the_batch("amperity"))
    assert not given.token


@pytest.mark.parametrize(
    ("body", "lives_s"),
    [
        (b'"expires_in":60', 60.0),
        (b'"expires_in":"60"', 60.0),
        (b'"expires_in":20.5', 20.5),
        (b'"expires_in":1e400', 3600.0),
        (b'"expires_in":0', 3600.0),
        (b'"expires_in":true', 3600.0),
        (b'"expires_in":"x"', 3600.0),
    ],
)
def test_a_token_is_read_with_how_long_it_lives(body: bytes, lives_s: float) -> None:
    token = vendor().token_of(Response(200, {}, b'{"access_token":"jwt-2",' + body + b"}"))
    assert isinstance(token, Token)
    assert (token.text.reveal(), token.lives_s) == ("jwt-2", lives_s)
    assert "jwt-2" not in repr(token)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refused_client_suspends_the_account(status: int) -> None:
    found = vendor().token_of(Response(status, {}, b'{"message":"unknown hush-amperity"}'))
    assert found == Suspended(Reason.KEY_REFUSED, f"{status} unknown ***")


def test_no_answer_for_a_token_raises() -> None:
    for status in range(100, 600):
        for body in (b"", b"<html>", b"[]", b'{"access_token":7}', b'{"access_token":"a\\nb"}', b"\xff"):
            assert not isinstance(vendor().token_of(Response(status, {"retry-after": "3"}, body)), Token)
    assert isinstance(vendor().token_of(Failure(Reason.TIMEOUT, "30 s")), Retry)
    assert isinstance(vendor().token_of(Response(429, {}, b"")), Throttled)


def test_a_list_is_read_page_by_page() -> None:
    request = vendor().read("/ingest/jobs", "n/1", limit=50)
    assert request.url == "https://acme.amperity.com/api/ingest/jobs?limit=50&next_token=n%2F1"
    assert dict(request.headers)["api-version"] == "2024-04-01"
    assert request.cost == "api"
    assert vendor().page_of(Response(200, {}, b'{"data":[1],"next_token":"n2"}')) == ([1], "n2")
    assert vendor().page_of(Response(200, {}, b'{"data":{}}')) == ([], "")


def test_each_api_has_its_own_limit() -> None:
    stream, api = vendor().limits()
    assert (stream.allow, stream.classes) == (1000, frozenset({"stream"}))
    assert (api.allow, api.classes) == (10, frozenset({"api"}))


@pytest.mark.parametrize(
    "settings",
    [{}, {"token": "a", "client_id": "b", "client_secret": "c"}, {"client_id": "b"}, {"token": "a", "client_id": "b"}],
)
def test_one_credential_is_told(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="either `token`"):
        a_vendor("amperity", tenant="acme", streams=STREAMS, **settings)


def test_an_entity_without_a_stream_is_filtered() -> None:
    with pytest.raises(LookupError):
        vendor().mapping(an_event("order.created"))
    assert vendor().mapping(an_event("customer.redacted")) is None


def test_rows_of_one_event_have_ids_of_their_own() -> None:
    drafts = vendor().records(an_event(), [{"id": 1}, {"id": 2}])
    assert [draft.data["event_id"] for draft in drafts] == ["evt_1", "evt_1-2"]
