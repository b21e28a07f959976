"""The example configurations: sound, without a warning, and tried with payloads by the cases beside them."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from gateway import app
from gateway.cli import cases
from gateway.cli.comparing import differences
from gateway.cli.options import StandIn
from gateway.trial.way import Guide

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLES = sorted((CONFIG / "examples").glob("*.yaml"))
VALIDATOR = Draft202012Validator(json.loads((CONFIG / "gateway.schema.json").read_text()))
ENV = StandIn({})

each_example = pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)


def test_there_is_one_for_each_common_case() -> None:
    assert {
        *("two-shops-one-ometria", "one-shop-five-vendors", "consent", "splitting-an-order", "custom-fields"),
        *("another-currency", "home-made-source", "klaviyo", "segment", "slack", "looked-up"),
    } <= {file.stem for file in EXAMPLES}


@each_example
def test_an_example_has_no_faults_and_no_warnings(file: Path) -> None:
    assert app.load_config(file, ENV).warnings == ()


@each_example
def test_an_example_passes_the_schema_that_it_names(file: Path) -> None:
    assert file.read_text().startswith("# yaml-language-server: $schema=../gateway.schema.json\n")
    document = YAML(typ="safe", pure=True).load(file)
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@each_example
def test_an_example_says_in_its_first_lines_what_it_shows(file: Path) -> None:
    third = file.read_text().splitlines()[2]
    assert third.startswith("# ")
    assert len(third) > 20


@each_example
def test_an_example_is_tried_by_cases_of_its_own(file: Path) -> None:
    guide = Guide(app.load_config(file, ENV))
    found = cases.read(cases.beside(file))
    assert cases.beside(file).name == file.name
    assert len(found) >= 2
    wrong = {one.case.name: differences(one.case.expect, cases.run(guide, one)) for one in found}
    assert {name: those for name, those in wrong.items() if those} == {}


@each_example
def test_every_destination_of_an_example_is_sent_something_by_its_cases(file: Path) -> None:
    loaded = app.load_config(file, ENV)
    guide = Guide(loaded)
    ways = [cases.run(guide, one) for one in cases.read(cases.beside(file))]
    assert {name for way in ways for name, _ in way.records} == set(loaded.targets)


def test_the_shipped_configuration_is_tried_too() -> None:
    guide = Guide(app.load_config(CONFIG, ENV))
    found = cases.read(cases.beside(CONFIG))
    assert len(found) >= 2
    assert [differences(one.case.expect, cases.run(guide, one)) for one in found] == [[]] * len(found)
