"""The page on the sandbox says what is so: its test runs, its addresses and faults are those that there are."""

import re
from pathlib import Path
from typing import Any, get_args

from gateway.sandbox import faults
from gateway.sandbox.server import build

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text("utf-8")


async def test_the_pages_test_passes() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  the page's own words
    await names["test_orders_arrive_once"]()


def test_every_api_has_its_row() -> None:
    rows = re.findall(r"^\| [^|]+ \| `(/[^`]+)` \|", PAGE, re.MULTILINE)
    assert set(rows) == {simulator.hint for simulator in build().simulators.values()}


def test_every_fault_is_told_of() -> None:
    assert [kind for kind in get_args(faults.Kind) if f"`{kind}`" not in PAGE] == []


def test_every_rule_that_the_page_names_is_one() -> None:
    build().octolis.adjust({"account_points": 500})
