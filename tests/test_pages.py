"""The page that a newcomer reads first: short, and never behind the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
WORDS = 1000

NAMED = re.compile(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?|[a-z_]+\.py|tests/[a-z_/]+\.py)`")


def test_the_architecture_page_is_short() -> None:
    assert len(PAGE.read_text().split()) < WORDS


def test_every_place_that_the_architecture_page_names_is_there() -> None:
    names = set(NAMED.findall(PAGE.read_text()))

    assert len(names) > 25
    assert [name for name in names if not ((ROOT / name).exists() or (ROOT / "gateway" / name).exists())] == []


def test_every_room_is_on_the_architecture_page() -> None:
    text = PAGE.read_text()
    rooms = [path.name for path in (ROOT / "gateway").iterdir() if path.is_dir() and (path / "__init__.py").exists()]

    assert [room for room in rooms if f"`{room}/" not in text] == []
