"""What a table's columns hold, whatever numbers come."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vendors.checks import Columns

MOST, DIGITS = 2_147_483_647, 6


def is_held(number: Decimal, *, significant: bool) -> bool:
    """What Octolis says of a number, told digit by digit."""
    if not number.is_finite() or abs(number) > MOST:
        return False
    if number == number.to_integral_value():
        return True
    whole, _, fraction = f"{abs(number):f}".partition(".")
    fraction = fraction.rstrip("0")
    digits = f"{whole}{fraction}".lstrip("0") if significant else fraction
    return len(digits) <= DIGITS


@given(
    number=st.one_of(
        st.decimals(allow_nan=True, allow_infinity=True),
        st.decimals(min_value=-3_000_000_000, max_value=3_000_000_000, places=8),
        st.decimals(min_value=-3_000_000_000, max_value=3_000_000_000, places=2),
        st.decimals(min_value=-20, max_value=20, places=7),
        st.builds(lambda digits, exponent: Decimal((0, (digits,), exponent)), st.integers(0, 9), st.integers(-12, 12)),
    ),
    significant=st.booleans(),
)
def test_a_fraction_is_held_or_named(number: Decimal, *, significant: bool) -> None:
    cells, faults = Columns(MOST, DIGITS, significant).row({"total": number})
    assert cells["total"] is number
    assert (faults == []) == is_held(number, significant=significant)
    assert all(fault.startswith("total ") for fault in faults)


@pytest.mark.parametrize("number", [0, -MOST, MOST, True, None, 1.5, -0.25])
def test_plain_values_stay_as_they_are(number: Any) -> None:
    assert Columns(MOST, DIGITS, significant=False).row({"x": number}) == ({"x": number}, [])


@pytest.mark.parametrize("number", [MOST + 1, -MOST - 1, 2.5e9, float("inf"), Decimal("1E+12"), Decimal("sNaN")])
def test_what_is_beyond_a_column_is_to_go_as_a_text(number: Any) -> None:
    (fault,) = Columns(MOST, DIGITS, significant=False).row({"x": number})[1]
    assert fault == f"x is beyond ±{MOST}: send it as a text"


@pytest.mark.parametrize(
    ("told", "cell"),
    [
        ("2026-02-03T04:05:06Z", "2026-02-03 04:05:06"),
        ("2026-02-03T00:05:06.25+02:00", "2026-02-02 22:05:06"),
        ("0001-01-01T00:00:00+02:00", "0001-01-01T00:00:00+02:00"),
        ("2026-02-30T04:05:06Z", "2026-02-30T04:05:06Z"),
        ("2026-W05-1T04:05:06Z", "2026-W05-1T04:05:06Z"),
        ("2026-02-03T040506.5Z", "2026-02-03T040506.5Z"),
        ("2026-02-03T04:05:06", "2026-02-03T04:05:06"),
        ("To: T and thereafter", "To: T and thereafter"),
    ],
)
def test_a_time_is_quoted_in_utc_and_all_else_stays(told: str, cell: str) -> None:
    assert Columns(MOST, DIGITS, significant=False).row({"at": told}) == ({"at": cell}, [])
