"""The table of functions: how one is entered, what its parameters may be, what its docstring says, its limits.

Parameters are checked before a function runs, so its body is only about what it does. A docstring is a sentence, then
examples as `call -> JSON`; the page for users is made of them, and tests hold both to the truth.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from typing import Any, NamedTuple, get_args

from gateway import document
from gateway.mapping.types import ARITHMETIC, DIGITS_MAX, EvaluationError, kind

TEXT_MAX = 1 << 18
"""Characters of a text that a function makes out of others. A vendor's record is a quarter of it."""
TEXTS_MAX = 1 << 24
"""Characters of all texts in one result."""
VALUES_MAX = 250_000
"""Values in one result, nested ones included; also elements of a list that a function makes."""
BITS_MAX = 1340  # of an integer with DIGITS_MAX digits

_ADD = ARITHMETIC.add

Number = int | Decimal
Reference = Callable[[Any], Any]
"""A `&expression` as a function receives it."""


class Parameter(NamedTuple):
    """What one argument may be. `elements`: what a list's elements must all be, one of these."""

    name: str
    text: str
    kinds: frozenset[type]
    elements: tuple[frozenset[type], ...]
    reference: bool
    optional: bool

    def check(self, function: str, value: Any) -> None:
        if type(value) not in self.kinds:
            raise EvaluationError(f"{function}(): {self.name} must be {self.text}, not {kind(value)}")
        if self.elements and type(value) is list:
            self._check_elements(function, value)

    def _check_elements(self, function: str, value: list[Any]) -> None:
        for allowed in self.elements:
            if allowed.issuperset(map(type, value)):
                return
        kinds = ", ".join(sorted({kind(element) for element in value}))
        raise EvaluationError(f"{function}(): {self.name} must be {self.text}, not an array of {kinds}")


@dataclass(frozen=True, slots=True)
class Function:
    """One function: its parameters, and the Python that does it.

    `passes_null`: null for a null. `lazy`: it takes and gives closures. `grows`: its texts may be longer than those it
    is given. `shares`: its result may hold its arguments, where it is no text, number or boolean.
    """

    name: str
    group: str
    call: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    variadic: bool
    passes_null: bool
    lazy: bool
    grows: bool
    shares: bool
    doc: str

    def accepts(self, count: int) -> bool:
        """Whether it may be called with this many arguments."""
        needed = sum(not parameter.optional for parameter in self.parameters)
        return needed <= count and (self.variadic or count <= len(self.parameters))

    def parameter(self, place: int) -> Parameter:
        """The parameter that the argument at this place is for; the last one repeats in a variadic function."""
        return self.parameters[min(place, len(self.parameters) - 1)]

    @property
    def signature(self) -> str:
        """The function as it is written: `round(value, digits?)`."""
        names = [parameter.name + "?" * parameter.optional for parameter in self.parameters]
        return f"{self.name}({', '.join(names)}{', ...' if self.variadic else ''})"

    @property
    def summary(self) -> str:
        """Its docstring's sentences, without the examples."""
        lines = [line.strip() for line in self.doc.splitlines()]
        return " ".join(line for line in lines if line and " -> " not in line)

    @property
    def examples(self) -> tuple[tuple[str, str], ...]:
        """Its docstring's examples: expression and JSON."""
        found = (line.strip().partition(" -> ") for line in self.doc.splitlines() if " -> " in line)
        return tuple((expression, result) for expression, _, result in found)


KINDS: dict[str, frozenset[type]] = {
    "string": frozenset({str}),
    "number": frozenset({int, Decimal, float}),
    "boolean": frozenset({bool}),
    "array": frozenset({list}),
    "object": frozenset({dict}),
    "null": frozenset({type(None)}),
}

ANY = frozenset().union(*KINDS.values())

_SCALARS = [str, int, bool, Decimal, type(None)]

FUNCTIONS: dict[str, Function] = {}
"""Every function, by the name it has in an expression."""

_Body = Callable[..., Any]


def _parameter(name: str, spec: str) -> Parameter:
    """A parameter from its spec: `string`, `number|string`, `array[number]|array[string]`, `any`, `&`, and `?`."""
    optional = spec.endswith("?")
    spec = spec.rstrip("?*")
    if spec in {"any", "&"}:
        return Parameter(name, "an &expression" if spec == "&" else "anything", ANY, (), spec == "&", optional)
    kinds: set[type] = set()
    elements: list[frozenset[type]] = []
    for part in spec.split("|"):
        outer, _, inner = part.partition("[")
        kinds |= KINDS[outer]
        if inner:
            elements.append(KINDS[inner.rstrip("]")])
    return Parameter(name, spec.replace("|", " or "), frozenset(kinds), tuple(elements), False, optional)


def function(
    name: str, *specs: str, group: str = "JMESPath", passes_null: bool = False, lazy: bool = False, grows: bool = False
) -> Callable[[_Body], _Body]:
    """Enter a function into the table. A last spec that ends in `*` repeats; one that `grows` makes texts longer than
    those it is given, so they are counted.
    """

    def enter(body: _Body) -> _Body:
        signature = inspect.signature(body)
        taken = signature.parameters.values()
        names = [parameter.name for parameter in taken if parameter.kind is not inspect.Parameter.VAR_POSITIONAL]
        parameters = tuple(_parameter(name, spec) for name, spec in zip(names, specs, strict=True))
        variadic = bool(specs) and specs[-1].endswith("*")
        made = signature.return_annotation
        shares = any(one not in _SCALARS for one in get_args(made) or [made])
        doc = inspect.getdoc(body) or ""
        FUNCTIONS[name] = Function(name, group, body, parameters, variadic, passes_null, lazy, grows, shares, doc)
        return body

    return enter


# --- what functions share ------------------------------------------------------------------------------------------


def truthy(value: Any) -> bool:
    """JMESPath's truth: false are null, false, and empty texts, lists and objects. Zero is true."""
    if value:
        return True
    return type(value) is int or type(value) is Decimal or type(value) is float


def exact(value: Any) -> Number:
    """A number that arithmetic may be done on."""
    if type(value) is int and value.bit_length() <= BITS_MAX:
        return value
    found: Number = Decimal(repr(value)) if isinstance(value, float) else value
    large = found.bit_length() > BITS_MAX if isinstance(found, int) else abs(found.adjusted()) > DIGITS_MAX
    if large:
        raise EvaluationError(f"a number of more than {DIGITS_MAX} digits", "too-large")
    return found


def total(values: Sequence[Any]) -> Number:
    total: Number = 0
    try:
        for value in values:
            if type(value) is Decimal and -DIGITS_MAX <= value.adjusted() <= DIGITS_MAX:
                total = _ADD(total, value)
                continue
            found = exact(value)
            whole = type(found) is int and type(total) is int
            total = exact(total + found) if whole else _ADD(total, found)
    except DecimalException as error:
        raise failed(error) from None
    return total


def decimal(compute: Callable[[Any, Any], Decimal], left: Number, right: Number) -> Decimal:
    try:
        return compute(left, right)
    except DecimalException as error:
        raise failed(error) from None


def failed(error: DecimalException) -> EvaluationError:
    """Arithmetic that came to nothing, as a fault."""
    return EvaluationError(f"arithmetic: {type(error).__name__}", "invalid-value")


# --- limits --------------------------------------------------------------------------------------------------------


def bounded_text(text: str) -> str:
    if len(text) > TEXT_MAX:
        raise EvaluationError(f"a text of more than {TEXT_MAX} characters", "too-large")
    return text


def room_for(characters: int) -> None:
    if characters > TEXT_MAX:
        raise EvaluationError(f"a text of more than {TEXT_MAX} characters", "too-large")


def bounded(value: Any) -> int:
    """How many values a document holds. Raises where they are more than VALUES_MAX, their texts longer than TEXTS_MAX
    together, or nested deeper than a document may be. What is shared counts as often as it would be written.
    """
    values = depth = 0
    characters = len(value) if type(value) is str else 0
    level = [value] if type(value) is dict or type(value) is list else []
    while level:
        below: list[Any] = []
        for node in level:
            values += len(node)
            if values > VALUES_MAX:
                raise EvaluationError(f"a result of more than {VALUES_MAX} values", "too-large")
            if node and depth == document.MAX_DEPTH:
                raise EvaluationError(f"a result nested deeper than {document.MAX_DEPTH}", "too-large")
            for one in node.values() if type(node) is dict else node:
                if type(one) is str:
                    characters += len(one)
                elif type(one) is dict or type(one) is list:
                    below.append(one)
        level = below
        depth += 1
    if characters > TEXTS_MAX:
        raise EvaluationError(f"a result of more than {TEXTS_MAX} characters", "too-large")
    return values
