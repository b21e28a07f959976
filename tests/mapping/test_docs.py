"""The page on mappings tells the truth, and nothing is missing from it."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway import document
from gateway.mapping.blocks import KEYS, MAPPING_KEYS
from gateway.mapping.book import Book
from gateway.mapping.functions import FUNCTIONS, reference
from gateway.mapping.types import NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text("utf-8")
FENCED = r"```(?:yaml|json)\n(.*?)```\n"
EXAMPLES = re.findall(r"<!-- example -->\n" + FENCED * 3, PAGE, re.DOTALL)
CONFIGURATIONS = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if text.startswith("mappings:")]


def section(title: str) -> str:
    """What stands under a heading."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def rows(title: str) -> list[str]:
    """The first cells of a section's tables."""
    return re.findall(r"^\| `(\w+)` \|", section(title), re.MULTILINE)


def from_yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize(("mapping", "source", "expected"), EXAMPLES)
def test_an_example_makes_what_the_page_says(mapping: str, source: str, expected: str) -> None:
    book = Book({"example": from_yaml(mapping)})
    assert list(book.problems()) == []
    made = book.get("example").apply(document.parse(source.encode()))
    assert document.dump(made) == document.dump(document.parse(expected.encode()))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == PAGE.count("<!-- example -->") >= 6


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_mappings_shown_without_a_document_are_without_fault(text: str) -> None:
    assert list(Book(from_yaml(text)["mappings"]).problems()) == []


def test_every_key_and_every_type_is_on_the_page() -> None:
    assert sorted(rows("A field")) == sorted(KEYS)
    assert sorted(rows("A mapping")) == sorted(MAPPING_KEYS)
    assert sorted(rows("Types")) == sorted(NAMES)


def test_the_table_of_functions_is_made_of_their_docstrings() -> None:
    """To renew it: put what `gateway.mapping.functions.reference()` gives between the marks."""
    found = re.search(r"<!-- functions -->\n(.*?)<!-- /functions -->", PAGE, re.DOTALL)
    assert found
    assert found[1] == reference()
    assert all(f"`{function.signature}`" in reference() for function in FUNCTIONS.values())
