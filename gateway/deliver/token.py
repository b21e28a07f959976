"""Fetched tokens: one for a client, whoever sends under it; one fetch at a time, early enough, and once more when the
vendor refuses one. In an account with limits, what had to wait for a token leaves in its turn.
"""

import asyncio
from http import HTTPStatus

from msgspec.structs import replace

from gateway.clock import Clock
from gateway.deliver.outbound import Left, Outbound
from gateway.errors import Reason
from gateway.vendors.base import TOKEN, Answer, Outcome, Request, Response, Throttled, Token, TokenVendor, Vendor

EARLY = 0.8
"""The share of its life after which a token is fetched anew."""
AGAIN_S = 10.0
"""After a fetch that failed while the old token lives."""
CLIENTS_MAX = 100
IN_TURN = Throttled(Reason.BUSY, 0.0, detail="it had to wait for a token")
"""To be sent at once, but as the account's pace, gate and lease allow by now."""


class _Client:
    """A client's token (none at first), when it is to be fetched anew and when it ends, in monotonic seconds.
    `doubted`: one that was fetched because another was refused, and that nobody has taken so far.
    """

    def __init__(self) -> None:
        self.fetching = asyncio.Lock()
        self.token: Token | None = None
        self.doubted: Token | None = None
        self.renew_s = self.ends_s = 0.0

    def held(self, refused: Token | None, until_s: float, now_s: float) -> Token | None:
        """The token, unless it was refused or its time is over."""
        return self.token if self.token != refused and now_s < until_s else None

    def at_hand(self, now_s: float) -> Token | None:
        """The token, unless one has to wait for it: while one that still lives is fetched anew, the others go on
        under it.
        """
        return self.held(None, self.ends_s if self.fetching.locked() else self.renew_s, now_s)

    def keep(self, token: Token, now_s: float) -> None:
        self.token, self.renew_s, self.ends_s = token, now_s + EARLY * token.lives_s, now_s + token.lives_s

    def refuses(self, token: Token, answer: Answer) -> bool:
        """Whether an answer refuses the token it was sent under, and another may do better. One that is refused is
        forgotten; after one that is refused right after another, the next is fetched when the account is tried again.
        """
        if not isinstance(answer, Response):
            return False
        refused, doubted = answer.status == HTTPStatus.UNAUTHORIZED, self.doubted == token
        if doubted and not refused:
            self.doubted = None
        if refused and self.token == token:
            self.token = None
        return refused and not doubted


class Tokens:
    """The way out for a process's vendors, with their tokens: one for each client, known by the request for it."""

    def __init__(self, outbound: Outbound, clock: Clock) -> None:
        self._outbound = outbound
        self._clock = clock
        self._clients: dict[Request, _Client] = {}

    async def send(self, vendor: Vendor, request: Request, timeout_s: float, left: Left = None) -> Answer | Outcome:
        """Send a request, under a token where it asks for one. An Outcome: there is no token to be had, and what that
        means for the batch.
        """
        if not (request.token and isinstance(vendor, TokenVendor)):
            return await self._outbound.send(request, timeout_s, left)
        client = self._client(vendor.token_request())
        token: Token | Outcome | None = client.at_hand(self._clock.monotonic_s())
        if token is None:
            others = client.fetching.locked()  # who fetches it goes on: or nobody would, where it lives for a moment
            token = await self._token(vendor, timeout_s, refused=None)
            if others and left is not None and isinstance(token, Token):
                return IN_TURN
        if not isinstance(token, Token):
            return token
        answer = await self._outbound.send(_under(request, token), timeout_s, left)
        if not client.refuses(token, answer):
            return answer
        fresh = await self._token(vendor, timeout_s, refused=token)
        if not isinstance(fresh, Token):
            return fresh
        if left is not None:
            return IN_TURN
        answer = await self._outbound.send(_under(request, fresh), timeout_s)
        client.refuses(fresh, answer)
        return answer

    async def _token(self, vendor: TokenVendor, timeout_s: float, *, refused: Token | None) -> Token | Outcome:
        """The client's token, fetched anew unless somebody else has just done so."""
        asking = vendor.token_request()
        client = self._client(asking)
        async with client.fetching:
            if (held := client.held(refused, client.renew_s, self._clock.monotonic_s())) is not None:
                return held
            found = vendor.token_of(await self._outbound.send(asking, timeout_s))
            now_s = self._clock.monotonic_s()
            if isinstance(found, Token):
                client.keep(found, now_s)
                client.doubted = found if refused is not None else None
            elif (held := client.held(refused, client.ends_s, now_s)) is not None:
                client.renew_s = now_s + AGAIN_S
                return held
            return found

    def _client(self, asking: Request) -> _Client:
        if asking not in self._clients and len(self._clients) >= CLIENTS_MAX:
            now_s = self._clock.monotonic_s()
            self._clients = {one: it for one, it in self._clients.items() if it.fetching.locked() or now_s < it.ends_s}
        return self._clients.setdefault(asking, _Client())


def _under(request: Request, token: Token) -> Request:
    headers = tuple((name, value.replace(TOKEN, token.text.reveal())) for name, value in request.headers)
    return replace(request, headers=headers)
