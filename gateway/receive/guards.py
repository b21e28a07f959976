"""Who may send: addresses, required headers, API keys, Basic and Bearer credentials.

All pure, and in constant time where a secret is compared.
"""

import binascii
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from hmac import compare_digest
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.errors import Cause, Rejected
from gateway.receive.request import Request, query_pairs, query_value

Guard = Callable[[Request], None]
"""Raises Rejected for a request that may not come in."""

ADDRESSES_CACHED = 4096
FORWARDED_BYTES = 2048
"""A longer forwarding header is not believed: no chain of proxies writes one."""
_CACHED_BYTES = 256

_MAPPED_BITS = 96
_Ip = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


class Clients:
    """Whose request it is: the peer, or, behind trusted proxies, the right-most address that is not one of them.

    `header`: the forwarding header the proxies write. What a sender from outside wrote in it stands to the left of what
    the first trusted proxy added, and so changes nothing.
    """

    def __init__(self, trusted: Collection[str], header: str) -> None:
        self._trusted = tuple(_network(text) for text in trusted)
        self._header = header.encode()
        self._chain = _forwarded if header == "forwarded" else _x_forwarded_for
        self._cached = lru_cache(maxsize=ADDRESSES_CACHED)(self._address)

    def address(self, request: Request) -> str:
        """The sender's address as text; empty when it cannot be known."""
        chain = request.fields.get(self._header, b"") if self._trusted else b""
        if len(chain) > FORWARDED_BYTES:
            return ""
        if len(chain) > _CACHED_BYTES:
            return self._address(request.peer, chain)
        return self._cached(request.peer, chain)

    def _address(self, peer: str, chain: bytes) -> str:
        address = _parse(peer)
        if address is None or not chain or not _within(address, self._trusted):
            return "" if address is None else str(address)
        for text in reversed(self._chain(chain.decode("latin-1"))):
            address = _parse(text)
            if address is None or not _within(address, self._trusted):
                break
        return "" if address is None else str(address)


def addresses(networks: Sequence[str], clients: Clients) -> Guard:
    """Let in whose address lies in one of the networks."""
    allowed = tuple(_network(text) for text in networks)

    @lru_cache(maxsize=ADDRESSES_CACHED)
    def inside(text: str) -> bool:
        address = _parse(text)
        return address is not None and _within(address, allowed)

    def guard(request: Request) -> None:
        if not inside(clients.address(request)):
            raise Rejected(Cause.IP_NOT_ALLOWED)

    return guard


def required_headers(wanted: Mapping[str, Sequence[str]]) -> Guard:
    """Let in what carries each of these headers, with one of the values; `*` is any."""
    rules = tuple(
        (name, name.lower().encode("latin-1"), None if "*" in values else frozenset(v.encode() for v in values))
        for name, values in wanted.items()
    )

    def guard(request: Request) -> None:
        for name, key, values in rules:
            value = request.fields.get(key)
            if value is None:
                raise Rejected(Cause.HEADER_MISSING, f"the header {name} is missing")
            if values is not None and value not in values:
                raise Rejected(Cause.HEADER_NOT_ALLOWED, f"the header {name} has a value that is not allowed")

    return guard


def api_key(keys: Sequence[str]) -> Guard:
    """Let in what carries one of the keys as `?api-key=` or `X-Api-Key`."""
    valid = tuple(key.encode() for key in keys)

    def guard(request: Request) -> None:
        given = request.fields.get(b"x-api-key")
        if given is None:
            given = query_value(request.query, b"api-key")
        if not given:
            raise Rejected(Cause.API_KEY_MISSING)
        if not one_of(given, valid):
            raise Rejected(Cause.API_KEY_WRONG)

    return guard


def basic(user: str, password: str) -> Guard:
    """Let in who knows user and password (RFC 7617, UTF-8)."""
    valid = (f"{user}:{password}".encode(),)
    return _authorization(b"basic", valid, 'Basic realm="webhooks", charset="UTF-8"', _decoded)


def bearer(token: str) -> Guard:
    """Let in who has the token (RFC 6750)."""
    return _authorization(b"bearer", (token.encode(),), 'Bearer realm="webhooks"', lambda given: given)


def _authorization(
    scheme: bytes, valid: Sequence[bytes], challenge: str, read: Callable[[bytes], bytes | None]
) -> Guard:
    asked = (("www-authenticate", challenge),)

    def guard(request: Request) -> None:
        given = request.fields.get(b"authorization")
        if not given:
            raise Rejected(Cause.CREDENTIALS_MISSING, headers=asked)
        name, _, rest = given.partition(b" ")
        credentials = read(rest.strip()) if name.lower() == scheme else None
        if credentials is None or not one_of(credentials, valid):
            raise Rejected(Cause.CREDENTIALS_WRONG, headers=asked)

    return guard


def _decoded(given: bytes) -> bytes | None:
    try:
        return b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return None


def one_of(given: bytes, valid: Sequence[bytes]) -> bool:
    """Whether it is one of them; every one is compared, so that the time tells nothing."""
    return sum([compare_digest(given, key) for key in valid]) > 0


KEY_NAMES = frozenset(
    {
        b"api-key",
        b"api_key",
        b"apikey",
        b"key",
        b"token",
        b"access_token",
        b"hub.verify_token",
        b"auth",
        b"secret",
        b"password",
        b"signature",
    }
)
"""Query parameters that are never stored."""

QUERY_BYTES = 8192
"""A query is stored up to this length."""


def without_keys(query: bytes) -> str:
    """The query as it is stored: without what opens doors."""
    if not query:
        return ""
    kept = [pair for pair in query.split(b"&") if pair and not _is_key(pair)]
    return b"&".join(kept)[:QUERY_BYTES].decode("latin-1")


def _is_key(pair: bytes) -> bool:
    return any(name.strip().lower() in KEY_NAMES for name, _ in query_pairs(pair))


# --- addresses -------------------------------------------------------------------------------------------------------


def _network(text: str) -> _Network:
    """A network as addresses are compared with it: `::ffff:192.0.2.0/120` is 192.0.2.0/24."""
    network = ip_network(text, strict=False)
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))


def _within(address: _Ip, networks: Sequence[_Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _parse(text: str) -> _Ip | None:
    """An address out of `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1`, `[2001:db8::1]:567`, with quotes or without.

    `::ffff:1.2.3.4` is 1.2.3.4.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _x_forwarded_for(chain: str) -> list[str]:
    return chain.split(",")


def _forwarded(chain: str) -> list[str]:
    """The `for=` of each element (RFC 7239); an element without one is an unknown address."""
    return [_for(element) for element in chain.split(",")]


def _for(element: str) -> str:
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value
    return ""
