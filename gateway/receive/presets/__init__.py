"""What the gateway knows of each platform, as data: one YAML file here, or a section of the configuration.

A preset names how requests are signed, where topic and identity stand, what is answered, what is no event, and which
mapping makes the normal form. Adding a platform is a file here, its cases and a line in the docs.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError
from ruamel.yaml import YAML

from gateway.config.schema import Network, Section, Texts
from gateway.config.values import Seconds
from gateway.errors import ConfigurationError, Fault
from gateway.receive.parts import compile_part
from gateway.receive.verify import AnyScheme


def _part(spec: str) -> str:
    compile_part(spec)
    return spec


PartText = Annotated[str, AfterValidator(_part)]
Conditions = dict[PartText, Texts | None]
"""Parts to globs, any of which may match; `null`: the part is absent. All must hold."""


class Answer(Section):
    """What a sender is told."""

    body: str | None = Field(
        None, description="The body; without one the JSON with the event's id.", examples=["[accepted]"]
    )
    content_type: str = Field("application/json", description="Its type.")


class Challenge(Section):
    """A GET by which a platform proves that the URL is ours: one query parameter comes back as the answer."""

    query: str = Field(description="The parameter that is echoed.", examples=["hub.challenge"])
    when: Conditions = Field({}, description="What must hold as well.", examples=[{"query:hub.mode": "subscribe"}])
    token: str | None = Field(
        None, description="The parameter that must carry one of the source's secrets.", examples=["hub.verify_token"]
    )


class Aside(Section):
    """A request that is answered 200 and is no event: a ping, a handshake, an error page that was sent by mistake."""

    when: Conditions = Field(description="How it is known.", examples=[{"header:X-Event-Type": "ping"}])
    signed: bool = Field(True, description="Whether it must be signed as events are.")
    keep: bool = Field(False, description="Whether it is kept among the rejected.")
    detail: str = Field("", description="What is said of it there.")
    answer: Answer = Field(Answer(body=""), description="What is answered; its body may be a template of parts.")
    visit: PartText | None = Field(
        None, description="A URL in it that has to be called to confirm a subscription.", examples=["json:SubscribeURL"]
    )
    visit_hosts: list[str] = Field([], description="Host globs that may be called.", examples=[["sns.*.amazonaws.com"]])


class Unwrap(Section):
    """An envelope around the event: what a queue or a bridge puts around it."""

    when: Conditions = Field({}, description="How the envelope is known.", examples=[{"json:Type": "Notification"}])
    take: str = Field("", description="Where in it the event stands (a JSON path); empty: the envelope is the event.")
    encoding: Literal["json", "text", "base64", "jwt"] = Field(
        "json", description="How it stands there: JSON, JSON in a text, base64 of JSON, or a JWT's claims."
    )


class Preset(Section):
    """A platform."""

    title: str = Field(description="The platform's name, as people write it.", examples=["House shop"])
    docs: str = Field("", description="Where the platform describes its webhooks.")
    notes: str = Field("", description="What an operator should know.")
    methods: list[Literal["POST", "PUT"]] = Field(["POST"], description="Methods taken, unless the source says.")
    verify: AnyScheme | None = Field(None, description="How requests are signed.")
    signature: Literal["required", "optional", "open"] = Field(
        "required",
        description="`optional`: an API key, Basic, Bearer or header may stand in for it; `open`: nothing has to.",
    )
    needs: list[Literal["api_key", "basic", "bearer"]] = Field(
        [], description="What a source must name, any of them: this platform proves itself in no other way."
    )
    ips: list[Network] | None = Field(
        None,
        description="Networks that requests must come from, unless the source names some.",
        examples=[["203.0.113.0/24"]],
    )
    published: list[Network] | None = Field(
        None,
        description="Networks the platform publishes and may change: for sources that say `ips: published`.",
        examples=[["203.0.113.0/24"]],
    )
    headers: dict[str, Texts] = Field(
        {}, description="Headers that each request must carry.", examples=[{"X-Shop": "*"}]
    )
    content: list[Literal["json", "form", "xml", "jwt"]] = Field(["json"], description="What bodies may be.")
    unwrap: list[Unwrap] = Field([], description="Envelopes, the outermost first.")
    each: str | None = Field(
        None,
        description="Where a list stands whose items are an event each; empty: the body itself is the list.",
        examples=["events"],
    )
    topic: Annotated[list[PartText], Field(min_length=1)] = Field(
        description="Where the topic stands; the first found.", examples=[["header:X-Topic", "json:type"]]
    )
    identity: list[list[PartText]] = Field(
        [],
        description="What makes two requests the same event; alternatives.",
        examples=[[["header:X-Event-Id"], ["json:id"]]],
    )
    window: Seconds | None = Field(None, description="How long a retry is recognised. Default: the journal's.")
    drop_headers: list[str] = Field(
        [], description="Headers that are not kept, beside those that carry credentials.", examples=[["X-Trace"]]
    )
    answers: Answer = Field(Answer(), description="What is answered to an accepted event.")
    challenge: Challenge | None = Field(None, description="The handshake by GET.")
    origins: list[str] | None = Field(
        None,
        description="Who may send (globs), where senders ask first, by OPTIONS with WebHook-Request-Origin.",
        examples=[["*.example.com"]],
    )
    asides: list[Aside] = Field([], description="Requests that are no events.")
    normalise: dict[str, str] = Field(
        {}, description="Topic globs to mappings; the first that matches.", examples=[{"order.*": "house-order"}]
    )


class Presets(Mapping[str, Preset]):
    """The shipped presets and the configuration's own, which may replace them. A file is read when it is asked for."""

    def __init__(self, own: Mapping[str, Preset]) -> None:
        self._own = own
        self._names = sorted({*own, *_files()})

    def __getitem__(self, name: str) -> Preset:
        return self._own[name] if name in self._own else _read(name)

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in _files()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def shipped() -> Mapping[str, Preset]:
    """The presets that come with the gateway, by name."""
    return Presets({})


@cache
def _files() -> Mapping[str, Traversable]:
    found = files(__name__).iterdir()
    return {entry.name.removesuffix(".yaml"): entry for entry in found if entry.name.endswith(".yaml")}


@cache
def _read(name: str) -> Preset:
    return Preset.model_validate(YAML(typ="safe", pure=True).load(_files()[name].read_text("utf-8")))


def load_presets(own: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Preset]:
    """The shipped presets and the configuration's own, which may replace them. Raises ConfigurationError."""
    faults = [
        Fault("", 0, 0, ".".join(str(step) for step in ("presets", *path)), cause) for path, cause in own_faults(own)
    ]
    if faults:
        raise ConfigurationError(faults)
    return Presets({name: Preset.model_validate(data) for name, data in own.items()})


def own_faults(own: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong in presets of the configuration: the path below `presets`, and why."""
    for name, data in own.items():
        try:
            Preset.model_validate(data)
        except ValidationError as error:
            yield from (((name, *found["loc"]), found["msg"]) for found in error.errors())
