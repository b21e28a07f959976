"""Which fields a mapping reads, and which it makes, told from its rules without running them.

A path is the way to a field by names alone: lists are passed through, so `line_items.sku` is every line's sku, and `*`
stands for any name. Where an expression hides what it reads (a function over a whole object), all of it counts as read:
what is called unread here really is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.mapping.blocks import TYPE_KEYS
from gateway.mapping.expressions import ExpressionError, Node, syntax_tree

Path = tuple[str, ...]
Where = tuple[str | int, ...]
Paths = frozenset[Path]

ANY = "*"
NOTHING: Paths = frozenset()
ROOT: Paths = frozenset({()})


@dataclass(slots=True)
class Reads:
    """What is read of a document, and the key path of the rule that reads it first: `taken` with all that is below,
    `looked` only itself (is it there, how long is it).
    """

    taken: dict[Path, Where] = field(default_factory=dict)
    looked: dict[Path, Where] = field(default_factory=dict)

    def covers(self, path: Path) -> bool:
        """Whether a field is read, itself or as part of something that is."""
        return any(_is_at(read, path) for read in self.looked) or any(
            _is_at(read, path[: len(read)]) for read in self.taken
        )

    def paths(self) -> dict[Path, Where]:
        """Everything that is read by name, and where."""
        return self.looked | self.taken


def _is_at(read: Path, path: Path) -> bool:
    return len(read) == len(path) and all(one in (ANY, name) for one, name in zip(read, path, strict=True))


def reads(mapping: Mapping[str, Any]) -> Reads:
    """What a mapping (with `extends` resolved) reads of its document: `body.id`, `headers.x-shop`, `data.total`."""
    walk = _Walk()
    scope: _Scope = {}
    if "root" in mapping:
        scope = {"item": walk.looked(mapping["root"], scope, ("root",)), "parent": ROOT}
    walk.looked(mapping.get("when"), scope, ("when",))
    walk.members(mapping.get("fields"), scope, ("fields",))
    return walk.found


def reads_of(condition: str) -> Reads:
    """What a condition reads of its document."""
    walk = _Walk()
    walk.looked(condition, {}, ())
    return walk.found


def made(mapping: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any] | str]]:
    """Every field that a mapping can make, with its rule; an object's own path comes before those in it."""
    return _made(mapping.get("fields"), ())


def _made(members: Any, path: Path) -> Iterator[tuple[Path, Mapping[str, Any] | str]]:
    for name, rule in (members if isinstance(members, dict) else {}).items():
        below = (*path, str(name))
        yield below, rule
        if isinstance(rule, dict):
            yield from _made(rule.get("fields"), below)


# --- a mapping -------------------------------------------------------------------------------------------------------

_Scope = Mapping[str, Paths]
"""What `item` and `parent` are, where they are known."""


class _Walk:
    """Goes through a mapping's fields and notes what their expressions read. What is no expression reads nothing."""

    def __init__(self) -> None:
        self.found = Reads()

    def taken(self, text: Any, scope: _Scope, where: Where) -> None:
        """An expression whose result is used whole."""
        _note(self.found.taken, self._result(text, scope, where), where)

    def looked(self, text: Any, scope: _Scope, where: Where) -> Paths:
        """An expression whose result is asked whether it is there, or gone through; where that is."""
        result = self._result(text, scope, where)
        _note(self.found.looked, result - ROOT, where)
        return result

    def members(self, members: Any, scope: _Scope, where: Where) -> None:
        for name, rule in (members if isinstance(members, dict) else {}).items():
            self._field(rule, scope, (*where, str(name)))

    def _field(self, rule: Any, scope: _Scope, where: Where) -> None:
        if not isinstance(rule, dict):
            self.taken(rule, scope, where)
            return
        for key in TYPE_KEYS:
            self.taken(rule.get(key), scope, (*where, key))
        key = "each" if "each" in rule else "from"
        if key not in rule:
            self.members(rule.get("fields"), scope, (*where, "fields"))
        elif "fields" in rule:
            self.members(rule["fields"], self._inner(rule[key], scope, (*where, key)), (*where, "fields"))
        elif key == "each":
            self.taken(rule.get("from", "item"), self._inner(rule[key], scope, (*where, key)), (*where, "from"))
        else:
            self.taken(rule[key], scope, (*where, key))

    def _inner(self, text: Any, scope: _Scope, where: Where) -> _Scope:
        return {"item": self.looked(text, scope, where), "parent": scope.get("item", ROOT)}

    def _result(self, text: Any, scope: _Scope, where: Where) -> Paths:
        if not isinstance(text, str):
            return NOTHING
        try:
            tree = syntax_tree(text)
        except ExpressionError:
            return NOTHING
        return _Expression(self.found, scope, where).result(tree, ROOT)


def _note(found: dict[Path, Where], paths: Iterable[Path], where: Where) -> None:
    for path in paths:
        found.setdefault(path, where)


# --- an expression ---------------------------------------------------------------------------------------------------

_PASSING = frozenset({"coalesce", "not_null", "to_array", "reverse", "compact", "merge", "if", "lookup"})
"""Functions whose result is (one of) their arguments, so that what is read of it is told by what follows."""
_LOOKING = frozenset({"type", "length", "keys"})
"""Functions that only look at a value."""


class _Expression:
    """Follows one expression's tree: from where a node's input stands in the document to where its result does."""

    def __init__(self, found: Reads, scope: _Scope, where: Where) -> None:
        self._found = found
        self._scope = scope
        self._where = where

    def result(self, node: Node, at: Paths) -> Paths:
        kind = node["type"]
        if kind in _IN_TURN:
            return self._in_turn(node["children"], at)
        handle: Callable[[Node, Paths], Paths] | None = getattr(self, f"_{kind}", None)
        return handle(node, at) if handle else at if kind in _THROUGH else NOTHING

    def _in_turn(self, nodes: Iterable[Node], at: Paths) -> Paths:
        for node in nodes:
            at = self.result(node, at)
        return at

    def _field(self, node: Node, at: Paths) -> Paths:
        name = node["value"]
        below: set[Path] = set()
        for path in at:
            below |= self._scope[name] if not path and name in self._scope else {(*path, name)}
        return frozenset(below)

    def _value_projection(self, node: Node, at: Paths) -> Paths:
        left, right = node["children"]
        return self.result(right, _any_below(self.result(left, at)))

    def _filter_projection(self, node: Node, at: Paths) -> Paths:
        left, right, condition = node["children"]
        elements = self.result(left, at)
        self._look(condition, elements)
        return self.result(right, elements)

    def _multi_select_list(self, node: Node, at: Paths) -> Paths:
        return self._any_of(node["children"], at)

    def _multi_select_dict(self, node: Node, at: Paths) -> Paths:
        for pair in node["children"]:
            self._take(pair["children"][0], at)
        return NOTHING

    def _or_expression(self, node: Node, at: Paths) -> Paths:
        return self._any_of(node["children"], at)

    def _and_expression(self, node: Node, at: Paths) -> Paths:
        left, right = node["children"]
        self._look(left, at)
        return self.result(right, at)

    def _not_expression(self, node: Node, at: Paths) -> Paths:
        self._look(node["children"][0], at)
        return NOTHING

    def _comparator(self, node: Node, at: Paths) -> Paths:
        for child in node["children"]:
            self._look(child, at)
        return NOTHING

    def _function_expression(self, node: Node, at: Paths) -> Paths:
        name, arguments = node["value"], node["children"]
        if name in ("if", "lookup"):
            self._look(arguments[0], at)
            return self._any_of(arguments[1:], at)
        if name == "values":
            return _any_below(self._any_of(arguments, at))
        if any(argument["type"] == "expref" for argument in arguments):
            return self._by_reference(name, arguments, at)
        if name in _PASSING:
            return self._any_of(arguments, at)
        for argument in arguments:
            (self._look if name in _LOOKING else self._take)(argument, at)
        return NOTHING

    def _by_reference(self, name: str, arguments: list[Node], at: Paths) -> Paths:
        """`map` gives what its expression makes of the elements, `sort_by` and the like the elements themselves."""
        elements = self._any_of([one for one in arguments if one["type"] != "expref"], at)
        inner = [one["children"][0] for one in arguments if one["type"] == "expref"]
        if name == "map":
            return self._any_of(inner, elements)
        for expression in inner:
            self._look(expression, elements)
        return elements

    def _any_of(self, nodes: Iterable[Node], at: Paths) -> Paths:
        return frozenset(path for node in nodes for path in self.result(node, at))

    def _look(self, node: Node, at: Paths) -> None:
        _note(self._found.looked, self.result(node, at) - ROOT, self._where)

    def _take(self, node: Node, at: Paths) -> None:
        _note(self._found.taken, self.result(node, at), self._where)


_IN_TURN = frozenset({"subexpression", "index_expression", "pipe", "projection", "flatten"})
"""Nodes whose children work on one another's result: lists are passed through, so a projection is one of them."""
_THROUGH = frozenset({"current", "identity", "index", "slice"})


def _any_below(at: Paths) -> Paths:
    return frozenset((*path, ANY) for path in at)
