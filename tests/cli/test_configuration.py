"""`gateway check`, `gateway schema`, and how every command meets a configuration that cannot be loaded."""

import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from gateway import app
from gateway.cli import COMMANDS
from gateway.config import schema
from tests.cli.conftest import ENV, Run, answer

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "config"
CRM = 'vendor: ometria, api_key: "${CRM_KEY}"'
DESK = [["audit"], ["lanes", "list"], ["dead", "list", "--json"], ["events", "list"], ["backup", "x"]]


def test_check_is_content_with_a_sound_configuration(run: Run) -> None:
    result = run("check")
    assert result.exit_code == 0
    assert "no faults; 2 sources, 2 destinations, 3 routes" in result.stdout


def test_check_tells_file_line_column_path_cause_and_hint(run: Run, config: Path) -> None:
    config.write_text("receivr: {}\n")
    result = run("check")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{config}:1:1: receivr: unknown key `receivr` (did you mean `receiver`?)",
        "1 fault",
    ]


def test_check_as_json_lists_every_fault(run: Run, config: Path) -> None:
    config.write_text("log: {level: loud}\nroutes: [{to: nowhere}]\n")
    result = run("check", "--json")
    found = answer(result)
    assert result.exit_code == 1
    assert set(found) == {"ok", "faults", "warnings"}
    assert found["ok"] is False
    assert [set(fault) for fault in found["faults"]] == [{"file", "line", "column", "path", "cause", "hint"}] * 2
    assert [(fault["line"], fault["path"]) for fault in found["faults"]] == [(1, "log.level"), (2, "routes[0].to")]


def test_check_as_json_shows_warnings_beside_no_faults(run: Run, config: Path) -> None:
    config.write_text("destinations: {bin: {vendor: http, url: 'https://example.com'}}\n")
    found = answer(run("check", "--json"))
    assert (found["ok"], found["faults"]) == (True, [])
    assert "no route leads here" in [warning["cause"] for warning in found["warnings"]]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (('when: "data.total > `1000`"', 'when: "data.total > "'), "routes[1].when: "),
        (('secrets: "${UK_SHOP_SECRET}"', "country: GB"), "sources.uk-shop.preset: "),
        (
            ("routes:", "presets: {mine: {titel: Mine}}\nroutes:"),
            "presets.mine.titel: unknown key `titel` (did you mean",
        ),
        (("routes:", "mappings: {m: {entity: order, fields: {id: 'a..b'}}}\nroutes:"), "mappings.m.fields.id: "),
        (
            (
                "  bin:",
                f"  two: {{{CRM}, collection: x, limits: [{{allow: 1, per: 1s}}]}}\n  bin:",
            ),
            "destinations.two.limits: other limits than `crm`",
        ),
    ],
    ids=["condition", "no-secret", "preset", "mapping", "limits"],
)
def test_check_asks_every_room(run: Run, config: Path, change: tuple[str, str], fault: str) -> None:
    text = config.read_text()
    assert change[0] in text
    config.write_text(text.replace(*change))
    result = run("check")
    assert result.exit_code == 1
    assert fault in result.stderr


def test_a_missing_configuration_is_a_sentence(run: Run) -> None:
    result = run("check", "--config", "/nonexistent/config")
    assert result.exit_code == 1
    assert result.stderr.startswith("/nonexistent/config:1:1: (top level): there is no such file or folder")
    assert "`gateway init` writes" in result.stderr


def test_a_condition_that_does_not_parse_has_a_caret_under_the_place(run: Run, config: Path) -> None:
    config.write_text(config.read_text().replace("data.total > `1000`", "data.total >> `1000`"))
    lines = run("check").stderr.splitlines()
    assert "routes[1].when: column 13: " in lines[0]
    assert lines[1:3] == ["    data.total >> `1000`", " " * 16 + "^"]


@pytest.mark.parametrize("words", DESK)
def test_other_commands_print_the_faults_and_are_wrongly_used(run: Run, config: Path, words: list[str]) -> None:
    config.write_text("receivr: {}\n")
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "unknown key `receivr`" in result.stderr


def test_no_command_shows_a_secret_that_the_environment_holds(run: Run, config: Path) -> None:
    config.write_text(config.read_text().replace("preset: shopify", "preset: ${UK_SHOP_SECRET}, country: ${CRM_KEY}"))
    result = run("check")
    assert result.exit_code == 1
    assert not [secret for secret in ENV.values() if secret in result.output]


def test_every_command_explains_itself(run: Run) -> None:
    for name in COMMANDS:
        assert run(name, "--help").exit_code == 0
    assert "audit" in run("--help").stdout
    assert run("--version").stdout.startswith("gateway, version ")


def test_an_unknown_command_is_wrong_use(run: Run) -> None:
    result = run("audti")
    assert result.exit_code == 2
    assert "No such command" in result.stderr


# --- what is shipped -------------------------------------------------------------------------------------------------


def test_the_schema_is_printed_and_is_the_one_beside_the_configuration(run: Run) -> None:
    """After a change: `gateway schema > config/gateway.schema.json`."""
    printed = run("schema").stdout
    assert json.loads(printed)["$defs"]["Destination"]["properties"]["vendor"]["enum"]
    assert (SHIPPED / "gateway.schema.json").read_text() == printed


def test_the_shipped_configuration_has_no_faults_and_no_warnings() -> None:
    loaded = app.load_config(SHIPPED, {**ENV, "OMETRIA_KEY": "kiln-44", "GATEWAY_ADMIN_TOKEN": "fern-3"})
    assert loaded.warnings == ()


def test_the_shipped_configuration_explains_every_key_of_its_sections() -> None:
    text = (SHIPPED / "gateway.yaml").read_text()
    sections = (schema.Journal, schema.Receiver, schema.Admin, schema.Log, schema.Allow, schema.DestinationSettings)
    missing = [key for model in sections for key in model.model_fields if f"{key}:" not in text]
    assert missing == []


def test_the_environment_is_read_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ENV, "OMETRIA_KEY": "kiln-44", "GATEWAY_ADMIN_TOKEN": "fern-3"}.items():
        monkeypatch.setenv(name, value)
    assert app.load_config(SHIPPED).config.sources["erp"].api_key[0].reveal() == os.environ["ERP_KEY"]


def test_the_shipped_configuration_passes_the_shipped_schema() -> None:
    document = YAML(typ="safe", pure=True).load(SHIPPED / "gateway.yaml")
    validator = Draft202012Validator(json.loads((SHIPPED / "gateway.schema.json").read_text()))
    assert [error.message for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize("vendor", sorted(app.registry().vendors))
def test_every_key_of_a_vendor_is_described_and_what_names_a_credential_is_secret(vendor: str) -> None:
    fields = app.registry().vendors[vendor].model_fields
    assert [name for name, field in fields.items() if not field.description] == []
    credentials = [name for name in fields if name.split("_")[-1] in {"key", "token", "secret", "password"}]
    shown = [name for name in credentials if "Secret" not in str(fields[name].annotation)]
    assert [name for name in shown if name not in NOT_CREDENTIALS] == []


NOT_CREDENTIALS = {"domain_key", "location_key"}
"""Names of tenants, as Ometria calls them."""
