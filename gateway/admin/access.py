"""Who may use the admin port: a token in `Authorization: Bearer`, or a session that a browser got for it.

Texts are compared in constant time. A session is a cookie that says until when it holds, signed with the token: a new
token ends all sessions, and nothing needs to be stored.
"""

import hashlib
import hmac
from collections.abc import Mapping

from gateway.config.values import Secret

COOKIE = "gateway_session"
SESSION_S = 12 * 3600
_BEARER = "bearer "


class Access:
    """The token's keeper. Without a token nobody may."""

    def __init__(self, token: Secret | None) -> None:
        self._token = token

    def closed(self) -> bool:
        """Whether no token is configured, so that the API and the pages are closed."""
        return self._token is None

    def by_header(self, authorization: str) -> bool:
        """Whether the value of an Authorization header carries the token."""
        if authorization[: len(_BEARER)].lower() != _BEARER:
            return False
        return self.by_token(authorization[len(_BEARER) :].strip())

    def by_token(self, given: str) -> bool:
        """Whether this is the token."""
        if self._token is None:
            return False
        return hmac.compare_digest(self._token.reveal().encode(), given.encode("utf-8", "surrogateescape"))

    def session(self, now_ms: int) -> str:
        """The value of a cookie that is good from now on for twelve hours."""
        until = str(now_ms // 1000 + SESSION_S)
        return f"{until}.{self._signed(until)}"

    def by_session(self, cookies: Mapping[str, str], now_ms: int) -> bool:
        """Whether a request's cookies hold a session that is good."""
        until, _, signature = cookies.get(COOKIE, "").partition(".")
        if self._token is None or not until.isdecimal() or len(until) > 12:  # noqa: PLR2004  seconds: ten digits
            return False
        given, right = signature.encode("utf-8", "surrogateescape"), self._signed(until).encode()
        return hmac.compare_digest(given, right) and int(until) > now_ms // 1000

    def _signed(self, until: str) -> str:
        token = self._token.reveal() if self._token else ""
        return hmac.new(token.encode(), f"admin session until {until}".encode(), hashlib.sha256).hexdigest()
