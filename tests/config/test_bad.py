"""Bad configurations are files named after their fault; the faults they have stand in their first lines.

What only the whole gateway can know (its vendors, presets, mappings) is in `bad/whole`.
"""

from pathlib import Path

import pytest

from gateway import app
from gateway.config.load import load
from gateway.errors import ConfigurationError
from tests.config.registry import ENV, REGISTRY

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
WHOLE = sorted((Path(__file__).parent / "bad" / "whole").glob("*.yaml"))
JARGON = (
    "pydantic",
    "Input should",
    "validation error",
    "type=",
    "NoneType",
    "dict",
    "ValueError",
    "str ",
    "BeforeValidator",
)


def expected(file: Path) -> list[str]:
    lines = file.read_bytes().decode("utf-8", "replace").split("\n")
    return [line.removeprefix("# ") for line in lines if line.startswith("# ")]


def found(file: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        load(file, REGISTRY, ENV)
    return [str(fault).removeprefix(f"{file}:") for fault in error.value.faults]


def test_there_are_many() -> None:
    assert len(BAD) >= 60


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_bad_configuration_has_the_faults_that_it_says(file: Path) -> None:
    assert found(file) == expected(file)


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_fault_is_told_in_plain_words(file: Path) -> None:
    assert not [word for word in JARGON for fault in found(file) if word in fault]


def written(file: Path) -> list[str]:
    """What the file says of itself: its first lines."""
    return [line.removeprefix("# ") for line in file.read_text().split("\n") if line.startswith("# ")]


def told(file: Path) -> list[str]:
    """Every fault and every warning of a configuration by everything that the gateway knows."""
    try:
        found = [("warning ", one) for one in app.load_config(file, {**ENV, "CRM_KEY": "kiln-44"}).warnings]
    except ConfigurationError as error:
        found = [("", one) for one in error.faults] + [("warning ", one) for one in error.warnings]
    return [f"{word}{str(one).removeprefix(f'{file}:')}" for word, one in found]


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.stem)
def test_a_configuration_that_is_bad_as_a_whole_is_told_so(file: Path) -> None:
    assert "\n".join(told(file)).split("\n") == written(file)
    assert not [word for word in JARGON for one in told(file) if word in one]
