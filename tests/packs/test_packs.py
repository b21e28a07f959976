"""Every shipped pack against its cases, the schemas of the normal entities, and payloads with anything stripped."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from gateway.config.schema import Source
from gateway.errors import MappingError
from gateway.mapping.book import shipped_names
from gateway.mapping.normalise import Normaliser
from gateway.model import NormalEvent
from gateway.receive.presets import shipped
from tests.packs.case import BOOK, CASES, Case, plain, records

NORMAL = {entry.name: json.loads(entry.read_text()) for entry in (files("gateway.mapping") / "normal").iterdir()}
SCHEMAS: Registry[Any] = Registry().with_resources(
    [(name, Resource.from_contents(schema)) for name, schema in NORMAL.items()]
)
VENDORS = ("ometria", "altcraft", "octolis", "amperity")

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def assert_has(expected: Any, actual: Any, path: str = "") -> None:
    """Every part of what is expected is there; lists have as many elements."""
    if isinstance(expected, dict):
        assert isinstance(actual, dict), path
        for name, value in expected.items():
            assert name in actual, f"{path}.{name} is missing"
            assert_has(value, actual[name], f"{path}.{name}")
    elif isinstance(expected, list):
        assert isinstance(actual, list), path
        assert len(expected) == len(actual), path
        for place, value in enumerate(expected):
            assert_has(value, actual[place], f"{path}[{place}]")
    else:
        assert expected == actual, path


def assert_lacks(paths: tuple[str, ...], actual: Any) -> None:
    for path in paths:
        *above, last = path.split(".")
        found = actual
        for name in above:
            found = found.get(name, {})
        assert last not in found, path


@each_case
def test_a_payload_becomes_the_normal_event_that_its_case_says(case: Case) -> None:
    events = case.normals()

    assert case.events == len(events)
    if case.events == 0:
        return
    event = events[0]
    assert case.type in {None, event.type}
    assert case.subject in {None, event.subject}
    assert case.time in {None, event.time}
    if case.normal is not None:
        assert case.normal == plain(event.data if case.events == 1 else [each.data for each in events])
    assert_has(case.has or {}, plain(event.data))
    assert_lacks(case.lacks, plain(event.data))


@each_case
def test_a_normal_event_becomes_the_record_that_its_case_says(case: Case) -> None:
    for event in case.normals()[:1]:
        for mapping, expected in case.records.items():
            assert ([] if expected is None else [expected]) == records(mapping, event)
        for mapping, expected in case.record_has.items():
            assert_has(expected, records(mapping, event)[0])
        for mapping, paths in case.record_lacks.items():
            assert_lacks(paths, records(mapping, event)[0])


@each_case
def test_what_a_pack_makes_is_what_the_schema_of_its_entity_says(case: Case) -> None:
    for event in case.normals():
        assert faults(event.entity, event.data) == []


VALIDATORS = {
    name.removesuffix(".json"): Draft202012Validator(schema, registry=SCHEMAS) for name, schema in NORMAL.items()
}


def faults(entity: str | None, data: Any) -> list[str]:
    """What a schema has against an entity; nothing where the entity has none."""
    validator = VALIDATORS.get(entity or "")
    if validator is None:
        return []
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(plain(data))]


def paths(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where everything in a payload stands, the deepest last."""
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in inner:
        yield (*above, key)
        yield from paths(member, (*above, key))


def stripped(value: Any, gone: dict[tuple[str | int, ...], bool], above: tuple[str | int, ...] = ()) -> Any:
    """A payload without what is at these paths (False), or with null there (True)."""
    if isinstance(value, dict):
        kept = {name: member for name, member in value.items() if gone.get((*above, name)) is not False}
        return {
            name: None if (*above, name) in gone else stripped(member, gone, (*above, name))
            for name, member in kept.items()
        }
    if isinstance(value, list):
        return [
            None if (*above, place) in gone else stripped(m, gone, (*above, place)) for place, m in enumerate(value)
        ]
    return value


@each_case
@settings(max_examples=5, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_whatever_is_stripped_from_a_payload_nothing_but_a_missing_id_stops_it(case: Case, data: st.DataObject) -> None:
    body = json.loads(case.body) if isinstance(case.body, str) and case.body.startswith("{") else case.body
    everything = list(paths(body))
    gone = data.draw(st.dictionaries(st.sampled_from(everything), st.booleans(), max_size=20)) if everything else {}

    for event in unless_the_id_is_missing(case, stripped(body, gone)):
        assert faults(event.entity, event.data) == []
        for vendor in VENDORS:
            if f"{vendor}/{event.entity}" in shipped_names():
                records(f"{vendor}/{event.entity}", event)


def unless_the_id_is_missing(case: Case, body: Any) -> tuple[NormalEvent, ...]:
    """What a payload becomes; nothing where it has lost its id. Any other fault is the pack's."""
    try:
        return case.normals(body)
    except MappingError as error:
        if error.path != "id":
            raise
        return ()


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_mapping_compiles_and_has_a_case(name: str) -> None:
    mapping = BOOK.get(name)
    tried = {case.mapping for case in CASES}
    tried |= {tried_too for case in CASES for tried_too in (*case.records, *case.record_has, *case.record_lacks)}
    tried |= {f"ometria/{entity}" for entity in ("cart", "checkout", "fulfillment", "refund")}  # test_vendor_packs.py

    assert mapping.entity
    assert name in tried


@pytest.mark.parametrize("name", sorted(NORMAL))
def test_the_schemas_are_json_schema(name: str) -> None:
    Draft202012Validator.check_schema(NORMAL[name])
    assert name == NORMAL[name]["$id"]


@pytest.mark.parametrize(
    ("preset", "mapping"),
    sorted({(name, mapping) for name, p in shipped().items() for mapping in p.normalise.values()}),
)
def test_presets_name_mappings_that_are_shipped(preset: str, mapping: str) -> None:
    assert mapping in shipped_names(), preset


@pytest.mark.parametrize("case", [case for case in CASES if case.file in shipped()], ids=lambda case: case.id)
def test_the_preset_of_the_platform_leads_the_topic_to_the_pack(case: Case) -> None:
    normaliser = Normaliser("north-quay", Source(), shipped()[case.file].normalise, BOOK)

    assert normaliser.mapping(case.topic) is BOOK.get(case.mapping)
