"""The writer of a function: what runs for every field of every event is written out as one Python function for each
mapping.

Nothing of a mapping's text becomes source but as a quoted literal; everything else is handed over as a constant.
"""

from ast import literal_eval
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from gateway.mapping.types import EvaluationError, Unfit

Names = tuple[str, ...]
"""A place of a scope: a name, and names below it."""

Code = Callable[["Writer"], str]
"""Writes an expression: given the writer of the function in which it is to stand, Python for its value. The writer
knows what it is about: a mapping's scope, or an element of a list inside of a projection."""

_EMPTY: dict[str, Any] = {}
_NUMBERS = frozenset({int, Decimal, float})
_CONTAINERS = frozenset({dict, list})
_UNSET: Any = object()
_INNER = ("item", "parent")
"""Names of a scope that a block has of its own."""


class Frame:
    """Where one scope is in force: the whole function, whose argument `s` is the scope, or a block of it, where the
    scope has an `item` of its own, in a variable. `heads` are the lines that the block begins with.
    """

    def __init__(self, number: int = 0, item: str = "") -> None:
        self.number = number
        self.item = item
        self.heads: list[str] = []
        self.tables: dict[Names, str] = {}
        """The variables for objects of the scope, by their place in it."""
        self.shared: dict[tuple[str, ...], str] = {}
        """The variables for what several places want alike."""


class Writer:
    """One function on its way: its lines, and the constants that it names. `often` are the places of the scope that
    are looked up more than once: they are looked up where their frame begins. A `trial` is written to learn which.
    """

    def __init__(self, often: frozenset[tuple[int, Names]] = frozenset(), *, trial: bool = False) -> None:
        self.trial = trial
        self.constants: dict[str, Any] = {
            "EMPTY": _EMPTY,
            "NUMBERS": _NUMBERS,
            "CONTAINERS": _CONTAINERS,
            "EvaluationError": EvaluationError,
            "Unfit": Unfit,
            "UNSET": _UNSET,
            "Decimal": Decimal,
        }
        self.paths: list[str] = []
        """Of each line of the function that was made: the field that it is about."""
        self.depth = 0
        """Parts of an expression around the one that is written."""
        self.objects = 0
        """Objects of fields around the one that is written."""
        self.subject: str | None = None
        """The variable that holds what an expression is about, inside of a projection; else it is the scope."""
        self._functions: list[str] = []
        self._table = ""
        self._tables: set[str] = set()
        self.frames = [Frame()]
        self._looked_up: Counter[tuple[int, Names]] = Counter()
        self._often = often
        self._frames_made = 0
        self._reach = 0
        self._temporaries = 0

    def constant(self, value: Any) -> str:
        """A name for a value, or the value itself where Python can write it."""
        if value is None or type(value) is bool or (type(value) is str and len(value) < 100):  # noqa: PLR2004  a short one
            return repr(value)
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name

    def temporary(self, letter: str = "t") -> str:
        """A variable that nothing else uses."""
        self._temporaries += 1
        return f"{letter}{self._temporaries}"

    # --- the scope

    def found(self, names: Names) -> str:
        """The value at this place of the scope."""
        if len(names) == 1 and names[0] in _INNER and len(self.frames) > 1:
            self._reach = len(self.frames) - 1
            return self.frames[-1].item if names == ("item",) else self._parent()
        text = f"{self.table(names[:-1]) if len(names) > 1 else 's'}.get({names[-1]!r})"
        reach = self._reach_of(names)
        place = (self.frames[reach].number, names)
        self._looked_up[place] += 1
        return self._variable(("at", *names), "v", text, reach) if place in self._often else text

    def often(self) -> frozenset[tuple[int, Names]]:
        """The frames and places of the scope that were looked up more than once."""
        return frozenset(place for place, count in self._looked_up.items() if count > 1)

    def _reach_of(self, names: Names) -> int:
        """The frame to which a place of the scope belongs."""
        return len(self.frames) - 1 if names[0] in _INNER else 0

    def table(self, names: Names) -> str:
        """A variable that holds the object at this place of the scope, or an empty one where there is none. It is
        looked up once, where the frame begins that it belongs to.
        """
        reach = self._reach_of(names)
        self._reach = max(self._reach, reach)
        known = self.frames[reach].tables
        if names not in known:
            value, name = self.found(names), self.temporary("d")
            self.frames[reach].heads += [f"{name} = {value}", f"if type({name}) is not dict: {name} = EMPTY"]
            known[names] = name
        return known[names]

    def scope(self) -> str:
        """The whole scope, for closures and for `@`: that of a block is made by the first who wants it."""
        if len(self.frames) == 1:
            return "s"
        self._reach = len(self.frames) - 1
        name = self._variable(("@",), "s", "UNSET")
        inner = f"{{**s, 'item': {self.frames[-1].item}, 'parent': {self._parent()}}}"
        return f"({name} if {name} is not UNSET else ({name} := {inner}))"

    def _parent(self) -> str:
        """The item around that of a block; outermost, the whole document."""
        if len(self.frames) > 2:  # noqa: PLR2004  the function, the block around, the block
            return self.frames[-2].item
        return self._variable(("parent",), "o", "s.get('item', s)")

    def _variable(self, what: tuple[str, ...], letter: str, value: str, reach: int = -1) -> str:
        frame = self.frames[reach]
        if what not in frame.shared:
            frame.shared[what] = self.temporary(letter)
            frame.heads.append(f"{frame.shared[what]} = {value}")
        return frame.shared[what]

    def shared(self, code: Code | None, *what: str) -> tuple[str, str]:
        """An expression that several places want alike, with a variable for what they make of it (`what` tells it from
        others): null until the first has made it. It is made once in the outermost frame that the expression knows.
        """
        before, self._reach = self._reach, 0
        text = code(self) if code else ""
        reach, self._reach = self._reach, max(before, self._reach)
        return text, self._variable((text, *what), "p", "None", reach)

    @contextmanager
    def inside(self, item: str, *, known: bool) -> Iterator[Frame]:
        """What is written inside has this variable as its `item`. `known`: it holds an object."""
        self._frames_made += 1
        frame = Frame(self._frames_made, item)
        if known:
            frame.tables["item",] = item
        self.frames.append(frame)
        yield frame
        self.frames.pop()

    @contextmanager
    def about(self, subject: str, table: str = "") -> Iterator[set[str]]:
        """What is written inside is about the value in this variable. `table` names one that is to hold it where it is
        an object, else an empty one; what is given holds the name once somebody uses it.
        """
        before = self.subject, self._table, self._tables
        self.subject, self._table, self._tables = subject, table, set()
        yield self._tables
        self.subject, self._table, self._tables = before

    def subject_table(self) -> str:
        """The variable that holds what an expression is about as an object; empty where there is none."""
        if self._table:
            self._tables.add(self._table)
        return self._table

    def function(self, argument: str, body: Sequence[str]) -> str:
        """The name of a function of one argument with this body. What is inside of it has variables of its own."""
        name = self.temporary("each")
        self._functions += [f"def {name}({argument}):", *(f"    {line}" for line in body)]
        return name

    def made(self, body: Sequence[str]) -> Callable[[Any], Any]:
        """The function of the scope with this body."""
        lines = [*self._functions, "def run(s):", *(f"    {line}" for line in (*self.frames[0].heads, *body))]
        self.paths.extend(_paths(lines))
        space = dict(self.constants)
        exec(compile("\n".join(lines), "<mapping>", "exec"), space)  # noqa: S102  written here, of quoted literals alone
        made: Callable[[Any], Any] = space["run"]
        return made


def path_label(path: str) -> str:
    """A comment: the lines behind it are about this field. A line that fails is known by its number, so that nothing is
    noted while all goes well.
    """
    return f"# {path!r}"


def _paths(lines: Iterable[str]) -> Iterator[str]:
    """The field that each line is about."""
    path = ""
    for line in lines:
        label = line.lstrip()
        if label.startswith("# "):
            path = literal_eval(label[2:])
        yield path
