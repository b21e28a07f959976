"""A source or a destination as `gateway init` drafts it: what its platform or vendor cannot do without, found by asking
the models themselves, so that a new vendor needs no line here.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from msgspec import Struct, field
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from gateway.checks.kinds import Kind, example
from gateway.checks.routes import takes
from gateway.config import wording
from gateway.config.places import dotted
from gateway.config.schema import Config, DestinationSettings, Source
from gateway.mapping import vocabulary
from gateway.receive import door
from gateway.receive.presets import shipped
from gateway.vendors.base import Vendor

_STANDS: Mapping[str, Any] = {
    "secrets": ["x"],
    "api_key": ["x"],
    "public_key": "x",
    "webhook_id": "x",
    "client_id": "x",
    "api_url": "https://example.com",
    "notification_url": "https://example.com",
}
"""Keys by which a source proves its requests, the usual first, and something that may stand there."""
_OUTSIDE = ("secrets", "api_key", "public_key", "webhook_id", "client_id")
"""Of them those that come from the environment."""


class Missing(Exception):  # noqa: N818  a question, not an error
    """Something has to be known first."""

    def __init__(self, key: str, info: FieldInfo) -> None:
        self.key = key
        self.meaning = info.description or ""
        self.example = info.examples[0] if info.examples else None
        super().__init__(key)


class Draft(Struct):
    """What is to stand under a name: values, notes beside them, the variables they need, the examples among them, and
    of a destination the events that it takes (none: all).
    """

    section: str
    name: str
    values: dict[str, Any]
    notes: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    events: tuple[str, ...] = ()

    def outside(self, key: str, meaning: str) -> str:
        """A variable of the environment that holds this key's value."""
        word = {"secrets": "secret", "api_key": "key"}.get(key, key)
        name = f"{self.name}_{word}".upper().replace("-", "_")
        self.variables[name] = meaning
        return f"${{{name}}}"


# --- sources ---------------------------------------------------------------------------------------------------------


def source(name: str, preset: str, told: Mapping[str, Any]) -> Draft:
    """A source of a platform. Raises Missing, and ValueError for what does not fit."""
    draft = Draft("sources", name, {"preset": preset})
    for key in _proofs(preset, told):
        info = Source.model_fields[key]
        if key in _OUTSIDE and key not in told:
            variable = draft.outside(key, f"{shipped()[preset].title}: {info.description}")
            draft.values[key] = [variable] if key == "secrets" else variable
        elif key not in told:
            raise Missing(key, info)
    if preset == "generic" and "topic" not in told:
        draft.values |= {"topic": "header:X-Event-Type", "identity": ["json:id"]}
        draft.notes = {"topic": "where the kind of an event stands", "identity": "what makes a retry the same event"}
    draft.values |= told
    _validated(Source, {"preset": preset, **told})
    return draft


def _proofs(preset: str, told: Mapping[str, Any]) -> tuple[str, ...]:
    """The fewest keys with which requests of a platform can be proved."""
    if shipped()[preset].signature == "open":
        return () if told.keys() & {"api_key", "basic", "bearer", "verify"} else ("api_key",)
    choices = [keys for size in range(4) for keys in combinations(_STANDS, size)]
    return next((keys for keys in choices if not _lacks(preset, {*keys, *(told.keys() & _STANDS.keys())})), ())


def _lacks(preset: str, keys: set[str]) -> bool:
    """Whether something is missing: a value of another form than the platform's is not."""
    known = Source.model_validate({"preset": preset, **{key: _STANDS[key] for key in keys}})
    found = door.problems(Config(sources={"it": known}))
    return any(one.path[2:] == ("preset",) or one.cause.startswith("nothing proves") for one in found)


# --- destinations ----------------------------------------------------------------------------------------------------


def destination(name: str, vendor: type[Vendor], told: Mapping[str, Any]) -> Draft:
    """A destination of a vendor. Raises Missing, and ValueError for what does not fit."""
    draft = Draft("destinations", name, {"vendor": vendor.name})
    for key in (*_required(vendor.Settings), *_needed(vendor, told)):
        info = vendor.Settings.model_fields[key]
        if key in told:
            continue
        if _is_secret(info):
            draft.values[key] = draft.outside(key, info.description or "")
        elif key in _required(vendor.Settings):
            raise Missing(key, info)
        else:
            draft.values[key] = info.examples[0] if info.examples else None
            draft.examples.append(key)
            draft.notes[key] = "an example: put in your own"
    draft.values |= told
    settings = _validated(vendor.Settings, _filled(draft.values))
    draft.events = tuple(_events(vendor(name, settings)))
    return draft


def _required(model: type[DestinationSettings]) -> list[str]:
    return [key for key, info in model.model_fields.items() if info.is_required() and key != "vendor"]


def _needed(vendor: type[Vendor], told: Mapping[str, Any]) -> tuple[str, ...]:
    """What a vendor cannot do without beyond what each of its keys says: the first that makes it sound."""
    model = vendor.Settings
    base: dict[str, Any] = {key: _stand_in(model.model_fields[key]) for key in _required(model)}
    base |= {**told, "vendor": vendor.name}
    own = [key for key in model.model_fields.keys() - DestinationSettings.model_fields.keys() if key not in base]
    ordered = [key for key in model.model_fields if key in own and _can_stand(model.model_fields[key])]
    for size in range(3):
        for keys in combinations(ordered, size):
            if _is_sound(model, base | {key: _stand_in(model.model_fields[key]) for key in keys}):
                return keys
    return ()


def _is_sound(model: type[DestinationSettings], values: Mapping[str, Any]) -> bool:
    try:
        model.model_validate(values)
    except ValidationError:
        return False
    return True


def _can_stand(info: FieldInfo) -> bool:
    return _is_secret(info) or bool(info.examples)


def _stand_in(info: FieldInfo) -> Any:
    return "x" if _is_secret(info) else info.examples[0] if info.examples else 1


def _is_secret(info: FieldInfo) -> bool:
    return "Secret" in str(info.annotation)


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with something in place of variables."""
    return {key: "x" if _is_variable(value) else value for key, value in values.items()}


def _is_variable(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("${")


def _validated(model: type[BaseModel], values: dict[str, Any]) -> Any:
    """The settings. Raises ValueError in a sentence."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = next(iter(wording.problems(error, model, values, {})))
        told = f"{dotted(first.path)}: {first.cause}" if first.path else first.cause
        raise ValueError(f"{told} ({first.hint})" if first.hint else told) from None


def _events(vendor: Vendor) -> Iterator[str]:
    """Globs of the entities that a destination takes; none where it takes all."""
    entities = vocabulary.entities()
    taken = [one for one in entities if takes(vendor, example("it", Kind("", one, None), f"{one}.created"), None)]
    if len(taken) < len(entities):
        yield from (f"{one}.*" for one in taken)
