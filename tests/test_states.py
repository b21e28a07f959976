"""What an event can be on a lane: the table, the picture made from it, and what several parts come to."""

import os
import re
from pathlib import Path

import pytest

from gateway.model import MOVES, SETTLED, State, diagram, state_of_parts

PAGE = Path(__file__).parents[1] / "docs" / "states.md"
GLOSSARY = PAGE.with_name("glossary.md")
BEGIN, END = "<!-- states -->", "<!-- /states -->"


def test_the_picture_on_the_page_is_the_table_in_the_code() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    wanted = f"{before}{BEGIN}\n```mermaid\n{diagram()}\n```\n{END}{rest.partition(END)[2]}"

    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted, "UPDATE_DOCS=1 python -m pytest tests/test_states.py"


def test_the_picture_has_every_state_and_every_move() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+): (.+)$", diagram(), re.MULTILINE))

    assert drawn == {(state, after, why) for state, moves in MOVES.items() for after, why in moves.items()}
    assert {name for move in drawn for name in move[:2]} == set(State)


def test_every_state_can_be_reached_and_none_leads_back_to_waiting() -> None:
    reached = {after for moves in MOVES.values() for after in moves}

    assert set(MOVES) == set(State)
    assert reached == set(SETTLED)


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ((), State.FILTERED),
        ((State.DELIVERED, State.PARKED, State.DEAD), State.PARKED),
        ((State.DELIVERED, State.DEAD), State.DEAD),
        ((State.SUPERSEDED, State.DELIVERED), State.DELIVERED),
        ((State.SUPERSEDED, State.DISCARDED), State.SUPERSEDED),
        ((State.FILTERED, State.DISCARDED), State.DISCARDED),
    ],
)
def test_an_event_is_what_the_worst_of_its_parts_is(parts: tuple[State, ...], whole: State) -> None:
    assert state_of_parts(parts) == whole


def test_the_glossary_has_every_state_and_is_in_order() -> None:
    words = re.findall(r"^\| ([a-z, -]+) \| [A-Z]", GLOSSARY.read_text(), re.MULTILINE)

    assert set(State) <= {one for word in words for one in word.split(", ")}
    assert words == sorted(words)
    assert len(words) == GLOSSARY.read_text().count("\n| ") - 1, "a word and its meaning stand on each line"
