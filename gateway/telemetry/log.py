"""Log lines as events with fields: JSON lines in production, colours on a terminal.

    log = log.get("deliver")
    log.info("settle.done", account=account, delivered=100)

Names come from `events.EVENTS`. Until `configure` is called (in tests) a name that is not there is refused; afterwards
it is logged and marked, since a line is worth more than a rule. Secrets, credentials and e-mail addresses are masked,
whoever logs them. A line that cannot be written (a full disk, a closed pipe) is counted and never stops the work.
"""

import logging
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, cast

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger, Processor

from gateway.clock import Clock, SystemClock
from gateway.config.values import Secret, Url
from gateway.telemetry.events import EVENTS
from gateway.telemetry.metrics import log_lines_lost

__all__ = ["EVENTS", "UnknownEvent", "configure", "get", "hide"]

Format = Literal["auto", "json", "console"]
Level = Literal["debug", "info", "warning", "error"]
Fields = MutableMapping[str, Any]

MASK = "***"
CREDENTIALS = frozenset(
    {
        "access-token",
        "api-key",
        "authorization",
        "bearer",
        "client-secret",
        "cookie",
        "key",
        "passwd",
        "password",
        "private-key",
        "proxy-authorization",
        "secret",
        "secrets",
        "set-cookie",
        "signature",
        "token",
        "x-api-key",
        "x-auth-token",
    }
)
"""Names (lower case, `-` for `_`) whose values are never shown, in fields, in headers and in URLs."""

_MAX_TEXT = 2_000
_MAX_TRACE = 16_000
_MAX_ITEMS = 100
_MAX_DEPTH = 4
_MIN_HIDDEN = 6
_IN_URL = re.compile(
    r"([?&;](?:api[-_]?key|key|token|access[-_]token|secret|signature|password)=)[^&\s\"']+", re.IGNORECASE
)
_USERINFO = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_SIGNATURE = re.compile(r"hmac|signature", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\n]")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LEVEL_OF = {"warn": "warning", "exception": "error", "fatal": "critical"}

_encoder = msgspec.json.Encoder(enc_hook=str, decimal_format="string")
_hidden: tuple[str, ...] = ()
_least = logging.DEBUG


class UnknownEvent(LookupError):  # noqa: N818  a fact about a name
    """A log event that is not in the catalogue."""


def get(name: str) -> FilteringBoundLogger:
    """The logger of a room (`receive`, `deliver`). May be called before `configure`, and follows each of its calls."""
    return cast("FilteringBoundLogger", structlog.get_logger(name))


def configure(
    format: Format = "auto",  # noqa: A002  the key's name in the configuration
    level: Level = "info",
    *,
    stream: TextIO | None = None,
    role: str = "",
    clock: Clock | None = None,
    strict: bool = False,
) -> None:
    """Set the log of this process up, warnings and libraries' lines included. May be called again (a reload).

    `stream`: standard error unless given, so that standard output stays a command's answer. `role`: stands in every
    line. `strict`: names that are not in the catalogue raise UnknownEvent.
    """
    global _least  # noqa: PLW0603  the process has one log
    _least = _LEVELS[level]
    out = stream or sys.stderr
    console = format == "console" or (format == "auto" and out.isatty())
    colours = console and out.isatty()
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _known(strict=strict),
        _frame(clock or SystemClock(), role),
        structlog.processors.format_exc_info,
        _masked_console if console else _masked,
        _console(colours=colours) if console else _json,
        _without_hidden,
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *names: _Sink(out, *names),
        cache_logger_on_first_use=False,  # a reload changes the level of loggers that exist
    )
    _route_libraries(_LEVELS[level])


def says(level: Level) -> bool:
    """Whether lines of this level are written, for who would have to gather what they say first."""
    return _LEVELS[level] >= _least


def hide(secrets: Iterable[str]) -> None:
    """Texts that must never stand in a line, wherever they come from (a vendor that repeats its key). Replaces the last
    list. Texts under 6 characters are left out: they would blot out half the line.
    """
    global _hidden  # noqa: PLW0603  the process has one log
    found = {text for secret in secrets if len(secret) >= _MIN_HIDDEN for text in (secret, _escaped(secret))}
    _hidden = tuple(sorted(found, key=len, reverse=True))


def _escaped(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]


class _Sink:
    """Where lines end: one write for each, and a failure to write is counted."""

    def __init__(self, stream: TextIO, name: str = "") -> None:
        self.name = name.removeprefix("gateway.")
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a full disk, a closed pipe, a closed file: the work goes on
            log_lines_lost.inc()

    debug = info = warn = warning = error = critical = fatal = exception = log = msg


def _known(*, strict: bool) -> Processor:
    def known(_: Any, __: str, fields: Fields) -> Fields:
        if fields.get("event") not in EVENTS:
            if strict:
                raise UnknownEvent(f"{fields.get('event')!r} is not in the catalogue of log events")
            fields["uncatalogued"] = True
        return fields

    return known


def _frame(clock: Clock, role: str) -> Processor:
    """The fields that every line has, in front: when, how important, what, whose."""

    def frame(sink: Any, method: str, fields: Fields) -> Fields:
        now = datetime.fromtimestamp(clock.now_ms() / 1000, UTC).isoformat(timespec="milliseconds")
        framed: dict[str, Any] = {
            "at": now.replace("+00:00", "Z"),
            "level": _LEVEL_OF.get(method, method),
            "event": fields.pop("event", ""),
            "room": getattr(sink, "name", ""),
        }
        if role:
            framed["role"] = role
        framed.update(fields)
        return framed

    return frame


# --- what must not be shown ------------------------------------------------------------------------------------------


def _masked(_: Any, __: str, fields: Fields) -> Fields:
    return {name: _field(name, value) for name, value in fields.items()}


def _masked_console(_: Any, __: str, fields: Fields) -> Fields:
    """As `_masked`; and what senders write cannot steer the terminal."""
    shown = _masked(_, __, fields)
    return {name: _plain(value) if name != "exception" else value for name, value in shown.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _CONTROL.sub(_picture, value)
    return value


def _picture(found: re.Match[str]) -> str:
    """A control character as its picture (U+2400 and on)."""
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}"  # noqa: PLR2004  below it: controls


def _field(name: str, value: Any, depth: int = 0) -> Any:
    if _is_credential(name) and not isinstance(value, bool | int | float | None):
        return MASK
    return _value(value, depth, _MAX_TRACE if name == "exception" else _MAX_TEXT)


def _is_credential(name: str) -> bool:
    plain = name.lower().replace("_", "-")
    return plain in CREDENTIALS or _SIGNATURE.search(plain) is not None


def _value(value: Any, depth: int, limit: int = _MAX_TEXT) -> Any:
    if isinstance(value, Url):
        return value.masked()
    if isinstance(value, str):
        return _text(str(value), limit)
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, Secret | bytes | bytearray | memoryview):
        return MASK
    return _container(value, depth)


def _container(value: Any, depth: int) -> Any:
    if depth >= _MAX_DEPTH:
        return _text(str(value), _MAX_TEXT)
    if isinstance(value, Mapping):
        return {str(name): _field(str(name), value[name], depth + 1) for name in list(value)[:_MAX_ITEMS]}
    if _is_pair(value):
        return [value[0], _field(value[0], value[1], depth + 1)]
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(item, depth + 1) for item in list(value)[:_MAX_ITEMS]]
    return _text(str(value), _MAX_TEXT)


def _is_pair(value: Any) -> bool:
    """Whether this is a header: its name decides whether its value may be shown."""
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)  # noqa: PLR2004  name, value


def _text(text: str, limit: int) -> str:
    if len(text) > limit:
        text = f"{text[:limit]}... ({len(text)} characters)"
    if "@" in text:
        text = _EMAIL.sub(MASK, _USERINFO.sub(rf"\1{MASK}@", text))
    if "=" in text:
        text = _IN_URL.sub(rf"\1{MASK}", text)
    return text


def _without_hidden(_: Any, __: str, line: Any) -> Any:
    """The finished line without the texts of `hide`."""
    for text in _hidden:
        if text in line:
            line = line.replace(text, MASK)
    return line


# --- how a line looks ------------------------------------------------------------------------------------------------


def _json(_: Any, __: str, fields: Fields) -> str:
    try:
        return _encoder.encode(fields).decode()
    except (TypeError, ValueError, RecursionError):  # a lone surrogate: the line is worth more than its form
        safe = {name: str(value).encode("utf-8", "backslashreplace").decode() for name, value in fields.items()}
        return _encoder.encode(safe).decode()


def _console(*, colours: bool) -> Processor:
    renderer = structlog.dev.ConsoleRenderer(
        colors=colours,
        timestamp_key="at",
        pad_event_to=24,
        sort_keys=False,
        exception_formatter=structlog.dev.plain_traceback,
    )

    def console(logger: Any, method: str, fields: Fields) -> str:
        fields["at"] = fields["at"][11:23]  # the time of day is enough for somebody who watches
        fields["logger"] = fields.pop("room")
        return str(renderer(logger, method, fields))

    return console


# --- what libraries say ----------------------------------------------------------------------------------------------


class _Library(logging.Handler):
    """Standard library log records as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "py.warnings":
            self._write(record, "library.warned", {"message": record.getMessage().strip()})
            return
        self._write(record, "library.said", {"logger_name": record.name, "message": record.getMessage()})

    def _write(self, record: logging.LogRecord, event: str, fields: dict[str, Any]) -> None:
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        log = get("library")
        writers = {logging.DEBUG: log.debug, logging.INFO: log.info, logging.WARNING: log.warning}
        writers.get(record.levelno, log.error)(event, **fields)


def _route_libraries(level: int) -> None:
    """Everything that uses `logging` or `warnings` ends in our lines; libraries speak up from warnings on."""
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, _Library)]
    root.addHandler(_Library())
    root.setLevel(logging.DEBUG if level == logging.DEBUG else logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True
    access = logging.getLogger("uvicorn.access")  # an access line for each request costs a factor of two
    access.handlers[:] = []
    access.propagate = False
    logging.captureWarnings(capture=True)


def _until_configured() -> None:
    """What holds before `configure`: names are checked, lines go to standard error from warnings on."""
    structlog.configure(
        processors=[
            _known(strict=True),
            _frame(SystemClock(), ""),
            structlog.processors.format_exc_info,
            _masked,
            _json,
            _without_hidden,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *names: _Sink(sys.stderr, *names),
        cache_logger_on_first_use=False,
    )


_until_configured()
