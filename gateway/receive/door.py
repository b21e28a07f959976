"""A source made ready: what its configuration and its preset say, compiled once, so that a request only runs it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.clock import SystemClock
from gateway.config.registry import Problem
from gateway.config.schema import Config, HmacScheme, Source
from gateway.errors import Cause, Rejected
from gateway.model import Headers, Offer
from gateway.receive import guards
from gateway.receive.answers import Answer, accepted, answer
from gateway.receive.aside import NoEvent, compile_challenge, compile_permission
from gateway.receive.content import check, claims, kind_of, media_of, read_as_json
from gateway.receive.envelope import Open, compile_open
from gateway.receive.guards import Clients, Guard
from gateway.receive.identity import Identity, compile_identity
from gateway.receive.keys import Keys
from gateway.receive.parts import Part, compile_first, compile_part
from gateway.receive.presets import Preset, Presets, own_faults
from gateway.receive.request import RawHeaders, Request
from gateway.receive.verify import AnyScheme
from gateway.receive.verify.base import Verify
from gateway.receive.verify.hmac import Hmac

TOPIC_BYTES = 255

HEADERS_AT_MOST = 64
"""Headers kept of one request."""

HEADER_BYTES = 4096
"""A longer value is not kept."""

NEVER_KEPT = frozenset(
    (
        *("authorization", "proxy-authorization", "cookie", "set-cookie"),
        *("x-api-key", "api-key", "x-auth-token", "x-access-token"),
        *("connection", "keep-alive", "content-length", "content-encoding", "transfer-encoding"),
        *("te", "trailer", "upgrade", "expect"),
    )
)
"""Headers that carry credentials, and those that only say how the request travelled."""

_NAMES_CACHED = 1024


@dataclass(frozen=True, slots=True)
class Door:
    """What is done with a request to one source, in this order of use."""

    source: str
    methods: frozenset[str]
    allow: str
    guards: tuple[Guard, ...]
    handshakes: Mapping[str, Callable[[Request], Answer]]
    limit_bytes: int
    unsigned_asides: tuple[NoEvent, ...]
    verify: Verify | None
    content: tuple[str, ...]
    asides: tuple[NoEvent, ...]
    open: Open | None
    topic: Part
    identity: Identity | None
    window_ms: int
    keep: "Keeper"
    answer: Answer | None
    clients: Clients

    def admit(self, request: Request) -> None:
        """The guards. Raises Rejected."""
        for guard in self.guards:
            guard(request)

    def understand(self, request: Request) -> None:
        """Make sure that the body is what the preset promises. Raises Rejected."""
        kind = kind_of(request.body, request.fields.get(b"content-type"), self.content)
        if kind == "jwt":
            request.understood("json", claims(request.body))
            return
        check(kind, request.body)
        request.kind = kind

    def events(self, request: Request) -> Sequence[Request]:
        """The events in the request, each as if it had come alone. Raises Rejected."""
        return (request,) if self.open is None else self.open(request)

    def offer(self, request: Request, revision: int) -> Offer:
        """The event, before it is accepted. Raises Rejected for a topic that is missing or none."""
        topic = self.topic(request)
        if topic is None:
            raise Rejected(Cause.TOPIC_MISSING)
        return Offer(
            source=self.source,
            topic=_topic(topic),
            received_at_ms=request.arrived_ms,
            revision=revision,
            method=request.method,
            query=guards.without_keys(request.query),
            headers=self._kept(request),
            body=request.body,
            identity=None if self.identity is None else self.identity(request),
            identity_window_ms=self.window_ms,
            traceparent=_traceparent(request.fields.get(b"traceparent")),
        )

    def _kept(self, request: Request) -> Headers:
        """The kept headers; the content type names what the body is by now, whatever the sender called it."""
        kept = self.keep(request.headers)
        named = request.fields.get(b"content-type")
        if named == b"application/json" or request.kind != "json" or read_as_json(media_of(named)):
            return kept
        return (
            *((name, value) for name, value in kept if name != "content-type"),
            ("content-type", "application/json"),
        )

    def accepted(self, event: str, *, duplicate: bool) -> Answer:
        """What is told to a sender whose event is committed."""
        return self.answer or accepted(event, duplicate=duplicate)


class Keeper:
    """Which headers are kept: all but credentials, bounded in number and size."""

    def __init__(self, dropped: Collection[str] = ()) -> None:
        self._names = _Names(NEVER_KEPT | {name.lower() for name in dropped})

    def __call__(self, headers: RawHeaders) -> Headers:
        names = self._names
        kept = [
            (text, value.decode("latin-1"))
            for name, value in headers[:HEADERS_AT_MOST]
            if (text := names[name]) and len(value) <= HEADER_BYTES
        ]
        return tuple(kept)


class _Names(dict[bytes, str]):
    """Header names as text, empty for those that are not kept. Senders use few names: each is decoded once."""

    def __init__(self, never: Collection[str]) -> None:
        super().__init__()
        self._never = never

    def __missing__(self, name: bytes) -> str:
        text = name.decode("latin-1").lower()
        text = "" if text in self._never else text
        if len(self) < _NAMES_CACHED:
            self[name] = text
        return text


def _topic(value: bytes) -> str:
    try:
        topic = value.decode()
    except UnicodeDecodeError:
        raise Rejected(Cause.TOPIC_INVALID) from None
    if len(value) > TOPIC_BYTES or not topic.isprintable():
        raise Rejected(Cause.TOPIC_INVALID)
    return topic


_TRACEPARENT_LENGTH = 55


def _traceparent(value: bytes | None) -> str | None:
    """A W3C trace context of version 00, or None."""
    if value is None or len(value) != _TRACEPARENT_LENGTH or value[:3] != b"00-" or not value.isascii():
        return None
    parts = value.split(b"-")
    if [len(part) for part in parts] != [2, 32, 16, 2]:
        return None
    hexadecimal = all(byte in b"0123456789abcdef" for part in parts for byte in part)
    return value.decode() if hexadecimal and any(parts[1].strip(b"0")) and any(parts[2].strip(b"0")) else None


# --- from configuration ----------------------------------------------------------------------------------------------


def compile_door(name: str, source: Source, preset: Preset, config: Config, clients: Clients, keys: Keys) -> Door:
    """The door of one source. Raises ValueError for a configuration that `problems` would name."""
    methods = frozenset(source.allow.methods or preset.methods)
    handshakes = _handshakes(source, preset, methods)
    windows = (source.identity_window, preset.window, config.journal.identities)
    window_s = next(window for window in windows if window is not None)
    scheme = scheme_of(source, preset)
    asides = tuple(NoEvent(aside) for aside in preset.asides)
    respond = source.respond if source.respond is not None else preset.answers.body
    return Door(
        source=name,
        methods=methods,
        allow=", ".join(sorted({*methods, *handshakes})),
        guards=_guards(source, preset, clients),
        handshakes=handshakes,
        limit_bytes=config.receiver.body_limit if source.body_limit is None else source.body_limit,
        unsigned_asides=tuple(aside for aside in asides if not aside.signed),
        verify=None if scheme is None else scheme.verifier(source, keys),
        content=tuple(preset.content),
        asides=tuple(aside for aside in asides if aside.signed),
        open=compile_open(preset),
        topic=compile_first(preset.topic if source.topic is None else [source.topic]),
        identity=compile_identity(name, preset.identity if source.identity is None else [source.identity]),
        window_ms=int(window_s * 1000),
        keep=Keeper(preset.drop_headers),
        answer=None if respond is None else answer(200, respond.encode(), preset.answers.content_type),
        clients=clients,
    )


def _handshakes(source: Source, preset: Preset, methods: Collection[str]) -> dict[str, Callable[[Request], Answer]]:
    """What is answered to other methods than those of events."""
    made: dict[str, Callable[[Request], Answer]] = {}
    if preset.challenge is not None:
        secrets = [secret.reveal() for secret in (*source.secrets, *source.api_key)]
        made["GET"] = compile_challenge(preset.challenge, secrets)
    if preset.origins is not None:
        made["OPTIONS"] = compile_permission(preset.origins, ", ".join(sorted(methods)))
    return made


def scheme_of(source: Source, preset: Preset) -> AnyScheme | None:
    """The scheme a source's requests are signed with: its own, or its preset's. None where it signs nothing."""
    if source.verify is not None:
        return _own_scheme(source.verify)
    if preset.verify is None or (preset.signature != "required" and not source.secrets):
        return None
    return preset.verify


def _own_scheme(verify: HmacScheme) -> Hmac:
    return Hmac.model_construct(**dict(verify))


def _networks(source: Source, preset: Preset) -> list[str] | None:
    """Where requests must come from; None: from anywhere."""
    if source.allow.ips == "published":
        return preset.published or []
    return source.allow.ips if source.allow.ips is not None else preset.ips


def _guards(source: Source, preset: Preset, clients: Clients) -> tuple[Guard, ...]:
    """In the order of checks: address, headers, API key, credentials."""
    made: list[Guard] = []
    networks = _networks(source, preset)
    if networks is not None:
        made.append(guards.addresses(networks, clients))
    if wanted := {**preset.headers, **source.allow.headers}:
        made.append(guards.required_headers(wanted))
    if source.api_key:
        made.append(guards.api_key([key.reveal() for key in source.api_key]))
    if source.basic is not None:
        made.append(guards.basic(source.basic.user, source.basic.password.reveal()))
    if source.bearer is not None:
        made.append(guards.bearer(source.bearer.reveal()))
    return tuple(made)


def problems(config: Config) -> Iterator[Problem]:
    """What is wrong with sources and presets that the models alone cannot tell. For the configuration's checks."""
    broken = set()
    for path, cause in own_faults(config.presets):
        broken.add(path[0])
        yield Problem(("presets", *path), cause)
    presets = Presets(
        {name: Preset.model_validate(data) for name, data in config.presets.items() if name not in broken}
    )
    for name, source in config.sources.items():
        if (preset := presets.get(source.preset)) is not None:
            yield from (Problem(("sources", name, *path), cause, hint) for path, cause, hint in _faults(source, preset))


def _faults(source: Source, preset: Preset) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    scheme = scheme_of(source, preset)
    if scheme is not None:
        missing = [(("preset",), fault, "") for fault in scheme.faults(source)]
        yield from missing
        if not missing and (fault := _fault_of(scheme.verifier, source, Keys(SystemClock()))):
            yield ("secrets",), fault, ""
    elif source.secrets:
        yield ("secrets",), f"{preset.title} signs nothing: secrets would prove nothing", ""
    elif preset.signature != "open" and not preset.needs and not _authenticates(source):
        yield ("secrets",), "nothing proves who sends", "name secrets, or an api_key, basic or bearer in their place"
    if preset.needs and not any(getattr(source, key) for key in preset.needs):
        yield ("preset",), f"{' or '.join(preset.needs)} is needed: {preset.title} proves itself in no other way", ""
    if source.allow.ips == "published" and preset.published is None:
        yield ("allow", "ips"), f"no addresses of {preset.title} are shipped", "name the networks, or leave `ips` out"
    if source.topic is not None and (fault := _fault_of(compile_part, source.topic)):
        yield ("topic",), fault, ""
    for place, part in enumerate(source.identity or ()):
        if fault := _fault_of(compile_part, part):
            yield ("identity", place), fault, ""


def _authenticates(source: Source) -> bool:
    """Whether the sender has to know something that others do not."""
    return bool(source.api_key or source.basic or source.bearer or source.allow.headers)


def _fault_of(attempt: Callable[..., object], *given: object) -> str:
    """What the attempt says against what it was given; empty when nothing."""
    try:
        attempt(*given)
    except ValueError as error:
        return str(error)
    return ""
