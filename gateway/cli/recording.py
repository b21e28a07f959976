"""A case from a stored event: its payload with personal data replaced, and what becomes of that under the configuration
in force.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import click
from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from gateway import document
from gateway.cli import cases, comparing, show
from gateway.cli.anonymous import Anonymous
from gateway.cli.desk import ask
from gateway.config.load import Loaded
from gateway.config.places import Place
from gateway.mapping.normalise import pair_table
from gateway.model import Event, seq_of
from gateway.trial.way import Guide, Way

_FORM = "application/x-www-form-urlencoded"
_UNKEPT = re.compile(r"hmac|signature|-sig|authori|cookie|forwarded|real-ip|trace|user-agent|length|^host$|^via$")
"""Headers that say nothing to a mapping, or were made of the real body."""
_HEAD = """\
# Recorded from {id}. Personal data is replaced, as names of fields and forms of values tell it; ids
# are kept. Look it over before you keep it: what a shop writes into a field of its own making cannot be known.
"""


def record(loaded: Loaded, config: Path, event_id: str, into: Path | None) -> str:
    """Write the case, and say where."""
    event = _stored(loaded, event_id)
    case = _case(event)
    way = cases.run(Guide(loaded), cases.Found(Place("", 1, 1), cases.Case.model_validate({**case, "expect": {}})))
    path = _path(config, event, into)
    _write(path, event, {**case, "expect": _expected(way)})
    return f"{path}: {show.clean(str(case['name']))}"


def _stored(loaded: Loaded, event_id: str) -> Event:
    seq = seq_of(event_id)
    event = None if seq is None else ask(loaded, lambda journal: journal.event(seq))
    if event is None or event.id != event_id:
        raise click.BadParameter(f"there is no event {show.clean(event_id)!r}", param_hint="--record")
    return event


def _case(event: Event) -> dict[str, Any]:
    hidden = Anonymous()
    payload = hidden.document(_payload(event))
    headers = hidden.document({name: value for name, value in event.headers if not _UNKEPT.search(name)})
    case: dict[str, Any] = {
        "name": f"{event.topic} of {event.source}, as recorded",
        "source": event.source,
        "topic": event.topic,
        "derived": event.derived_from is not None or "",
        "received_at": _instant(event.received_at_ms),
        "headers": headers,
        "query": hidden.text(event.query),
        "payload": _written(payload, event),
    }
    return {name: value for name, value in case.items() if value not in ("", {})}


def _payload(event: Event) -> Any:
    if not event.body.strip():
        return ""
    try:
        if _content_type(event) == _FORM:
            return pair_table(parse_qsl(event.body.decode(), keep_blank_values=True))
        return document.parse(event.body)
    except (document.Unreadable, UnicodeDecodeError):
        cause = "its body is neither JSON nor a form: personal data in it cannot be found"
        raise click.BadParameter(cause, param_hint="--record") from None


def _written(payload: Any, event: Event) -> Any:
    """A form goes back into a text; a JSON text would be read as the body itself, so it is written as JSON."""
    if _content_type(event) == _FORM and isinstance(payload, dict):
        return urlencode(payload, doseq=True)
    return document.dump(payload).decode() if isinstance(payload, str) and payload else payload


def _content_type(event: Event) -> str:
    return (
        next((value for name, value in event.headers if name == "content-type"), "").partition(";")[0].strip().lower()
    )


def _instant(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()[:19] + "Z"


def _expected(way: Way) -> dict[str, Any]:
    """What becomes of it now, as what must become of it."""
    expected: dict[str, Any] = {"outcome": way.outcome}
    keys = ("type", "subject", "data")
    events = [{key: one[key] for key in keys if key in one} for one in (normal.document() for normal in way.normals)]
    if len(events) == 1:
        expected["event"] = events[0]
    elif events:
        expected["events"] = events
    if records := comparing.records_of(way):
        expected["records"] = records
    if dead := comparing.deaths_of(way):
        expected["dead"] = dead
    return expected


def _path(config: Path, event: Event, into: Path | None) -> Path:
    if into is not None and into.suffix == ".yaml":
        return into
    folder = into or (config if config.is_dir() else config.parent) / cases.FOLDER
    topic = re.sub(r"[^a-z0-9]+", "-", event.topic.lower()).strip("-") or "event"
    return folder / f"{event.source}-{topic}-{event.seq}.yaml"


def _write(path: Path, event: Event, case: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", encoding="utf-8") as file:
        file.write(_HEAD.format(id=event.id) if is_new else "\n")
        _yaml().dump([case], file)


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # the library declares it None
    yaml.width = 120
    yaml.representer.add_representer(Decimal, _decimal)
    return yaml


def _decimal(representer: SafeRepresenter, value: Decimal) -> ScalarNode:
    """An amount with the digits that it has."""
    return representer.represent_scalar("tag:yaml.org,2002:float", f"{value:f}")
