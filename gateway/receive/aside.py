"""Requests that are no events: pings, handshakes, challenges. They are answered as the platform expects, no more."""

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import translate
from urllib.parse import urlsplit

from gateway.errors import Cause, Rejected
from gateway.receive.answers import Answer, answer
from gateway.receive.guards import one_of
from gateway.receive.parts import Part, compile_part, compile_template
from gateway.receive.presets import Aside, Challenge
from gateway.receive.request import Request, query_value

Holds = Callable[[Request], bool]

MATCHED_BYTES = 4096
"""A longer value matches no glob but `*`."""

ECHO_BYTES = 1024
"""A longer challenge is not echoed."""


def compile_conditions(conditions: Mapping[str, Sequence[str] | None]) -> Holds:
    """Whether all conditions hold. What cannot be read is absent."""
    tests = tuple(_condition(compile_part(spec), globs) for spec, globs in conditions.items())
    return lambda request: all(test(request) for test in tests)


def _condition(part: Part, globs: Sequence[str] | None) -> Holds:
    if globs is None:
        return lambda request: _read(part, request) is None
    if "*" in globs:
        return lambda request: _read(part, request) is not None
    pattern = re.compile("|".join(translate(glob) for glob in globs))

    def holds(request: Request) -> bool:
        value = _read(part, request)
        return value is not None and len(value) <= MATCHED_BYTES and pattern.match(value.decode("latin-1")) is not None

    return holds


def _read(part: Part, request: Request) -> bytes | None:
    try:
        return part(request) or None
    except Rejected:
        return None


class NoEvent:
    """One kind of request that is no event: how it is known, what is answered, whether it is kept as rejected."""

    def __init__(self, aside: Aside) -> None:
        self.signed = aside.signed
        self.holds = compile_conditions(aside.when)
        self.keep = aside.keep
        self.detail = aside.detail
        self._visit = None if aside.visit is None else compile_part(aside.visit)
        self._hosts = re.compile("|".join(translate(host) for host in aside.visit_hosts) or r"(?!)")
        self._content_type = aside.answer.content_type
        self._body = compile_template(aside.answer.body or "")

    def visit(self, request: Request) -> str | None:
        """The URL to call, if there is one. Raises Rejected for one that is not the platform's."""
        if self._visit is None:
            return None
        url = (self._visit(request) or b"").decode("latin-1")
        try:
            parts = urlsplit(url)
            plain = parts.port is None and parts.username is None
        except ValueError:
            plain = False
        if not plain or parts.scheme != "https" or not self._hosts.match(parts.netloc):
            raise Rejected(Cause.BODY_UNREADABLE, "the URL to confirm at is not the platform's")
        return url

    def answer(self, request: Request) -> Answer:
        """What is answered. Raises Rejected when the answer needs what is not there."""
        body = self._body(request)
        if body is None:
            raise Rejected(Cause.BODY_UNREADABLE)
        return answer(200, body, self._content_type)


def compile_challenge(challenge: Challenge, secrets: Sequence[str]) -> Callable[[Request], Answer]:
    """The answer to a challenge by GET. Raises Rejected where it is none, or its token is wrong."""
    holds = compile_conditions(challenge.when)
    wanted = challenge.query.encode()
    token = None if challenge.token is None else challenge.token.encode()
    valid = tuple(secret.encode() for secret in secrets)

    def reply(request: Request) -> Answer:
        echo = query_value(request.query, wanted)
        if not echo or len(echo) > ECHO_BYTES or not holds(request):
            raise Rejected(Cause.BODY_UNREADABLE, "this is no challenge")
        if token is not None:
            given = query_value(request.query, token) or b""
            if not one_of(given, valid):
                raise Rejected(Cause.CREDENTIALS_WRONG)
        return answer(200, echo, "text/plain; charset=utf-8", (("x-content-type-options", "nosniff"),))

    return reply


_ORIGIN = re.compile(r"[A-Za-z0-9._:-]{1,253}")


def compile_permission(origins: Sequence[str], methods: str) -> Callable[[Request], Answer]:
    """The answer to an OPTIONS that asks whether an origin may send: CloudEvents' abuse protection (HTTP Web Hooks
    1.0.1, section 4). Raises Rejected where it asks nothing, or may not.
    """
    allowed = re.compile("|".join(translate(origin) for origin in origins) or r"(?!)")

    def reply(request: Request) -> Answer:
        origin = request.fields.get(b"webhook-request-origin", b"").decode("latin-1")
        if not _ORIGIN.fullmatch(origin):
            raise Rejected(Cause.BODY_UNREADABLE, "no WebHook-Request-Origin asks here")
        if not allowed.match(origin):
            raise Rejected(Cause.HEADER_NOT_ALLOWED, "this origin may not send")
        said = (("allow", methods), ("webhook-allowed-origin", origin), ("webhook-allowed-rate", "*"))
        return answer(200, b"", "text/plain", said)

    return reply
