"""Who may send: addresses behind proxies, headers, API keys, credentials."""

from base64 import b64encode
from typing import Any

import pytest

from gateway.receive.guards import Clients, without_keys
from gateway.receive.request import Request
from tests.receive.knock import opened, raw_headers

TRUSTED = ["10.0.0.0/8", "2001:db8:f::/48", "::ffff:172.16.0.0/108"]


def address(peer: str, chain: str = "", header: str = "x-forwarded-for", trusted: list[str] | None = None) -> str:
    headers = raw_headers({header: chain} if chain else {})
    request = Request("POST", headers, b"", peer, 0)
    return Clients(TRUSTED if trusted is None else trusted, header).address(request)


@pytest.mark.parametrize(
    ("peer", "chain", "expected"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.1,198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1:51234", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::7]:443", "2001:db8::7"),
        ("10.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", '"[2001:db8::7]"', "2001:db8::7"),
        ("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("172.16.3.4", "198.51.100.1", "198.51.100.1"),
        ("2001:db8:f::1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.1, garbage", ""),
        ("10.0.0.1", "198.51.100.1, ", ""),
        ("10.0.0.1", "198.51.100.1, 999.1.1.1", ""),
        ("10.0.0.1", "garbage, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, " * 500, ""),
        ("", "198.51.100.1", ""),
        ("unix:", "198.51.100.1", ""),
    ],
)
def test_the_sender_is_the_right_most_address_that_is_no_trusted_proxy(peer: str, chain: str, expected: str) -> None:
    assert address(peer, chain) == expected


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ("for=198.51.100.1", "198.51.100.1"),
        ("For=198.51.100.1;proto=https;by=10.0.0.1", "198.51.100.1"),
        ('for="[2001:db8::7]:4711"', "2001:db8::7"),
        ('for="198.51.100.1:80", for=10.0.0.2', "198.51.100.1"),
        ("for=1.1.1.1, for=198.51.100.1", "198.51.100.1"),
        ("proto=https, for=10.0.0.2", ""),
        ("for=unknown", ""),
        ("for=_hidden, for=10.0.0.2", ""),
        (";;;", ""),
        ('for="', ""),
    ],
)
def test_the_forwarded_header_is_understood(chain: str, expected: str) -> None:
    assert address("10.0.0.1", chain, "forwarded") == expected


def test_without_trusted_proxies_a_forwarding_header_changes_nothing() -> None:
    assert address("10.0.0.1", "198.51.100.1", trusted=[]) == "10.0.0.1"


def test_a_forwarding_header_in_several_lines_is_one_chain() -> None:
    headers = [
        (b"x-forwarded-for", b"1.1.1.1"),
        (b"x-forwarded-for", b"198.51.100.1"),
        (b"x-forwarded-for", b"10.0.0.2"),
    ]
    assert Clients(TRUSTED, "x-forwarded-for").address(Request("POST", headers, b"", "10.0.0.1", 0)) == "198.51.100.1"


IPS = {"allow": {"ips": ["198.51.100.0/24", "2001:db8:1::/48"]}}


@pytest.mark.parametrize(
    ("peer", "chain", "status"),
    [
        ("198.51.100.7", "", 200),
        ("2001:db8:1::5", "", 200),
        ("::ffff:198.51.100.7", "", 200),
        ("203.0.113.1", "", 403),
        ("203.0.113.1", "198.51.100.7", 403),
        ("10.0.0.1", "198.51.100.7", 200),
        ("10.0.0.1", "198.51.100.7, 203.0.113.1", 403),
        ("10.0.0.1", "203.0.113.1", 403),
        ("10.0.0.1", "", 403),
        (None, "", 403),
        ("fe80::1%eth0", "", 403),
    ],
)
async def test_only_listed_addresses_come_in_and_a_forged_header_changes_nothing(
    peer: str | None, chain: str, status: int
) -> None:
    async with opened({"erp": IPS}, receiver={"trusted_proxies": ["10.0.0.0/8"]}) as visitor:
        for _ in range(2):
            reply = await visitor.post("erp", headers={"X-Forwarded-For": chain} if chain else {}, peer=peer)
            assert reply.status == status
            if status == 403:
                assert reply.cause == "ip_not_allowed"


@pytest.mark.parametrize(
    ("preset", "peer", "status"),
    [
        ("stripe", "3.18.12.63", 401),
        ("stripe", "::ffff:3.18.12.63", 401),
        ("stripe", "3.18.12.64", 403),
        ("github", "140.82.115.1", 401),
        ("github", "198.51.100.7", 403),
    ],
)
async def test_the_addresses_that_a_platform_publishes_are_taken_where_the_source_asks_for_them(
    preset: str, peer: str, status: int
) -> None:
    source = {"preset": preset, "secrets": "whsec_c2VjcmV0"}
    async with opened({"shop": source | {"allow": {"ips": "published"}}, "open": source}) as visitor:
        assert (await visitor.post("shop", peer=peer)).status == status
        assert (await visitor.post("open", peer=peer)).status == 401


REQUIRED = {"allow": {"headers": {"X-Tenant": "north", "X-Kind": ["a", "b"], "X-Any": "*"}}}


@pytest.mark.parametrize(
    ("headers", "cause"),
    [
        ({"X-Tenant": "north", "X-Kind": "b", "X-Any": ""}, None),
        ({"x-tenant": "north", "x-kind": "a", "x-any": "x"}, None),
        ({"X-Tenant": "north", "X-Kind": "b"}, "header_missing"),
        ({"X-Tenant": "south", "X-Kind": "b", "X-Any": "x"}, "header_not_allowed"),
        ({"X-Tenant": "north, south", "X-Kind": "b", "X-Any": "x"}, "header_not_allowed"),
        ({"X-Tenant": "North", "X-Kind": "b", "X-Any": "x"}, "header_not_allowed"),
        ({"X-Tenant": "north", "X-Kind": "*", "X-Any": "x"}, "header_not_allowed"),
        ([(b"x-tenant", b"north"), (b"x-tenant", b"south"), (b"x-kind", b"a"), (b"x-any", b"")], "header_not_allowed"),
        ([(b"x-tenant", b"\xff"), (b"x-kind", b"a"), (b"x-any", b"")], "header_not_allowed"),
        ({}, "header_missing"),
    ],
)
async def test_required_headers(headers: Any, cause: str | None) -> None:
    async with opened({"erp": REQUIRED}) as visitor:
        reply = await visitor.post("erp", headers=headers)
    assert (reply.status, None if reply.status == 200 else reply.cause) == ((403, cause) if cause else (200, None))


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"X-Api-Key": "first"}, b"", 200),
        ({"X-Api-Key": "second"}, b"", 200),
        ({}, b"api-key=second", 200),
        ({}, b"a=b&api-key=f%69rst&c", 200),
        ({}, b"api-key=first&api-key=wrong", 200),
        ({}, b"api-key=wrong&api-key=first", 401),
        ({}, b"API-KEY=first", 401),
        ({"X-Api-Key": "wrong"}, b"api-key=first", 401),
        ({"Authorization": "first"}, b"", 401),
    ],
)
async def test_any_of_several_api_keys_in_header_or_query(headers: dict[str, str], query: bytes, status: int) -> None:
    async with opened({"erp": {"api_key": ["first", "second"]}}) as visitor:
        assert (await visitor.post("erp", headers=headers, query=query)).status == status


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "cause"),
    [
        (basic("ann:pässword:x"), None),
        ({"Authorization": basic("ann:pässword:x")["Authorization"].replace("Basic", "bAsIc")}, None),
        ({}, "credentials_missing"),
        ({"Authorization": ""}, "credentials_missing"),
        (basic("ann:wrong"), "credentials_wrong"),
        (basic("ann"), "credentials_wrong"),
        ({"Authorization": "Basic"}, "credentials_wrong"),
        ({"Authorization": "Basic !!!"}, "credentials_wrong"),
        ({"Authorization": "Basic \u00e9"}, "credentials_wrong"),
        ({"Authorization": "Bearer token"}, "credentials_wrong"),
    ],
)
async def test_basic_credentials(headers: dict[str, str], cause: str | None) -> None:
    async with opened({"erp": {"basic": {"user": "ann", "password": "pässword:x"}}}) as visitor:
        reply = await visitor.post("erp", headers=headers)
    assert reply.status == (401 if cause else 200)
    if cause:
        assert reply.cause == cause
        assert reply.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    ("given", "status"),
    [("Bearer tok", 200), ("bearer  tok ", 200), ("Bearer tok2", 401), ("tok", 401), ("Basic tok", 401)],
)
async def test_a_bearer_token(given: str, status: int) -> None:
    async with opened({"erp": {"bearer": "tok"}}) as visitor:
        assert (await visitor.post("erp", headers={"Authorization": given})).status == status


async def test_checks_come_in_order_address_header_key_size_body() -> None:
    source = {**IPS, "allow": {**IPS["allow"], "headers": {"X-A": "*"}}, "api_key": "opens", "body_limit": "10B"}
    async with opened({"erp": source}) as visitor:
        seen = [
            (await visitor.post("erp", b"x" * 20, headers, peer=peer)).cause
            for peer, headers in [
                ("203.0.113.1", {}),
                ("198.51.100.7", {}),
                ("198.51.100.7", {"X-A": ""}),
                ("198.51.100.7", {"X-A": "", "X-Api-Key": "opens"}),
            ]
        ]
        last = await visitor.post("erp", b"x" * 5, {"X-A": "", "X-Api-Key": "opens"})
    assert [*seen, last.cause] == [
        "ip_not_allowed",
        "header_missing",
        "api_key_missing",
        "body_too_large",
        "body_unreadable",
    ]


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (b"", ""),
        (b"a=1", "a=1"),
        (b"api-key=x", ""),
        (b"a=1&api%2Dkey=x&b", "a=1&b"),
        (b"Token=x&access_token=y&SECRET=z&password=&signature=s", ""),
        (b"+key=x&k=y", "k=y"),
        (b"a=" + b"x" * 10_000, "a=" + "x" * 8190),
    ],
)
def test_keys_are_taken_out_of_the_query_that_is_stored(query: bytes, kept: str) -> None:
    assert without_keys(query) == kept
