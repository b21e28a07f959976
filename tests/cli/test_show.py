"""How answers look."""

import os
import pty
import re
import subprocess
import sys

from gateway.cli import show

TABLE = (
    "from gateway.cli import show; show.table(['name', 'count', 'more'], [['a b', 5, None], ['c', 12, True]], 'none')"
)


def on_a_terminal(program: str, columns: int) -> list[str]:
    """The lines that a Python program writes to a terminal of a width, without colours."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", program], stdout=theirs, env=environment, check=True)
    os.close(theirs)
    written = re.sub(r"\x1b\[[0-9;]*m", "", os.read(ours, 1 << 16).decode())
    os.close(ours)
    return [line.rstrip() for line in written.splitlines()]


def test_a_terminal_gets_a_table() -> None:
    assert on_a_terminal(TABLE, 80) == ["name  count  more", "a b       5  -", "c        12  yes"]


def test_a_narrow_terminal_is_spared_columns_that_hold_nothing() -> None:
    program = "from gateway.cli import show; show.table(['name', 'count', 'more'], [['a', 0, 'x y z']], 'none')"
    assert on_a_terminal(program, 16) == ["name  more", "a     x y z"]


def test_nothing_is_said_in_words() -> None:
    assert on_a_terminal("from gateway.cli import show; show.table(['name'], [], 'none yet')", 80) == ["none yet"]


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert show.clean("a\x1b[2Jb\nc\u202e") == "a�[2Jb�c�"
    assert (show.clean(None), show.clean(True), show.clean(7)) == ("-", "yes", "7")


def test_numbers_keep_their_digits() -> None:
    assert show.pretty({"id": 820982911946154508}) == '{\n  "id": 820982911946154508\n}'
