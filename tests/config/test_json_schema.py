"""The JSON Schema says what the models say."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway import app
from gateway.config.load import json_schema
from tests.config.registry import REGISTRY

SCHEMA = json_schema(REGISTRY)
VALIDATOR = Draft202012Validator(SCHEMA)

GOOD = {
    "journal": {"keep": "30d", "max_size": "20GiB"},
    "receiver": {"listen": "0.0.0.0:8080", "body_limit": 1000, "group_limit": "${N}"},
    "log": {"level": "${LEVEL}"},
    "sources": {
        "uk-shop": {"preset": "shopify", "secrets": "${S}"},
        "erp": {"preset": "my-own", "identity": ["json:id"]},
    },
    "destinations": {"crm": {"vendor": "ometria", "api_key": "${K}", "collection": "uk", "timeout": "5s"}},
    "routes": [{"from": "uk-shop", "to": "crm"}, {"events": ["order.*"], "to": [{"destination": "crm", "map": "m"}]}],
}


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    json.dumps(SCHEMA)


def test_a_good_configuration_passes() -> None:
    assert [error.message for error in VALIDATOR.iter_errors(GOOD)] == []


@pytest.mark.parametrize(
    "change",
    [
        {"sourcs": {}},
        {"journal": {"keep": "30 days"}},
        {"log": {"level": "warn"}},
        {"sources": {"UK Shop": {}}},
        {"sources": {"uk-shop": {"secret": "x"}}},
        {"destinations": {"crm": {"api_key": "x"}}},
        {"destinations": {"crm": {"vendor": "omertia"}}},
        {"destinations": {"crm": {"vendor": "ometria", "api_key": "x"}}},
        {"destinations": {"crm": {"vendor": "http", "url": "https://example.com", "collection": "uk"}}},
        {"routes": [{"to": 5}]},
    ],
    ids=json.dumps,
)
def test_a_bad_configuration_does_not(change: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({**GOOD, **change})


def test_presets_and_vendors_are_completed() -> None:
    assert SCHEMA["$defs"]["Source"]["properties"]["preset"]["anyOf"][0]["enum"] == ["generic", "shopify"]
    assert SCHEMA["$defs"]["Destination"]["properties"]["vendor"]["enum"] == ["http", "ometria"]


def test_defaults_stand_as_the_file_writes_them() -> None:
    assert SCHEMA["$defs"]["Journal"]["properties"]["keep"]["default"] == "30d"
    assert SCHEMA["$defs"]["Receiver"]["properties"]["body_limit"]["default"] == "1MiB"


def keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, model in {"Config": schema, **schema["$defs"]}.items():
        for key, described in model.get("properties", {}).items():
            yield f"{name}.{key}", described


def test_every_key_is_described() -> None:
    described = {key for key, schema in keys(SCHEMA) if "description" in schema or "$ref" in schema}
    assert [key for key, _ in keys(SCHEMA) if key not in described and not key.endswith(".scheme")] == []


# --- the shipped one -------------------------------------------------------------------------------------------------

SHIPPED = json_schema(app.registry())
EXPLAINED = ("examples", "enum", "const", "default", "$ref")


def test_a_mapping_is_checked_as_it_is_written() -> None:
    valid = Draft202012Validator(SHIPPED).is_valid
    assert valid({"mappings": {"m": {"entity": "order", "fields": {"id": {"from": "body.id", "type": "string"}}}}})
    assert valid({"mappings": {"m": {"extends": "shopify/order", "drop": ["tax"]}}})
    assert not valid({"mappings": {"m": {"fields": {"id": {"form": "body.id"}}}}})
    assert not valid({"mappings": {"m": {"fields": {"id": {"from": "body.id", "type": "txt"}}}}})
    assert not valid({"mappings": {"m": {"field": {}}}})


def test_a_preset_of_ones_own_is_checked_as_it_is_written() -> None:
    valid = Draft202012Validator(SHIPPED).is_valid
    house = {"title": "House", "topic": ["header:X-Topic"], "verify": {"scheme": "hmac", "header": "X-Sig"}}
    assert valid({"presets": {"house": house}})
    assert not valid({"presets": {"house": {**house, "titel": "House"}}})
    assert not valid({"presets": {"house": {"title": "House"}}})


def test_every_key_that_is_shipped_is_described() -> None:
    assert [key for key, schema in keys(SHIPPED) if "description" not in schema and "$ref" not in schema] == []


def test_every_key_has_an_example_a_default_or_a_choice() -> None:
    def explained(schema: dict[str, Any]) -> bool:
        text = json.dumps(schema)
        return any(f'"{word}"' in text for word in EXPLAINED) or "boolean" in text

    texts = {"detail", "notes", "docs", "take", "description"}
    assert [key for key, schema in keys(SHIPPED) if not explained(schema) and key.split(".")[-1] not in texts] == []
