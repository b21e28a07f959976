"""From the raw event to normal events: the body parsed once, a mapping found by the topic, an envelope around it."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from fnmatch import translate
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import xmltodict
from msgspec import Struct

from gateway import document as documents
from gateway.config.schema import Source
from gateway.document import Text, Unreadable
from gateway.errors import MappingError
from gateway.mapping import rules, types
from gateway.mapping.book import Book
from gateway.mapping.drift import Watch
from gateway.mapping.table import bounded
from gateway.mapping.types import EvaluationError, Unfit
from gateway.model import Event, Headers, NormalEvent

_PAIRS_MAX = 10_000  # fields of a form; a query has far fewer
_TOPICS_MAX = 1024  # topics whose mapping is remembered; some senders choose them freely

_PAST: dict[str, str] = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "remove": "removed",
    "cancel": "cancelled",
    "canceled": "cancelled",
    "pay": "paid",
    "fully_paid": "paid",
    "fulfil": "fulfilled",
    "fulfill": "fulfilled",
    "ship": "shipped",
    "refund": "refunded",
    "complete": "completed",
    "close": "closed",
    "open": "opened",
    "enable": "enabled",
    "disable": "disabled",
    "archive": "archived",
    "restore": "restored",
    "publish": "published",
    "abandon": "abandoned",
    "redact": "redacted",
    "add": "added",
    "edit": "edited",
    "change": "changed",
}
"""Verbs as platforms write them in topics -> the past tense that normal types have. Others stay as they are."""
PAST_TENSES = frozenset(_PAST.values())
"""The verbs of normal types, as far as they are told by a topic."""

_APART = re.compile(r"[^a-z0-9_-]+")


class _Way(Struct, frozen=True):
    """What events of a topic become: through this mapping, of this type. `times`: the fields that may say when it
    happened, the likelier first.
    """

    mapping: rules.Mapping | None
    type: str
    entity: str | None
    times: tuple[str, ...]


class Normaliser:
    """Makes the normal events of one source. `normalise` are the preset's topic globs, behind the source's own. `watch`
    sees every body.
    """

    def __init__(
        self, name: str, source: Source, normalise: Mapping[str, str], book: Book, watch: Watch | None = None
    ) -> None:
        self._name = name
        self._watch = watch
        self._book = book
        self._rules = [(glob(pattern), mapping) for pattern, mapping in (*source.normalise.items(), *normalise.items())]
        settings = {"name": name, "country": source.country, "timezone": source.timezone, "currency": source.currency}
        self._settings = {key: value for key, value in settings.items() if value is not None}
        self._mapping_of = lru_cache(maxsize=_TOPICS_MAX)(self._find)
        self._way_of = lru_cache(maxsize=_TOPICS_MAX)(self._way)

    def normal(self, event: Event) -> tuple[NormalEvent, ...]:
        """The normal events of an event: one, several where the mapping makes several, none where it wants none.

        Raises `MappingError`: the body cannot be read, or the mapping cannot take it.
        """
        topic = event.topic
        mapping_name = self._mapping_of(topic)
        body = self._body(event, mapping_name)
        if self._watch is not None:
            self._watch.look(topic, body)
        received = _second(event.received_at_ms // 1000)
        way = self._way_of(topic)
        if way.mapping is None:
            return (_normal(event, 1, way, body, received),)
        results = way.mapping.apply(self._document(event, body, received))
        return tuple([_normal(event, place, way, data, received) for place, data in enumerate(results, start=1)])

    def _way(self, topic: str) -> _Way:
        """Raises `MappingError` where the mapping has faults."""
        mapping = self.mapping(topic)
        if mapping is None:
            return _Way(None, _type(topic, None, None), None, ())
        kind = _type(topic, mapping.entity, mapping.verb)
        told = ("updated_at", "created_at") if kind.endswith(".created") else ("updated_at",)
        return _Way(mapping, kind, mapping.entity, told if mapping.entity else ())

    def mapping(self, topic: str) -> rules.Mapping | None:
        """The mapping that takes events of this topic, if any. Raises `MappingError` where it has faults."""
        name = self._mapping_of(topic)
        return None if name is None else self._book.get(name)

    def _find(self, topic: str) -> str | None:
        return next((mapping for pattern, mapping in self._rules if pattern.fullmatch(topic)), None)

    def _document(self, event: Event, body: Any, received: str) -> dict[str, Any]:
        """What a normalising mapping reads."""
        return {
            "body": body,
            "headers": header_table(event.headers),
            "query": pair_table(parse_qsl(event.query, keep_blank_values=True)) if event.query else {},
            "topic": event.topic,
            "source": self._settings,
            "received_at": received,
        }

    def _body(self, event: Event, mapping: str | None) -> Any:
        """What the body holds; JSON that nothing maps as it came, until somebody reads it."""
        try:
            return read_body(event.headers, event.body, documents.parse if mapping else documents.hold)
        except Unreadable as error:
            raise MappingError(mapping or "normalise", "body", f"cannot be read: {error}") from None


# --- reading ---------------------------------------------------------------------------------------------------------


Reader = Callable[[bytes], Any]


def read_body(headers: Headers, body: bytes, json: Reader = documents.parse) -> Any:
    """The document in a body, by its content type: forms and XML where it says so, else JSON; an empty body is null.

    A form is an object of texts, with lists where a name comes more than once. XML is as `xmltodict` has it: attributes
    are `@name`, a text beside them `#text`. Raises `Unreadable`.
    """
    if not body.strip():
        return None
    for name, value in headers:
        if name == "content-type":
            return (_reader(value) or json)(body)
    return json(body)


@lru_cache(maxsize=64)
def _reader(content_type: str) -> Reader | None:
    """What reads a body of this content type; None: whatever reads JSON."""
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/x-www-form-urlencoded":
        return _form
    xml = media in {"application/xml", "text/xml"} or media.endswith("+xml")
    return _xml if xml else None


def _form(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode()
        return pair_table(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_PAIRS_MAX))
    except ValueError as error:  # too many fields; not UTF-8
        raise Unreadable(f"no form: {type(error).__name__}") from None


def _xml(body: bytes) -> Any:
    """Entities are refused by the parser: no bombs, nothing fetched."""
    try:
        found = xmltodict.parse(body, disable_entities=True)
        bounded(found)
    except (EvaluationError, RecursionError):
        raise Unreadable("XML nested too deeply, or too large") from None
    except Exception as error:  # noqa: BLE001  expat's and xmltodict's errors share no base
        raise Unreadable(f"no XML: {type(error).__name__}") from None
    return found


def pair_table(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Names and values as an object; a name that comes more than once has the list of its values."""
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name not in table:
            table[name] = value
        elif isinstance(table[name], list):
            table[name].append(value)
        else:
            table[name] = [table[name], value]
    return table


def header_table(headers: Headers) -> dict[str, str]:
    """Headers as an object; those that come more than once are joined as HTTP joins them."""
    table = dict(headers)
    if len(table) < len(headers):
        table.clear()
        for name, value in headers:
            table[name] = f"{table[name]}, {value}" if name in table else value
    return table


# --- naming ----------------------------------------------------------------------------------------------------------


def glob(pattern: str) -> re.Pattern[str]:
    """A topic glob (`orders/*`, `order.[cu]*`) as a regular expression. `*` also crosses dots and slashes."""
    return re.compile(translate(pattern))


def dotted(topic: str) -> str:
    """A topic as a type: `app/uninstalled` is `app.uninstalled`."""
    return _APART.sub(".", topic.lower()).strip(".") or "event"


def _type(topic: str, entity: str | None, told: str | None) -> str:
    """A normal event's type: its entity with what happened (`told` by the mapping, or the topic); else the topic."""
    return f"{entity}.{told or verb(topic, entity)}" if entity else dotted(topic)


def verb(topic: str, entity: str = "") -> str:
    """What a topic says has happened: its last part, in the past tense (`orders/create` is `created`). An entity's name
    before it is left out (`order_created`, `OrderCreated`).
    """
    last = dotted(topic).rpartition(".")[2]
    rest = last.removeprefix(entity)
    if rest.startswith(("_", "-")) or rest in _PAST or rest in PAST_TENSES:
        last = rest.lstrip("_-") or last
    return _PAST.get(last, last)


def _normal(event: Event, place: int, way: _Way, data: Any, received: str) -> NormalEvent:
    return NormalEvent(
        event.id if place == 1 else f"{event.id}.{place}",
        event.seq,
        event.source,
        way.type,
        _subject(data),
        (_time(way.times, data) if way.times else None) or received,
        event.topic,
        way.entity,
        data,
        event.received_at_ms,
        event.traceparent,
    )


def _subject(data: Any) -> str | None:
    found = data.get("id") if type(data) is dict else data.id if type(data) is Text else None
    if type(found) is str:
        return found
    return types.string(found) if type(found) is int else None


def _time(names: tuple[str, ...], data: Any) -> str | None:
    """When it happened, where the entity says so: a creation at `created_at`, all else at `updated_at`."""
    if type(data) is not dict:
        return None
    for name in names:
        told = data.get(name)
        if told is not None:
            try:
                return types.utc_datetime(told)
            except Unfit:
                continue
    return None


@lru_cache(maxsize=64)
def _second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()[:19] + "Z"
