"""The configuration's small types: secrets that do not print, durations, sizes, addresses, URLs, names.

Each type says in plain words what it wants (the text of its ValueError is what an operator reads), and brings the
JSON Schema by which editors check it.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from ipaddress import ip_network
from typing import Annotated, Any, Self
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

NAME = r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$"
_HTTPS = r"https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/]"
DURATION = r"^\d+(\.\d+)?(ms|s|m|h|d)$"
SIZE = r"^\d+(\.\d+)?\s*(B|KB|MB|GB|KiB|MiB|GiB)$"
PERCENT = r"^\d+(\.\d+)?%$"
MAX_INTEGER = 2**53
"""The largest whole number that every JSON reader keeps exact."""

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT_BYTES = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h|d)", re.ASCII)
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*(|B|KB|MB|GB|KiB|MiB|GiB)", re.ASCII)
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)%", re.ASCII)
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\s/]+):(\d{1,5})", re.ASCII)
_PASSWORD = re.compile(r"(//[^/@:]*):[^/]*@")
_CREDENTIAL = re.compile(r"token|secret|passw|pwd|key|sig|auth|cookie|credential|^code$", re.IGNORECASE)
_MAX_PORT = 65535
_MAX_BYTES = 1 << 50


class Secret:
    """A text that prints as `***`. `reveal()` gives it; nothing else does."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def _of(cls, value: Any) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise ValueError("a secret is a text: put it in quotes")  # noqa: TRY004  pydantic reads ValueError alone
        if not value:
            raise ValueError("a secret must not be empty")
        return cls(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._of, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "minLength": 1, "examples": ["${NAME}", "${file:/run/secrets/name}"]}


class Url(str):
    """A URL that is used as it is, and prints without the password and the query that may stand in it."""

    __slots__ = ()

    def masked(self) -> str:
        """The URL with `***` for its password and the values of its query."""
        address, mark, query = self.partition("?")
        return _PASSWORD.sub(r"\1:***@", address) + mark + re.sub(r"=[^&]*", "=***", query)

    def credentials(self) -> tuple[str, ...]:
        """What of it nobody may see: the password, and parameters whose name is a credential's."""
        parts = urlsplit(self)
        named = (value for name, value in parse_qsl(parts.query) if names_credential(name))
        return tuple(text for text in (unquote(parts.password or ""), *named) if text)

    def __repr__(self) -> str:
        return f"Url({self.masked()!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(), serialization=core_schema.plain_serializer_function_ser_schema(cls.masked)
        )


def names_credential(name: str) -> bool:
    """Whether a header or parameter of this name holds what nobody may see: `X-Api-Key`, `token`, `sig`."""
    return _CREDENTIAL.search(name) is not None


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with `***` for every secret, as it is, percent-encoded or in base64."""
    for form in _forms(tuple(secrets)):
        text = text.replace(form, "***")
    return text


def masked_bytes(content: bytes, secrets: Iterable[str]) -> bytes:
    """As `masked`, of bytes that may be no text."""
    for form in _forms(tuple(secrets)):
        content = content.replace(form.encode(), b"***")
    return content


@lru_cache(maxsize=256)
def _forms(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """How secrets may be written, the longest first."""
    known = {secret for secret in secrets if secret}
    encoded = {b64encode(secret.encode()).decode() for secret in known}
    forms = known | encoded | {quote(text, safe="") for text in known} | {quote_plus(text) for text in known}
    return tuple(sorted(forms, key=len, reverse=True))


def listed(value: Any) -> Any:
    """One value as a list of one."""
    return [value] if isinstance(value, str | int | float | Secret) else value


def seconds(value: Any) -> float:
    """`250ms 5s 15m 7d` as seconds."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _UNIT_S[match[2]]
    if value == 0 and not isinstance(value, bool):
        return 0.0
    raise ValueError("a duration is a number with a unit: 250ms, 5s, 15m, 2h, 7d")


def moment_ms(text: str, now_ms: int) -> int:
    """An RFC 3339 time, or an age as `2h`, in milliseconds since the epoch. Raises ValueError."""
    if _DURATION.fullmatch(text):
        return now_ms - int(seconds(text) * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: write 2026-01-31T09:00:00Z, or an age as 2h") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no zone: write 2026-01-31T09:00:00Z")
    return int(moment.timestamp() * 1000)


def duration(value_s: float) -> str:
    """Seconds as the file writes them: 900 is `15m`."""
    unit = next(
        (unit for unit in ("d", "h", "m", "s") if value_s >= _UNIT_S[unit] and value_s % _UNIT_S[unit] == 0), "ms"
    )
    return f"{value_s / _UNIT_S[unit]:g}{unit}"


def share(value: Any) -> float:
    """`50%` as 0.5."""
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())) and 0 < float(match[1]) <= 100:  # noqa: PLR2004  per cent
        return float(match[1]) / 100
    raise ValueError("a percentage above 0% and up to 100% is wanted: 50%")


def percent(value: float) -> str:
    """A share as the file writes it: 0.5 is `50%`."""
    return f"{value * 100:g}%"


def size(value: Any) -> int:
    """`60KB 1MiB 500` as bytes."""
    found = _bytes(value)
    if found is None:
        raise ValueError("a size is a number with a unit: 500B, 60KB, 1MiB")
    if found > _MAX_BYTES:
        raise ValueError("a size is at most 1048576GiB")
    return found


def _bytes(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(float(match[1]) * _UNIT_BYTES[match[2]])
    return None


def bytes_text(value: int) -> str:
    """Bytes as the file writes them: 1048576 is `1MiB`."""
    units = ("GiB", "GB", "MiB", "MB", "KiB", "KB")
    unit = next((unit for unit in units if value >= _UNIT_BYTES[unit] and value % _UNIT_BYTES[unit] == 0), "B")
    return f"{value // _UNIT_BYTES[unit]}{unit}"


def _name(value: str) -> str:
    if not re.fullmatch(NAME[1:-1], value):
        raise ValueError("a name is 1 to 64 of a-z, 0-9, - and _, and begins and ends with a letter or a digit")
    return value


def _network(value: str) -> str:
    try:
        return str(ip_network(value, strict=False))
    except ValueError:
        raise ValueError("an address or a network is wanted: 203.0.113.7, 203.0.113.0/24, 2001:db8::/32") from None


def _listen(value: str) -> str:
    match = _LISTEN.fullmatch(value)
    if match is None or int(match[2]) > _MAX_PORT:
        raise ValueError("an address and a port are wanted: 127.0.0.1:8080, 0.0.0.0:8080, [::]:8080")
    return value


def _http_url(value: Url) -> Url:
    try:
        parts = urlsplit(value)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        whole = False
    if not whole or re.search(r"\s", value):
        raise ValueError("a URL is wanted: https://api.example.com/path")
    if "@" in parts.netloc:
        raise ValueError("no user and no password in a URL: they belong where the credentials are")
    return value


def _https_url(value: Url) -> Url:
    if not re.match(_HTTPS, value):
        raise ValueError("a URL that begins with https:// is wanted")
    return _http_url(value)


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, LookupError):
        if known := available_timezones():
            meant = get_close_matches(value, known, n=1)
            hint = f"did you mean `{meant[0]}`?" if meant else "they are called Europe/London, UTC"
            raise ValueError(f"`{value}` is no IANA time zone: {hint}") from None
    return value


def _moment(value: str) -> str:
    if value in ("now", "beginning"):
        return value
    try:
        if datetime.fromisoformat(value).tzinfo is not None:
            return value
    except ValueError:
        pass
    raise ValueError("`now`, `beginning` or a time with its zone is wanted: 2026-01-31T09:00:00Z")


def _letters(count: int, words: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(f"[A-Z]{{{count}}}", value):
            raise ValueError(words)
        return value

    return AfterValidator(check)


Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": NAME})]
"""A source's, destination's or preset's name: it stands in URLs, metrics and file names."""

Network = Annotated[str, AfterValidator(_network)]
"""An IP network in its canonical form."""

Texts = Annotated[list[str], BeforeValidator(listed, json_schema_input_type=str | list[str])]
"""A text, or a list of them."""

Secrets = Annotated[list[Secret], BeforeValidator(listed, json_schema_input_type=Secret | list[Secret])]
"""A secret, or a list of them."""

Address = Annotated[
    str,
    AfterValidator(_listen),
    WithJsonSchema({"type": "string", "pattern": r":\d{1,5}$", "examples": ["127.0.0.1:8080"]}),
]
"""Where a server listens: `host:port`. Port 0: any free one."""

HttpUrl = Annotated[
    Url, AfterValidator(_http_url), WithJsonSchema({"type": "string", "pattern": "^(https?://|\\$\\{)"})
]
"""An absolute http or https URL."""

HttpsUrl = Annotated[
    Url, AfterValidator(_https_url), WithJsonSchema({"type": "string", "pattern": rf"^({_HTTPS}|\$\{{)"})
]
"""An absolute https URL; on this machine itself (the sandbox, a shop under development) http will do."""

Country = Annotated[
    str,
    _letters(2, "an ISO 3166 country in two capitals is wanted: GB"),
    WithJsonSchema({"type": "string", "pattern": "^[A-Z]{2}$"}),
]
Currency = Annotated[
    str,
    _letters(3, "an ISO 4217 currency in three capitals is wanted: GBP"),
    WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"}),
]
Timezone = Annotated[str, AfterValidator(_timezone)]
Moment = Annotated[str, AfterValidator(_moment)]
"""`now`, `beginning`, or an RFC 3339 time."""

Seconds = Annotated[
    float,
    BeforeValidator(seconds),
    WithJsonSchema({"type": "string", "pattern": DURATION, "examples": ["250ms", "5s", "15m", "7d"]}),
]
"""A duration in the file, seconds in the code."""

Share = Annotated[
    float,
    BeforeValidator(share),
    WithJsonSchema({"type": "string", "pattern": PERCENT, "examples": ["50%"]}),
]
"""A percentage in the file, a share of 1 in the code."""

Bytes = Annotated[
    int,
    BeforeValidator(size),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": SIZE}, {"type": "integer", "minimum": 0}],
            "examples": ["60KB", "1MiB"],
        }
    ),
]
"""A size in the file, bytes in the code."""
