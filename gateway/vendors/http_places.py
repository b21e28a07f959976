"""Texts with places in them, for vendor `http`: `https://api.example.com/people/{subject}`. A place is an expression
over the normal event, with `record`, what its mapping made, and `entity` beside it. `{{` and `}}` are braces.

A value is escaped for where it stands: percent-encoded in a URL, so that it can change no segment and no parameter, and
without line breaks in a header.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, TypeAdapter, ValidationError, WithJsonSchema

from gateway.config.values import HttpUrl, Url
from gateway.errors import Reason, Refusal
from gateway.mapping.expressions import EvaluationError, Expression, ExpressionError, compile_expression
from gateway.mapping.types import string

Values = Mapping[str, str]
"""What stands in the places of one record's request: by the expression's text. A null is left out."""

NONE: Mapping[str, str] = {}
METHODS = ("POST", "PUT", "PATCH", "DELETE")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
"""A header's name (RFC 9110, 5.6.2)."""

_FIELD = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS = frozenset({"content-length", "transfer-encoding", "host", "connection"})
_AUTHORITY = re.compile(r"https?://[^/?#{}]+[/?#]")
_VISIBLE = "".join(map(chr, range(0x20, 0x7F)))
_HTTP_URL: TypeAdapter[Url] = TypeAdapter(HttpUrl)
_QUOTES = frozenset("'\"`")


class Template:
    """A text with places, read once. Raises ValueError for braces that do not pair, ExpressionError for a place that is
    no expression.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._pieces = tuple(_pieces(text))
        self.places = tuple(piece for piece in self._pieces if isinstance(piece, Expression))
        self._literal = "".join(piece for piece in self._pieces if isinstance(piece, str))

    def filled(self, values: Values, safe: str) -> str | None:
        """The text with percent-encoded values, but for the signs in `safe`; None where a value is missing."""
        if not self.places:
            return self._literal
        if any(place.text not in values for place in self.places):
            return None
        return "".join(
            piece if isinstance(piece, str) else quote(values[piece.text], safe=safe) for piece in self._pieces
        )

    def sample(self) -> str:
        """The text with an `x` in each place."""
        return "".join(piece if isinstance(piece, str) else "x" for piece in self._pieces)


def _pieces(text: str) -> Iterator[str | Expression]:
    literal, at = "", 0
    while at < len(text):
        sign = text[at]
        if sign in "{}" and text[at : at + 2] == sign * 2:
            literal, at = literal + sign, at + 2
        elif sign == "{":
            end = _end(text, at)
            yield from (literal, compile_expression(text[at + 1 : end].strip()))
            literal, at = "", end + 1
        elif sign == "}":
            raise ValueError("a `}` without its `{`; a brace of the text is written twice")
        else:
            literal, at = literal + sign, at + 1
    yield literal


def _end(text: str, start: int) -> int:
    """Where the place that begins at `start` ends: braces pair, those in quotes do not count."""
    depth, quoted, escaped = 0, "", False
    for at in range(start, len(text)):
        sign = text[at]
        if quoted:
            quoted = "" if sign == quoted and not escaped else quoted
            escaped = sign == "\\" and not escaped
        elif sign in _QUOTES:
            quoted = sign
        else:
            depth += {"{": 1, "}": -1}.get(sign, 0)
            if depth == 0:
                return at
    raise ValueError("a `{` without its `}`; a brace of the text is written twice")


# --- what may stand in the configuration -----------------------------------------------------------------------------


def _template(text: str) -> Template:
    try:
        return Template(text)
    except ExpressionError as error:
        raise ValueError(_said(error)) from None


def _expression(text: str) -> str:
    try:
        compile_expression(text)
    except ExpressionError as error:
        raise ValueError(_said(error)) from None
    return text


def _said(error: ExpressionError) -> str:
    hint = f": {error.hint}" if error.hint else ""
    return f"`{error.text}` is no expression: column {error.column}: {error.cause}{hint}"


def _url(text: str) -> Url:
    template = _template(text)
    if re.match(r"[^/?#]*//[^/?#]*@", template.sample()):
        raise ValueError("user and password belong under `auth: {basic: ...}`, not in `url`")
    try:
        _HTTP_URL.validate_python(template.sample())
    except ValidationError:
        raise ValueError("a URL is wanted: https://api.example.com/path/{subject}") from None
    if template.places and not _AUTHORITY.match(text):
        raise ValueError("places stand behind the host: in the path or the query")
    return Url(text)


def _place(text: str) -> Url:
    _url(f"https://host{text}" if text.startswith("/") else text)
    return Url(text)


def _text(text: str) -> str:
    _template(text)
    return text


def _method(text: str) -> str:
    if not _template(text).places and text not in METHODS:
        raise ValueError(f"a method is one of {', '.join(METHODS)}, or has a place that makes one")
    return text


def _headers(fields: dict[str, str]) -> dict[str, str]:
    for name, text in fields.items():
        if not HEADER_NAME.fullmatch(name) or name.lower() in _OURS:
            raise ValueError(f"{name!r} is no header that may be set")
        if not _FIELD.fullmatch(_template(text).sample()):
            raise ValueError(f"the value of {name} holds signs that a header cannot carry")
    return fields


ExpressionText = Annotated[str, AfterValidator(_expression)]
"""An expression, known to compile."""

UrlText = Annotated[Url, AfterValidator(_url), WithJsonSchema({"type": "string", "pattern": "^(https?://|\\$\\{)"})]
"""A URL with places behind its host."""

PlaceText = Annotated[
    Url, AfterValidator(_place), WithJsonSchema({"type": "string", "pattern": "^(https?://|/|\\$\\{)"})
]
"""A URL with places behind its host, or a path with places below another."""

TemplateText = Annotated[str, AfterValidator(_text)]
"""A text with places."""

MethodText = Annotated[
    str,
    AfterValidator(_method),
    WithJsonSchema({"anyOf": [{"enum": list(METHODS)}, {"type": "string", "pattern": "\\{.+\\}"}]}),
]
HeaderTexts = Annotated[dict[str, str], AfterValidator(_headers)]


# --- a request's line and headers ------------------------------------------------------------------------------------


class Head:
    """The method, URL and headers of a destination's requests, and `texts` that are made of the same places."""

    def __init__(self, method: str, url: str, headers: Mapping[str, str], texts: Mapping[str, str] = NONE) -> None:
        self._method = Template(method)
        self._url = Template(url)
        self._headers = {name.lower(): Template(text) for name, text in headers.items()}
        self._texts = {name: Template(text) for name, text in texts.items()}
        templates = (self._method, self._url, *self._headers.values(), *self._texts.values())
        self._places = {place.text: place for template in templates for place in template.places}

    @property
    def has_places(self) -> bool:
        return bool(self._places)

    @property
    def headers_vary(self) -> bool:
        """Whether a header has a place."""
        return any(template.places for template in self._headers.values())

    def values(self, scope: Mapping[str, Any]) -> dict[str, str]:
        """What stands in the places for one record. Raises Refusal where no request can be made of them."""
        found = {text: value for text, place in self._places.items() if (value := _value(place, scope)) is not None}
        self.method(found)
        self.url(found)
        return found

    def method(self, values: Values) -> str:
        """Raises Refusal where it is none that may be sent."""
        method = self._method.filled(values, _VISIBLE)
        if method is None or (self._method.places and method not in METHODS):
            raise Refusal(Reason.INCOMPLETE, f"`method` makes none of {', '.join(METHODS)}")
        return method

    def url(self, values: Values) -> str:
        """Raises Refusal where a value is missing, empty, or would lead out of its segment of the path."""
        empty = [place.text for place in self._url.places if not values.get(place.text)]
        url = self._url.filled(values, "")
        if empty or url is None:
            raise Refusal(Reason.INCOMPLETE, f"`url`: `{empty[0]}` gives nothing")
        if self._url.places and {".", ".."} & set(urlsplit(url).path.split("/")):
            raise Refusal(Reason.PAYLOAD_REFUSED, "`url`: a value would lead out of its place in the path")
        return url

    def headers(self, values: Values) -> dict[str, str]:
        """The headers by their names in lower case. One whose value is missing is left out."""
        filled = {name: template.filled(values, _VISIBLE) for name, template in self._headers.items()}
        return {name: text.strip() for name, text in filled.items() if text is not None}

    def text(self, name: str, values: Values) -> str:
        """One of the texts; empty where a value is missing."""
        return (self._texts[name].filled(values, _VISIBLE) or "").strip()


def text_of(value: Any) -> str:
    """A value as it stands in a text: numbers with their digits. Raises EvaluationError for a list or an object."""
    return string(Decimal(repr(value)) if isinstance(value, float) else value)


def _value(place: Expression, scope: Mapping[str, Any]) -> str | None:
    try:
        value = place(scope)
        return None if value is None else text_of(value)
    except EvaluationError as error:
        raise Refusal(Reason.PAYLOAD_REFUSED, f"`{place.text}`: {error}") from None
