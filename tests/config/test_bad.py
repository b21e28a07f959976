"""Bad configurations are files named after their fault; the faults they have stand in their first lines."""

from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.errors import ConfigurationError
from tests.config.registry import ENV, REGISTRY

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
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
