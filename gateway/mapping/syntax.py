"""The syntax of expressions: JMESPath's, parsed by its library, with errors that say where and why."""

import re
import warnings
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from math import isfinite
from typing import Any, cast

from jmespath import exceptions, lexer, parser

from gateway import document as documents

LENGTH_MAX = 4096
"""Characters of an expression."""
DEPTH_MAX = 64
"""Nesting of an expression."""

_COMPARES = frozenset({"eq", "ne", "lt", "lte", "gt", "gte"})
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What needs no quotes to name a field."""

Node = dict[str, Any]
"""A node of the library's syntax tree."""


class ExpressionError(ValueError):
    """A text is no expression. `column` counts from 1; `kind` is syntax, unknown-function, invalid-arity, invalid-type
    or invalid-value, as JMESPath names them.
    """

    def __init__(self, text: str, column: int, cause: str, kind: str = "syntax", hint: str = "") -> None:
        super().__init__(f"{cause} (column {column})")
        self.text = text
        self.column = column
        self.cause = cause
        self.kind = kind
        self.hint = hint

    def caret(self) -> str:
        """The expression with a caret under the place, two lines."""
        return f"{self.text}\n{' ' * (self.column - 1)}^"


def syntax_tree(text: str) -> Node:
    """The library's syntax tree. Its nodes are shared by its cache: read only. Raises `ExpressionError`."""
    if len(text) > LENGTH_MAX:
        raise ExpressionError(text[:80], 1, f"an expression has at most {LENGTH_MAX} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PendingDeprecationWarning)  # `foo` for `"foo"`: old, and still JMESPath
            tree = cast("Node", parser.Parser().parse(text).parsed)
    except exceptions.EmptyExpressionError:
        raise ExpressionError(text, 1, "an expression must not be empty") from None
    except exceptions.ParseError as error:
        raise _syntax_error(text, error) from None
    except (RecursionError, IndexError, KeyError, ValueError) as error:
        raise ExpressionError(text, 1, f"cannot be read ({type(error).__name__})") from None
    if _depth(tree) > DEPTH_MAX:
        raise ExpressionError(text, 1, f"nested deeper than {DEPTH_MAX}")
    if not all(map(_writable, nodes(tree))):
        raise ExpressionError(text, 1, "a name or literal that no JSON document can hold")
    return tree


_TOKENS = {
    "unquoted_identifier": "a name",
    "quoted_identifier": "a quoted name",
    "rbracket": "`]`",
    "rparen": "`)`",
    "rbrace": "`}`",
    "lbracket": "`[`",
    "lbrace": "`{`",
    "lparen": "`(`",
}


_HINTS = {
    "=": "to compare: `==`",
    "number": "a number stands in backticks",
    "and": "both: `&&`",
    "or": "either: `||`",
}
"""What other languages write, and JMESPath otherwise."""


def _syntax_error(text: str, error: exceptions.ParseError) -> ExpressionError:
    if isinstance(error, exceptions.IncompleteExpressionError):
        return ExpressionError(text, len(text) + 1, "ends too early")
    if error.token_value == "" and error.lex_position >= len(text):
        return ExpressionError(text, len(text) + 1, "ends too early")
    column = min(int(error.lex_position), len(text)) + 1
    if isinstance(error, exceptions.LexerError):
        is_quote = error.lexer_value in {"`", "'", '"'} or "unclosed" in str(error.message).lower()
        hint = "text stands in single quotes, JSON in backticks" if is_quote else ""
        hint = hint or _HINTS.get(str(error.lexer_value), "")
        return ExpressionError(text, column, str(error.message).lower(), hint=hint)
    found = _TOKENS.get(error.token_type.lower(), f"`{error.token_value}`")
    hint = _HINTS.get(str(error.token_value), _HINTS.get(error.token_type.lower(), ""))
    return ExpressionError(text, column, f"does not expect {found} here", hint=hint)


def nodes(tree: Node) -> Iterator[Node]:
    yield tree
    for child in _children(tree):
        yield from nodes(child)


def _writable(node: Node) -> bool:
    """Whether a node's value is JSON: no lone surrogate (half of a pair), NaN or infinity."""
    try:
        documents.dump(exact(node.get("value")))
    except (ValueError, OverflowError, RecursionError):
        return False
    return True


def _depth(tree: Node) -> int:
    depth = 0
    level = [tree]
    while level:
        depth += 1
        level = [child for node in level for child in _children(node)]
    return depth


def _children(node: Node) -> list[Node]:
    """A node's children in the order of the text."""
    children: list[Node] = [child for child in node.get("children", ()) if isinstance(child, dict)]
    if node["type"] == "filter_projection":
        left, right, condition = children
        return [left, condition, right]
    return children


def calls(tree: Node) -> Iterator[Node]:
    """The function calls of an expression, in the order of the text."""
    return (node for node in nodes(tree) if node["type"] == "function_expression")


def call_columns(text: str) -> list[int]:
    """Where function calls stand, in the order of the text, from 1. The tree does not keep it."""
    names = (left for left, right in pairwise(_tokens(text)) if right["type"] == "lparen")
    return [name["start"] + 1 for name in names if name["type"] == "unquoted_identifier"]


def mistaken_texts(text: str) -> list[str]:
    """What stands in double quotes behind a comparison in a filter, without need: in JMESPath a field of each element,
    where a text was meant. The expression is sound.
    """
    found = []
    brackets: list[str] = []
    tokens = _tokens(text)
    for operator, token, behind in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if operator["type"] in ("filter", "lbracket"):
            brackets.append(operator["type"])
        elif operator["type"] == "rbracket":
            brackets.pop()
        elif operator["type"] in _COMPARES and "filter" in brackets and behind["type"] != "dot":
            name = str(token["value"])
            found += [name] if token["type"] == "quoted_identifier" and _PLAIN_NAME.fullmatch(name) else []
    return found


def _tokens(text: str) -> list[Node]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return cast("list[Node]", list(lexer.Lexer().tokenize(text)))


def last_name(tree: Node) -> str:
    while tree["type"] in {"subexpression", "pipe"}:
        tree = tree["children"][-1]
    return str(tree["value"]) if tree["type"] == "field" else ""


def steps_of(node: Node) -> list[Node]:
    """The steps of a sub-expression, index expression or pipe, nested ones laid flat: each works on the one before."""
    flat: list[Node] = []
    for child in node["children"]:
        flat.extend(steps_of(child) if child["type"] in {"subexpression", "index_expression", "pipe"} else [child])
    return flat


def exact(value: Any) -> Any:
    """A literal with its fractions as Decimal. Raises ValueError for NaN, infinity and lone surrogates."""
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError("not a number")
        return Decimal(repr(value))
    if isinstance(value, list):
        return [exact(element) for element in value]
    if isinstance(value, dict):
        return {key: exact(element) for key, element in value.items()}
    return value
