"""A value becomes what its type says, or does not fit: never a silent null, never rounded unseen."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, DecimalException
from time import process_time
from typing import Any

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from gateway import document
from gateway.mapping import types
from gateway.mapping.types import Unfit
from tests.mapping.making import documents

ONE_SECOND_TO_FOUR = "2026-01-02T03:04:05Z"

FITS: list[tuple[str, Any, Any]] = [
    ("string", "", ""),
    ("string", 820982911946154508, "820982911946154508"),
    ("string", 2**70, "1180591620717411303424"),
    ("string", Decimal("12.0"), "12"),
    ("string", Decimal("1E+3"), "1000"),
    ("string", Decimal("12.50"), "12.50"),
    ("string", True, "true"),
    ("integer", "12", 12),
    ("integer", "-3", -3),
    ("integer", " 12.0 ", 12),
    ("integer", Decimal("2.00"), 2),
    ("number", "398.00", Decimal("398.00")),
    ("number", "1e3", Decimal(1000)),
    ("number", 5, 5),
    ("number", 0.5, Decimal("0.5")),
    ("boolean", True, True),
    ("boolean", "FALSE", False),
    ("boolean", "yes", True),
    ("boolean", 0, False),
    ("date", "1990-02-03", "1990-02-03"),
    ("date", "19900203", "1990-02-03"),
    ("date", "1990-02-03T23:00:00-08:00", "1990-02-03"),
    ("date", 1767323045, "2026-01-02"),
    ("email", " Ada.Byron@Shop.EXAMPLE ", "Ada.Byron@shop.example"),
    ("email", "ada@shop.test", "ada@shop.test"),
    ("country", "de", "DE"),
    ("country", "DEU", "DE"),
    ("country", "Germany", "DE"),
    ("country", "United Kingdom", "GB"),
    ("country", "UK", "GB"),
    ("country", "NO", "NO"),
    ("currency", "eur", "EUR"),
    ("object", {"a": 1}, {"a": 1}),
    ("list", [1, None], [1, None]),
]
UNFIT: list[Any] = [
    ("string", []),
    ("string", {}),
    ("string", Decimal("1e9999")),
    pytest.param("string", 10**5000, id="5000 digits"),
    ("integer", "12.5"),
    ("integer", Decimal("12.5")),
    ("integer", True),
    ("integer", ""),
    ("integer", "1_000"),
    ("number", "12,50"),
    ("number", "NaN"),
    ("number", "Infinity"),
    ("number", "1e999"),
    ("number", "٣"),
    ("number", False),
    ("number", []),
    ("boolean", "maybe"),
    ("boolean", 2),
    ("date", "02/01/2026"),
    ("date", "2026-02-30"),
    ("date", ""),
    ("email", "ada"),
    ("email", "ada@localhost"),
    ("email", "Ada <ada@shop.example>"),
    ("email", 5),
    ("country", "Narnia"),
    ("country", ""),
    ("currency", "EURO"),
    ("currency", None),
    ("object", []),
    ("list", {}),
]


@pytest.mark.parametrize(("name", "value", "expected"), FITS)
def test_a_value_that_fits_becomes_what_its_type_says(name: str, value: Any, expected: Any) -> None:
    found = types.PLAIN[name](value)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(("name", "value"), UNFIT)
def test_a_value_that_does_not_fit_is_a_fault(name: str, value: Any) -> None:
    with pytest.raises(Unfit, match=f"^expected {name}, got "):
        types.PLAIN[name](value)


def fault(convert: Callable[[Any], Any], value: Any) -> str:
    try:
        convert(value)
    except Unfit as unfit:
        return str(unfit)
    return ""


@given(documents)
def test_a_fault_never_tells_the_value(value: Any) -> None:
    for convert in (*types.PLAIN.values(), types.utc_datetime, types.phone):
        assert re.fullmatch(r"|expected [a-z]+, got [a-z]+(: [a-z, ]+)?", fault(convert, value))


@given(st.integers())
def test_an_id_of_any_size_keeps_its_digits(value: int) -> None:
    assert types.string(document.parse(str(value).encode())) == str(value)
    assert types.integer(str(value)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=4))
def test_a_number_keeps_its_value_in_text_and_back(value: Decimal) -> None:
    assert types.number(str(value)) == value
    assert types.number(types.string(value)) == value


# --- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        ONE_SECOND_TO_FOUR,
        "2026-01-02 03:04:05Z",
        "2026-01-02T04:04:05+01:00",
        "2026-01-02 04:04:05+01:00",
        "2026-01-02T04:04:05+0100",
        "2026-01-02T04:04:05.999+01:00",
        "2026-01-02T03:04:05.123456789Z",
        "2026-01-01T22:04:05-05:00",
        "20260102T030405Z",
        "Fri, 02 Jan 2026 03:04:05 GMT",
        " 2026-01-02T03:04:05Z ",
        "2026-01-02T08:34:05+05:30",
        "2026-W01-5T03:04:05Z",
        "1767323045",
        "1767323045999",
        1767323045,
        1767323045999,
        Decimal("1767323045.75"),
    ],
)
def test_every_way_to_write_a_time_becomes_utc_to_the_second(value: Any) -> None:
    assert types.utc_datetime(value, "Asia/Tokyo") == ONE_SECOND_TO_FOUR


def test_a_time_without_an_offset_is_in_the_zone_given_else_in_utc() -> None:
    assert types.utc_datetime("2026-07-01 12:00:00", "Europe/Berlin") == "2026-07-01T10:00:00Z"
    assert types.utc_datetime("2026-01-01T12:00:00", "Europe/Berlin") == "2026-01-01T11:00:00Z"
    assert types.utc_datetime("2026-01-01T12:00:00") == "2026-01-01T12:00:00Z"
    assert types.utc_datetime("2026-01-01", "America/New_York") == "2026-01-01T05:00:00Z"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "0000-00-00 00:00:00",
        "2026-13-01T00:00:00Z",
        "2026-01-02T25:00:00+01:00",
        "2026-01-02T03:04:05+99:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2026-W01-1",
        "2026-01-02T12:30+00Z",
        "2026-01-02T03:04+05+01:00",
        "Fri, 99 Jan 2026 03:04:05 GMT",
        "9" * 300,
        10**20,
        True,
        [],
        Decimal("1e300"),
    ],
)
def test_what_is_no_time_does_not_fit(value: Any) -> None:
    with pytest.raises(Unfit, match=r"^expected datetime"):
        types.utc_datetime(value)


def test_a_time_is_the_same_the_second_time_and_a_zone_is_not_taken_for_another() -> None:
    for _ in range(2):
        assert types.utc_datetime("2026-07-02T01:04:05+02:00") == "2026-07-01T23:04:05Z"
        assert types.utc_datetime("2026-07-02 01:04:05", "Europe/Berlin") == "2026-07-01T23:04:05Z"
        assert types.utc_datetime("2026-07-02 01:04:05", "Asia/Tokyo") == "2026-07-01T16:04:05Z"


def test_no_more_times_are_remembered_than_may_be() -> None:
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    for minute in range(types.CACHED):
        text = (begins + timedelta(minutes=minute)).isoformat()
        assert types.utc_datetime(text) == f"{text[:19]}Z"
    assert len(types.TIMES) <= types.CACHED + 2


def test_no_more_texts_are_remembered_than_may_be_and_no_long_ones() -> None:
    seen = types.Seen(str.upper, 3)
    for text in ("a", "b", "a", "c", "d", "é" * types.DIGITS_MAX):
        assert seen[text] == text.upper()
    assert seen == {"d": "D"}


def test_what_does_not_fit_is_not_remembered() -> None:
    for _ in range(2):
        with pytest.raises(Unfit, match="expected email, got string"):
            types.SEEN["email"]["no address"]
    assert "no address" not in types.SEEN["email"]


def test_an_unknown_zone_does_not_fit() -> None:
    for name in ("Mars/Phobos", "../etc/passwd", ""):
        with pytest.raises(Unfit, match="time zone"):
            types.zone(name)


# --- phones ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "country", "expected"),
    [
        ("+44 20 7946 0018", None, "+442079460018"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("(555) 625-1199", "US", "+15556251199"),
        ("0151 23456789", "DE", "+4915123456789"),
        ("+49 151 23456789", "US", "+4915123456789"),
        (2079460018, "GB", "+442079460018"),
    ],
)
def test_a_phone_becomes_e164(value: Any, country: str | None, expected: str) -> None:
    assert types.phone(value, country) == expected


def test_a_national_number_without_a_country_says_why_it_does_not_fit() -> None:
    with pytest.raises(Unfit, match="got string: in national form, and no country is known"):
        types.phone("020 7946 0018")


@pytest.mark.parametrize("value", ["", "12", "call me", "+44", "0" * 500, None, True, Decimal("1.5")])
def test_what_is_no_phone_does_not_fit(value: Any) -> None:
    with pytest.raises(Unfit, match="expected phone"):
        types.phone(value, "GB")


# --- money -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "currency", "expected"),
    [
        ("30", "EUR", "30.00"),
        (30, "EUR", "30.00"),
        ("0.125", "USD", "0.13"),
        ("-0.125", "USD", "-0.13"),
        ("1990", "JPY", "1990"),
        ("1.2345", "KWD", "1.235"),
        ("1.5", "usd", "1.50"),
        ("1.23456", None, "1.23456"),
    ],
)
def test_money_has_its_currencys_digits(value: Any, currency: str | None, expected: str) -> None:
    assert str(types.amount(value, types.amounts(currency) if currency else None)) == expected


@given(
    st.from_regex(r"[+-]?\d{0,45}(\.\d{0,8})?(e[+-]?\d{1,3})?", fullmatch=True)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**45), 10**45),
    st.sampled_from(["EUR", "JPY", "KWD"]),
)
def test_an_amount_is_its_number_with_the_currencys_digits_however_it_is_written(value: Any, currency: str) -> None:
    known = types.amounts(currency)
    try:
        expected = types.ARITHMETIC.quantize(Decimal(types.number(value)), known.smallest)
    except (Unfit, DecimalException):
        with pytest.raises(Unfit, match=r"expected (number|money)"):
            types.amount(value, known)
    else:
        assert str(types.amount(value, known)) == str(expected)


def test_money_in_what_is_no_currency_does_not_fit() -> None:
    with pytest.raises(Unfit, match="expected currency"):
        types.amounts("POINTS")
    with pytest.raises(Unfit, match="expected money"):
        types.amount("9" * 100, types.amounts("EUR"))


_EMAILISH = st.text("aZ09.+-_'@\"é ü", max_size=12)
_DOMAINISH = st.one_of(
    st.sampled_from(["shop.example", "SHOP.Example", "xn--bcher-kva.example", "bücher.example", "a", "", "-a.example"]),
    st.text("ab-.1é", max_size=10),
    st.builds(lambda size: "a." * size + "example", st.integers(90, 126)),
)


@given(_EMAILISH | st.builds(lambda size: "a" * size, st.integers(50, 70)), _DOMAINISH)
def test_an_email_is_what_the_library_says_it_is(local: str, domain: str) -> None:
    text = f"{local}@{domain}".strip()
    try:
        expected = validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError:
        expected = None
    try:
        found: str | None = types.email(text)
    except types.Unfit:
        found = None
    assert found == expected


def test_another_address_of_a_known_domain_costs_little() -> None:
    def seconds(check: Callable[[str], object], who: str) -> float:
        began_s = process_time()
        for number in range(500):
            check(f"{who}{number}@shop.example")
        return process_time() - began_s

    library = min(
        seconds(lambda text: validate_email(text, check_deliverability=False), f"a{turn}") for turn in range(3)
    )
    assert min(seconds(types.email, f"b{turn}") for turn in range(3)) < library / 4
