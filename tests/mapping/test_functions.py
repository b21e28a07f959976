"""Every function is documented, and does what its examples say."""

import re
from decimal import Decimal
from typing import Any

import pytest

from gateway import document
from gateway.mapping.expressions import EvaluationError, compile_expression
from gateway.mapping.functions import FUNCTIONS

EXAMPLES = [
    pytest.param(expression, result, id=expression)
    for function in FUNCTIONS.values()
    for expression, result in function.examples
]
JMESPATH = (
    "abs avg ceil contains ends_with floor join keys length map max max_by merge min min_by not_null reverse sort"
    " sort_by starts_with sum to_array to_number to_string type values"
)
OWN = (
    "lower upper trim concat split replace slug add sub mul div round if coalesce lookup datetime date unix phone"
    " sha256 md5 url"
)


def evaluate(text: str, source: Any = None) -> Any:
    return compile_expression(text)(source)


def test_all_of_jmespath_and_all_of_ours_are_there() -> None:
    assert set(JMESPATH.split()) | set(OWN.split()) <= FUNCTIONS.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_in_a_sentence_what_it_does_and_shows_it(name: str) -> None:
    function = FUNCTIONS[name]
    assert re.match(r"[A-Z].*\.$", function.summary)
    assert function.examples


@pytest.mark.parametrize(("expression", "result"), EXAMPLES)
def test_an_example_is_true(expression: str, result: str) -> None:
    assert evaluate(expression) == document.parse(result.encode())


@pytest.mark.parametrize("name", [name for name, function in FUNCTIONS.items() if function.passes_null])
def test_a_null_in_gives_a_null_out(name: str) -> None:
    count = sum(not parameter.optional for parameter in FUNCTIONS[name].parameters)
    assert evaluate(f"{name}({', '.join(['a'] * count)})", {}) is None


@pytest.mark.parametrize(
    ("expression", "source"),
    [
        ("lower(a)", {"a": 1}),
        ("split(a, '')", {"a": "x"}),
        ("replace(a, '', 'x')", {"a": "x"}),
        ("div(a, `0`)", {"a": 1}),
        ("add(a, `1`)", {"a": "12,50"}),
        ("round(a, `20`)", {"a": Decimal("1.5")}),
        ("datetime(a)", {"a": "yesterday"}),
        ("datetime(a, 'Mars/Phobos')", {"a": "2026-01-02 03:04:05"}),
        ("phone(a)", {"a": "020 7946 0018"}),
        ("from_items(a)", {"a": ["x"]}),
        ("sort_by(a, &b)", {"a": [{"b": 1}, {"b": "x"}]}),
        ("max_by(a, &b)", {"a": [{"b": 1}, {}]}),
        ("join(a, b)", {"a": ",", "b": ["x", 1]}),
    ],
)
def test_what_a_function_cannot_take_is_an_error_and_not_a_null(expression: str, source: Any) -> None:
    with pytest.raises(EvaluationError):
        evaluate(expression, source)


def test_only_the_chosen_branch_is_evaluated() -> None:
    assert evaluate("if(a, lower(b), 'none')", {"b": 5}) == "none"
    assert evaluate("coalesce(a, lower(b))", {"a": "x", "b": 5}) == "x"


def test_arithmetic_takes_texts_of_numbers_and_keeps_their_digits() -> None:
    assert str(evaluate("sub(a, b)", {"a": "398.00", "b": "98.50"})) == "299.50"
    assert str(evaluate("mul(a, b)", {"a": "19.90", "b": 3})) == "59.70"
    assert evaluate("mul(a, b)", {"a": 10**18, "b": 3}) == 3 * 10**18


@pytest.mark.parametrize(
    ("value", "digits", "rounded"),
    [("2.5", 0, 3), ("-2.5", 0, -3), ("2.345", 2, Decimal("2.35")), ("2.344999", 2, Decimal("2.34")), (7, 2, 7)],
)
def test_halves_are_rounded_away_from_zero(value: Any, digits: int, rounded: Any) -> None:
    assert evaluate("round(a, b)", {"a": value, "b": digits}) == rounded


def test_a_url_is_never_broken_by_what_stands_in_it() -> None:
    assert evaluate("url(a, b)", {"a": "https://x.example/", "b": "a/b?c"}) == "https://x.example/a%2Fb%3Fc"


def test_a_contained_number_is_not_a_part_of_a_text() -> None:
    assert evaluate("contains('123', `1`)") is False


def test_to_string_writes_json_with_exact_numbers() -> None:
    assert (
        evaluate("to_string(@)", {"a": Decimal("1.50"), "b": [None, 2**70]})
        == '{"a":1.50,"b":[null,1180591620717411303424]}'
    )
