"""The OpenAPI 3.1 document of the admin API, made from its calls and from the shapes of the views."""

import re
from typing import Any

import msgspec

from gateway.admin import api, parked, pieces, playground, replaying
from gateway.admin.api import Call

CALLS = (*api.CALLS, *parked.CALLS, *pieces.CALLS, *replaying.CALLS, *playground.CALLS)
"""Every call of the API."""

_PATH = re.compile(r"\{(\w+)(:int)?\}")
_REF = "#/components/schemas/{name}"

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "cause", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "cause": {"type": "string"},
        "detail": {"type": "string"},
    },
}
_REFUSALS = {
    "400": "The query or the body is not what it should be.",
    "401": "No token, or a wrong one.",
    "404": "There is no such thing.",
    "503": "The journal does not answer now.",
}


def openapi(version: str) -> dict[str, Any]:
    """The document."""
    shapes = [call.answer for call in CALLS] + [call.body for call in CALLS if call.body is not None]
    _, components = msgspec.json.schema_components(shapes, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        paths.setdefault("/api" + _PATH.sub(r"{\1}", call.path), {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Webhook gateway, admin API", "version": version},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": call.name,
        "summary": call.summary,
        "parameters": [*_in_path(call), *_in_query(call)],
        "responses": {
            "200": {"description": call.summary, "content": _content("application/json", call.answer.__name__)},
            **{
                status: {"description": text, "content": _content("application/problem+json", "Problem")}
                for status, text in _REFUSALS.items()
            },
        },
    }
    if call.body is not None:
        operation["requestBody"] = {"required": True, "content": _content("application/json", call.body.__name__)}
        too_large = {
            "description": "The body is too large.",
            "content": _content("application/problem+json", "Problem"),
        }
        operation["responses"]["413"] = too_large
    return operation


def _in_path(call: Call) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "integer" if number else "string"}}
        for name, number in _PATH.findall(call.path)
    ]


def _in_query(call: Call) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "in": "query", "schema": dict(one.schema), "description": one.description}
        for one in call.query
    ]


def _content(media: str, name: str) -> dict[str, Any]:
    return {media: {"schema": {"$ref": _REF.format(name=name)}}}
