"""Expressions mean what JMESPath says, end, and stay small."""

import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathError

from gateway import document
from gateway.mapping.expressions import EvaluationError, ExpressionError, compile_expression
from gateway.mapping.source import function

COMPLIANCE = os.environ.get("GATEWAY_JMESPATH_COMPLIANCE", "")
"""A folder with the cases of github.com/jmespath/jmespath.test, where there is one."""


def evaluate(text: str, source: Any = None) -> Any:
    return compile_expression(text)(source)


# --- the same as the library -----------------------------------------------------------------------------------------

_names = st.sampled_from(["a", "b", "c", '"d e"'])
_texts = st.sampled_from(["", "a", "b", "ab", "12", "1.5", "é"])
_fractions = st.integers(-8, 8).map(lambda quarters: Decimal(quarters) / 4)
_keys = st.sampled_from(["a", "b", "c", "d e"])
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | _fractions | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=14,
)
_documents = st.dictionaries(_keys, _values, max_size=4)
_literals = st.sampled_from(["`1`", "`0`", "`true`", "`null`", "`1.5`", "'a'", "`[]`", '`{"a": 1}`'])


_OF_ONE = [
    "abs",
    "ceil",
    "floor",
    "length",
    "keys",
    "values",
    "max",
    "min",
    "reverse",
    "sort",
    "sum",
    "to_array",
    "type",
    "not_null",
]
_OF_REFERENCE = ["sort_by", "max_by", "min_by"]


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Every kind of node, over smaller expressions."""
    pairs = st.tuples(inner, inner)
    either = inner | _literals
    operators = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    of_one = st.sampled_from(_OF_ONE)
    of_reference = st.sampled_from(_OF_REFERENCE)
    return st.one_of(
        st.tuples(inner, _names).map(lambda p: f"({p[0]}).{p[1]}"),
        st.tuples(inner, st.integers(-3, 3)).map(lambda p: f"({p[0]})[{p[1]}]"),
        inner.map(lambda text: f"({text})[*]"),
        inner.map(lambda text: f"({text})[]"),
        inner.map(lambda text: f"({text}).*"),
        st.tuples(inner, _names).map(lambda p: f"({p[0]})[*].{p[1]}"),
        st.tuples(inner, _names).map(lambda p: f"({p[0]}).*.{p[1]}"),
        st.tuples(inner, st.sampled_from([":", "1:", ":-1", "::-1", "::2"])).map(lambda p: f"({p[0]})[{p[1]}]"),
        st.tuples(inner, inner, operators, either).map(lambda p: f"({p[0]})[?{p[1]} {p[2]} {p[3]}]"),
        st.tuples(inner, operators, either).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        pairs.map(lambda p: f"({p[0]} || {p[1]})"),
        pairs.map(lambda p: f"({p[0]} && {p[1]})"),
        pairs.map(lambda p: f"({p[0]} | {p[1]})"),
        inner.map(lambda text: f"!({text})"),
        pairs.map(lambda p: f"[{p[0]}, {p[1]}]"),
        pairs.map(lambda p: f"{{x: {p[0]}, y: {p[1]}}}"),
        st.tuples(of_one, inner).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(of_reference, inner, inner).map(lambda p: f"{p[0]}({p[1]}, &{p[2]})"),
        pairs.map(lambda p: f"map(&{p[0]}, {p[1]})"),
        inner.map(lambda text: f"merge({text}, {text})"),
    )


_expressions = st.recursive(_names | st.just("@"), _grown, max_leaves=6)


def _as_floats(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_as_floats(element) for element in value]
    return {key: _as_floats(element) for key, element in value.items()} if isinstance(value, dict) else value


@settings(max_examples=300, deadline=None)
@given(text=_expressions, source=_documents)
def test_a_compiled_expression_gives_what_the_library_gives(text: str, source: dict[str, Any]) -> None:
    try:
        expected = jmespath.search(text, _as_floats(source))
    except JMESPathError:
        with pytest.raises((EvaluationError, ExpressionError)):
            evaluate(text, source)
    except (TypeError, ValueError):
        return  # the library fails with Python's own errors where texts meet numbers: nothing to compare with
    else:
        assert _as_floats(evaluate(text, source)) == expected


def _chosen(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """What is written out for mappings, beside all else: choices, texts compared, functions of values."""
    three = st.tuples(inner, inner, inner)
    return _grown(inner) | st.one_of(
        three.map(lambda p: f"if({p[0]}, {p[1]}, {p[2]})"),
        inner.map(lambda text: f"if({text}, {text})"),
        three.map(lambda p: f"coalesce({p[0]}, {p[1]}, {p[2]})"),
        inner.map(lambda text: f"{text} == 'b'"),
        inner.map(lambda text: f"{text} != 'b'"),
        st.tuples(inner, inner).map(lambda p: f"concat({p[0]}, {p[1]})"),
        inner.map(lambda text: f"to_string({text})"),
        st.tuples(inner, st.sampled_from(["array", "object", "string", "boolean", "number", "null"])).map(
            lambda p: f"type({p[0]}) == '{p[1]}'"
        ),
        inner.map(lambda text: f"{text} != `null`"),
        inner.map(lambda text: f"split({text}, 'b')"),
        inner.map(lambda text: f"join(', ', {text})"),
        st.tuples(inner, inner).map(lambda p: f"sub({p[0]}, {p[1]})"),
        st.tuples(inner, inner).map(lambda p: f"sum({p[0]}[].to_number({p[1]}))"),
        st.tuples(inner, inner).map(lambda p: f"{p[0]}[?{p[1]}].[@, {p[1]}]"),
    )


@settings(max_examples=500, deadline=None)
@given(text=st.recursive(_names | st.just("@"), _chosen, max_leaves=8), source=_documents)
def test_an_expression_that_is_written_out_gives_what_it_gives_as_a_closure(text: str, source: dict[str, Any]) -> None:
    try:
        expression = compile_expression(text)
    except ExpressionError:
        return
    assert _outcome(function(expression.code), source) == _outcome(expression.run, source)


def _outcome(act: Callable[[Any], Any], source: Any) -> tuple[Any, type]:
    """What an expression gives, or why it gives nothing."""
    try:
        found = act(source)
    except EvaluationError as error:
        return str(error), EvaluationError
    return found, type(found)


@pytest.mark.parametrize(
    ("level", "deep", "expected"),
    [
        ("({} || b)", 1, 1),
        ("({} == `null`)", 1, False),
        ("(type({}) == 'array')", 2, False),
        ("({} | @)", 1, None),
        ("({}[].a)", 2, None),
        ("({}[?a].a | [0])", 3, None),
        ("[{}][0]", 2, None),
        ("coalesce({}, b)", 1, 1),
        ("lower({})", 1, None),
        ("({} != b)", 1, True),
    ],
)
def test_what_is_nested_deeper_than_python_can_read_is_called_as_a_closure(
    level: str, deep: int, expected: Any
) -> None:
    text = "a"
    for _ in range(60 // deep):
        text = level.format(text)
    assert function(compile_expression(text).code)({"b": 1}) == expected


@pytest.mark.parametrize(
    "text", ["a[]." + ".".join("b" * 300), "coalesce(" + ", ".join("a" * 60) + ")", "a" + "[0]" * 300]
)
def test_what_is_longer_than_python_can_read_is_called_as_a_closure(text: str) -> None:
    assert function(compile_expression(text).code)({"b": 1}) is None


def _compliance() -> Iterator[Any]:
    for path in sorted(Path(COMPLIANCE).glob("*.json")) if COMPLIANCE else ():
        for group in document.parse(path.read_bytes()):
            for case in group["cases"]:
                yield pytest.param(group["given"], case, id=f"{path.stem}: {case['expression']}"[:80])


def _error(text: str, source: Any) -> str:
    try:
        evaluate(text, source)
    except (EvaluationError, ExpressionError) as error:
        return error.kind
    return ""


@pytest.mark.skipif(not COMPLIANCE, reason="GATEWAY_JMESPATH_COMPLIANCE names no folder of compliance cases")
@pytest.mark.parametrize(("source", "case"), list(_compliance()))
def test_the_compliance_cases_pass(source: Any, case: dict[str, Any]) -> None:
    if "error" in case:
        assert _error(case["expression"], source) == case["error"]
    elif "result" in case:
        assert evaluate(case["expression"], source) == case["result"]


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", range(1, 6))
def test_a_chain_of_any_length_finds_what_is_there_and_null_where_nothing_is(depth: int) -> None:
    source: Any = 1
    for _ in range(depth):
        source = {"a": source}
    text = ".".join("a" * depth)
    assert evaluate(text, source) == 1
    assert evaluate(text, {"a": "text"}) == ("text" if depth == 1 else None)
    assert evaluate(f"{text}.a", source) is None


def test_inside_each_the_item_and_its_parent_stand_beside_the_document() -> None:
    expression = compile_expression("[item.a, parent.b, c]")
    assert expression({"c": 3}, {"a": 1}, {"b": 2}) == [1, 2, 3]


def test_a_condition_is_true_as_jmespath_has_it() -> None:
    condition = compile_expression("a")
    false: list[Any] = [None, False, "", [], {}]
    assert not any(condition.true({"a": value}) for value in false)
    assert all(condition.true({"a": value}) for value in (0, Decimal(0), True, "x", [0], {"b": None}))


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_numbers_are_exact() -> None:
    assert evaluate("add(`0.1`, `0.2`) == `0.3`") is True
    assert evaluate("sum(@)", [Decimal("0.1"), Decimal("0.2")]) == Decimal("0.3")
    assert evaluate("id", {"id": 820982911946154508}) == 820982911946154508
    assert evaluate("add(id, `1`)", {"id": 2**64}) == 2**64 + 1
    assert evaluate("a == b", {"a": Decimal("1.0"), "b": 1}) is True


def test_true_is_not_one_and_false_is_not_zero() -> None:
    assert evaluate("a == `1`", {"a": True}) is False
    assert evaluate("a == `false`", {"a": 0}) is False
    assert evaluate("a != `1`", {"a": True}) is True


def test_comparing_a_text_with_a_number_is_null() -> None:
    assert evaluate("a < b", {"a": "1", "b": 2}) is None
    assert evaluate("a < 'b'", {"a": "a"}) is True


# --- what cannot be compiled -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "column", "cause"),
    [
        ("", 1, "must not be empty"),
        ("body.", 6, "ends too early"),
        ("body..id", 6, "does not expect"),
        ("body.id)", 8, "does not expect `)`"),
        ("body.'id'", 6, "does not expect"),
        ("a = 1", 3, "unknown token"),
        ("a == 'b", 6, "unclosed"),
        ("concat(a, lowr(b))", 11, "no function `lowr`"),
        ("a[?lowr(b)].upper(@) | uper(@)", 4, "no function `lowr`"),
        ("[a, abs(b, c)]", 5, "does not take 2 arguments"),
        ("abs()", 1, "does not take 0 arguments"),
        ("[a, abs('x')]", 5, "always fails: abs(): value must be number, not string"),
        ("map(a, b)", 1, "expression must be an &expression"),
        ("length(&a)", 1, "not an &expression"),
        ("a[::0]", 1, "must not be 0"),
        ("`NaN`", 1, "no JSON document can hold"),
        ("`1e999`", 1, "no JSON document can hold"),
        ('{"\\ud800": a}', 1, "no JSON document can hold"),
        ("(" * 70 + "a" + ")" * 70 + " || " + "!" * 70 + "a", 1, "nested deeper"),
        ("a" * 5000, 1, "at most 4096 characters"),
    ],
)
def test_a_fault_names_its_column_and_cause(text: str, column: int, cause: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    assert cause in caught.value.cause
    assert caught.value.column == column
    assert caught.value.caret().splitlines()[1] == " " * (column - 1) + "^"


def test_an_unknown_function_that_is_nearly_one_gets_a_hint() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression("lowr(a)")
    assert caught.value.hint == "did you mean `lower`?"


def test_a_call_of_constants_is_evaluated_once() -> None:
    assert compile_expression("upper('eur')").run(None) == "EUR"
    assert compile_expression('lookup(a, `{"x": 1}`)')({"a": "x"}) == 1


def test_the_old_form_of_text_literals_is_understood_without_a_warning() -> None:
    assert evaluate("a == `paid`", {"a": "paid"}) is True


# --- what cannot be evaluated ----------------------------------------------------------------------------------------


def test_an_error_names_function_and_types_and_never_the_value() -> None:
    with pytest.raises(EvaluationError, match=r"^starts_with\(\): text must be string, not object$"):
        evaluate("starts_with(a, 'x')", {"a": {"secret": "hunter2"}})
    with pytest.raises(EvaluationError, match=r"not an array of number, string$"):
        evaluate("sort(a)", {"a": ["hunter2", 1]})


def test_an_expression_that_copies_without_end_is_refused() -> None:
    with pytest.raises(ExpressionError, match="at most 64 times"):
        compile_expression(" | ".join(["[@, @]"] * 10))
    assert evaluate("[@, @] | [@, @]", 1) == [[1, 1], [1, 1]]


def test_texts_do_not_grow_without_end() -> None:
    with pytest.raises(EvaluationError) as caught:
        evaluate(" | ".join(["concat(@, @)"] * 30), "long " * 100)
    assert caught.value.kind == "too-large"
    with pytest.raises(EvaluationError, match="characters made by functions"):
        evaluate("[].concat(@, @)", ["x" * 100_000] * 200)
    with pytest.raises(EvaluationError, match="more than"):
        evaluate("replace(@, 'a', 'aaaaaaaaaa')", "a" * 100_000)


def test_results_have_a_limit_in_size_and_depth() -> None:
    with pytest.raises(EvaluationError, match="values"):
        evaluate("[@, @, @]", list(range(100_000)))
    deep: Any = 1
    for _ in range(199):
        deep = [deep]
    with pytest.raises(EvaluationError, match="nested deeper"):
        evaluate("[[[@]]]", deep)


def test_numbers_do_not_grow_without_end() -> None:
    with pytest.raises(EvaluationError):
        evaluate(" | ".join(["mul(@, @)"] * 20), 10**50)
    with pytest.raises(EvaluationError):
        evaluate("ceil(@)", Decimal("1e9999"))


# --- nulls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "held", "absent"),
    [
        ("a", {"a": None}, {}),
        ("a.b", {"a": {"b": None}}, {"a": None}),
        ("a.b.c", {"a": {"b": {"c": None}}}, {"a": {"b": None}}),
        ("a[0]", {"a": [None]}, {"a": []}),
        ("a[0].b", {"a": [{"b": None}]}, {"a": [{}]}),
        ("a || b", {"b": None}, {}),
        ("coalesce(a, b)", {"a": None}, {}),
        ("lower(a.b)", {"a": {"b": None}}, {"a": {}}),
        ("if(c, a, b)", {"c": 1, "a": None}, {"c": 1, "b": None}),
        ("if(c, a)", {"c": 1, "a": None}, {"a": None}),
        ("a | b", {"a": {"b": None}}, {"a": {}}),
    ],
)
def test_a_null_that_the_document_holds_is_told_from_something_absent(text: str, held: Any, absent: Any) -> None:
    expression = compile_expression(text)
    assert expression(held) is None
    assert expression(absent) is None
    assert expression.held_null(held) is True
    assert expression.held_null(absent) is False


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("data.total > 0", "a number stands in backticks"),
        ("data.status = 'paid'", "to compare: `==`"),
        ("data.paid and data.total", "both: `&&`"),
        ("data.paid or data.total", "either: `||`"),
        ("data.status == 'paid", "text stands in single quotes, JSON in backticks"),
    ],
)
def test_what_other_languages_write_gets_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ExpressionError) as error:
        compile_expression(text)
    assert error.value.hint == hint
