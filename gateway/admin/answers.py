"""How the admin port answers: JSON, and problems as RFC 9457 says. Nothing is cached, nothing is framed."""

from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from gateway import document

SAFE = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",  # with no-referrer a browser's own forms come with `Origin: null`
    "x-content-type-options": "nosniff",
}
"""Headers of every answer that operators read."""


class Problem(Exception):  # noqa: N818  an answer, not a fault
    """A request that is answered with a problem. `detail` is for the operator."""

    def __init__(self, status: int, cause: str, detail: str = "") -> None:
        self.status = status
        self.cause = cause
        self.detail = detail
        super().__init__(f"{status} {cause}: {detail}")


def json(content: Any, status: int = 200) -> Response:
    """A view or a document as JSON."""
    return Response(document.dump(content), status, SAFE, "application/json")


def problem(what: Problem) -> Response:
    """A problem as application/problem+json."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(what.status).phrase,
        "status": what.status,
        "cause": what.cause,
        "detail": what.detail,
    }
    headers = dict(SAFE)
    if what.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = "1"
    if what.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return Response(document.dump(body), what.status, headers, "application/problem+json")
