"""Texts of an expression that stand in double quotes. In JMESPath those name a field, so that a comparison with one is
sound and never holds.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.config.load import Loaded, Problem
from gateway.mapping.syntax import ExpressionError, mistaken_texts, syntax_tree

_Path = tuple[str | int, ...]

_EXPRESSIONS = ("from", "each", "money", "timezone", "country")
"""The keys of a field's block that hold an expression."""


def quotes(loaded: Loaded) -> Iterator[Problem]:
    """Conditions and rules of one's own that compare with a text in double quotes."""
    for path, expression in _expressions(loaded):
        for text in mistaken_texts(expression) if _is_sound(expression) else ():
            cause = f'"{text}" in double quotes is the field of that name'
            yield Problem(path, cause, f"a text stands in single quotes: '{text}'", warning=True)


def _is_sound(expression: str) -> bool:
    try:
        syntax_tree(expression)
    except ExpressionError:
        return False
    return True


def _expressions(loaded: Loaded) -> Iterator[tuple[_Path, str]]:
    for index, route in enumerate(loaded.config.routes):
        if route.when is not None:
            yield ("routes", index, "when"), route.when
    for name, mapping in loaded.config.mappings.items():
        for key in ("when", "root"):
            if isinstance(expression := mapping.get(key), str):
                yield ("mappings", name, key), expression
        yield from _of_fields(mapping.get("fields"), ("mappings", name, "fields"))


def _of_fields(members: Any, at: _Path) -> Iterator[tuple[_Path, str]]:
    for name, rule in (members if isinstance(members, Mapping) else {}).items():
        if isinstance(rule, str):
            yield (*at, name), rule
        elif isinstance(rule, Mapping):
            yield from (((*at, name, key), rule[key]) for key in _EXPRESSIONS if isinstance(rule.get(key), str))
            yield from _of_fields(rule.get("fields"), (*at, name, "fields"))
