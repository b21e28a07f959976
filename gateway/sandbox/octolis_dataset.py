"""What the simulated Octolis holds for one dataset: columns and their types, dedup keys, master records, what has been
prepared for reading.
"""

import re
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

from gateway.clock import Chance, Clock
from gateway.sandbox.api import Refused

INT_MIN, INT_MAX = -2_147_483_648, 2_147_483_647
FLOAT_DIGITS = 6
RECORDS_MAX = 500_000
VERSIONS_KEPT = 32
COLUMNS_MAX = 1_000
USUAL_KEYS = ("order_id", "product_id", "customer_id", "id", "external_id", "email")
"""By which an open dataset tells records apart: the first of these that its first record has."""

_DATETIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")

Type = Literal["text", "int", "float", "bool", "datetime"]


class Column(Struct, frozen=True, forbid_unknown_fields=True):
    """A base column. `mandatory`: must come with the first write. `protected`: writes are ignored with a warning."""

    type: Type = "text"
    default: Any = None
    mandatory: bool = False
    protected: bool = False


class Shape(Struct, frozen=True, forbid_unknown_fields=True):
    """A dataset as it is set up. `keys`: sets of columns, each of which tells records apart. `columns` None: an open
    dataset, which takes any column of any type. `kind` sql: read-only.
    """

    keys: tuple[tuple[str, ...], ...] = ()
    columns: dict[str, Column] | None = None
    kind: Literal["table", "sql"] = "table"


class Master(Struct):
    """A master record: its values, its ids (its own, then those merged into it), and what readers see from when on."""

    id: str
    values: dict[str, Any]
    created_at_ms: int
    modified_at_ms: int
    merged: list[str]
    prepared: deque[tuple[float, dict[str, Any]]]


class Written(Struct, frozen=True):
    """What an upsert did: the record as it stands, and the protected columns that were left alone."""

    record: dict[str, Any]
    protected: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"record": self.record}
        if self.protected:
            body["warnings"] = {"protected_columns": list(self.protected)}
        return body


class Dataset:
    """One dataset. Raises Refused (400) for what does not fit, with Octolis' own words."""

    def __init__(self, shape: Shape, clock: Clock, chance: Chance, prep_delay_s: float, *, significant: bool) -> None:
        self.shape = shape
        self.keys = shape.keys
        self._clock = clock
        self._chance = chance
        self._prep_delay_s = prep_delay_s
        self._significant = significant
        self._masters: dict[str, Master] = {}
        self._owner: dict[str, str] = {}
        self._types: dict[str, Type] = {}
        self._index: dict[tuple[Any, ...], set[str]] = {}

    def __len__(self) -> int:
        return len(self._masters)

    # --- writing -----------------------------------------------------------------------------------------------------

    def upsert(self, given: Any) -> Written:
        """Write a record by its dedup keys: none known makes a new master, several known become one."""
        values, protected = self._checked(given, new=True)
        known = [self._masters[one] for one in self._matching(values)]
        if not known:
            return Written(self._created(values), protected)
        master = self._merged(known)
        self._write(master, values)
        return Written(self._shown(master), protected)

    def update(self, master_id: str, given: Any) -> Written:
        """Write to a master record by its id, or by one that was merged into it."""
        master = self._find(master_id)
        values, protected = self._checked(given, new=False)
        after = {**master.values, **values}
        if any(other != master.id for other in self._matching(after)):
            raise _invalid(values, ["another record has these keys"])
        self._write(master, values)
        return Written(self._shown(master), protected)

    def _created(self, values: dict[str, Any]) -> dict[str, Any]:
        columns = self.shape.columns or {}
        whole = {name: column.default for name, column in columns.items()} | values
        now_ms = self._clock.now_ms()
        name = str(uuid.UUID(bytes=self._chance.nonce(16), version=4))
        master = Master(name, {}, now_ms, now_ms, [name], deque(maxlen=VERSIONS_KEPT))
        if len(self._masters) >= RECORDS_MAX:
            self._drop(next(iter(self._masters.values())))
        self._masters[name] = master
        self._owner[name] = name
        self._write(master, whole)
        return self._shown(master)

    def _write(self, master: Master, values: dict[str, Any]) -> None:
        self._unindex(master)
        master.values.update(values)
        master.modified_at_ms = self._clock.now_ms()
        for key in self._keys_of(master.values):
            self._index.setdefault(key, set()).add(master.id)
        now_s = self._clock.monotonic_s()
        master.prepared.append((now_s + self._prep_delay_s, self._shown(master)))
        while len(master.prepared) > 1 and master.prepared[1][0] <= now_s:
            master.prepared.popleft()

    def _merged(self, known: list[Master]) -> Master:
        """One master out of those that a record matches: the oldest keeps its id, the younger ones' values win."""
        first, *others = sorted(known, key=lambda one: one.created_at_ms)
        self._unindex(first)
        for other in others:
            self._drop(other)
            first.values.update((name, value) for name, value in other.values.items() if value is not None)
            first.merged.extend(other.merged)
            self._owner.update(dict.fromkeys(other.merged, first.id))
        return first

    def _drop(self, master: Master) -> None:
        self._unindex(master)
        del self._masters[master.id]

    def _unindex(self, master: Master) -> None:
        for key in self._keys_of(master.values):
            holders = self._index.get(key, set())
            holders.discard(master.id)
            if not holders:
                self._index.pop(key, None)

    def _keys_of(self, values: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        for names in self.keys:
            if all(values.get(name) is not None for name in names):
                yield (names, *(str(values[name]) for name in names))

    def _matching(self, values: dict[str, Any]) -> list[str]:
        found = (one for key in self._keys_of(values) for one in self._index.get(key, ()))
        return list(dict.fromkeys(found))

    def key_texts(self, given: Any) -> list[str]:
        """The dedup keys of a record as texts: what must not be under way twice."""
        if not isinstance(given, dict):
            return []
        self._learn(given)
        return ["/".join(map(str, key[1:])) for key in self._keys_of(given)]

    def _learn(self, given: dict[str, Any]) -> None:
        """An open dataset takes its key from its first record."""
        if not self.keys and given:
            usual = [name for name in USUAL_KEYS if given.get(name) is not None]
            self.keys = (((usual or list(given))[0],),)

    # --- checking ----------------------------------------------------------------------------------------------------

    def _checked(self, given: Any, *, new: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
        if not isinstance(given, dict) or not given:
            raise _invalid(given, ["an object with columns is expected"])
        values = {name: value for name, value in given.items() if not name.startswith("__")}
        errors = [error for name, value in values.items() for error in self._wrong(name, value)]
        if errors:
            raise _invalid(values, errors)
        if new:
            self._learn(values)
            self._require(values)
        columns = self.shape.columns or {}
        protected = tuple(name for name in values if name in columns and columns[name].protected)
        return {name: value for name, value in values.items() if name not in protected}, protected

    def _wrong(self, name: str, value: Any) -> Iterable[str]:
        column = (self.shape.columns or {}).get(name)
        if column is None and self.shape.columns is not None:
            yield f"{name} (#/additionalProperties) - is not a column of this dataset"
        elif value is not None:
            kind = column.type if column is not None else self._learned(name, value)
            yield from (f"{name} (#/properties/{name}/{rule}) - {says}" for rule, says in self._misfits(kind, value))

    def _learned(self, name: str, value: Any) -> Type:
        """An open dataset's columns have the type of their first value, as any column has one type. A number with
        decimals may follow a whole one.
        """
        kind = _kind(value)
        if len(self._types) < COLUMNS_MAX or name in self._types:
            learned = self._types.setdefault(name, kind)
            if {learned, kind} == {"int", "float"}:
                self._types[name] = kind = "float"
            return self._types[name]
        return kind

    def _misfits(self, kind: str, value: Any) -> Iterable[tuple[str, str]]:
        if not _IS[kind](value):
            yield "type", f"must be {_SAYS[kind]}"
        elif kind in ("int", "float"):
            if not INT_MIN <= value <= INT_MAX:
                yield "maximum", f"must be between {INT_MIN} and {INT_MAX}"
            if isinstance(value, Decimal) and self._digits(value) > FLOAT_DIGITS:
                yield "multipleOf", f"must have a maximum of {FLOAT_DIGITS} digits"

    def _digits(self, value: Decimal) -> int:
        exponent = value.as_tuple().exponent
        if self._significant:
            return len(value.as_tuple().digits)
        return -exponent if isinstance(exponent, int) and exponent < 0 else 0

    def _require(self, values: dict[str, Any]) -> None:
        if not self.keys:
            self.keys = (
                tuple(name for name in USUAL_KEYS if values.get(name) is not None)[:1] or (next(iter(values)),),
            )
        missing = [] if any(True for _ in self._keys_of(values)) else [n for n in self.keys[0] if values.get(n) is None]
        if not self._matching(values):
            columns = self.shape.columns or {}
            missing += [name for name, one in columns.items() if one.mandatory and values.get(name) is None]
        if missing := list(dict.fromkeys(missing)):
            detail = f"Missing the following mandatory columns: {', '.join(missing)}"
            title = "Missing mandatory columns from the upsertion data"
            raise Refused(400, title, "missing_columns", detail, {"detail": detail, "missing": missing})

    # --- reading -----------------------------------------------------------------------------------------------------

    def prepared(self, master_id: str) -> tuple[dict[str, Any], bool]:
        """A master record as it has been prepared, and whether the id is one that was merged away."""
        master = self._find(master_id)
        ready = self._ready(master)
        if ready is None:
            raise Refused(404, "Record not found")
        return ready, master.id != master_id

    def all_prepared(self) -> list[dict[str, Any]]:
        """Every master record that has been prepared, the latest modified first."""
        ready = [one for master in self._masters.values() if (one := self._ready(master)) is not None]
        return sorted(ready, key=lambda one: str(one["__modified_at__"]), reverse=True)

    def _ready(self, master: Master) -> dict[str, Any] | None:
        now_s = self._clock.monotonic_s()
        return next((shown for at_s, shown in reversed(master.prepared) if at_s <= now_s), None)

    def _find(self, master_id: str) -> Master:
        master = self._masters.get(self._owner.get(master_id, ""))
        if master is None:
            raise Refused(404, "Record not found", "unknown_record", master_id)
        return master

    def _shown(self, master: Master) -> dict[str, Any]:
        return {
            **master.values,
            "__masterid__": master.id,
            "__all_masterids__": list(master.merged),
            "__modified_at__": moment(master.modified_at_ms),
            "__created_at__": moment(master.created_at_ms),
            "__updated_at__": moment(master.modified_at_ms),
        }


def moment(at_ms: int) -> str:
    """A time as Octolis writes it, with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def iso_times(given: Any) -> list[str]:
    """Columns whose value looks like an ISO 8601 time, which Octolis does not promise to read."""
    if not isinstance(given, dict):
        return []
    return [name for name, value in given.items() if isinstance(value, str) and _ISO.match(value)]


def _invalid(values: Any, errors: list[str]) -> Refused:
    title, detail = "Validation failed for the provided data", "Validation for upsertion request failed"
    return Refused(400, title, "invalid_values", errors[0], {"detail": detail, "values": values, "errors": errors})


def _kind(value: Any) -> Type:
    """The type of a column that has none declared."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    return "float" if isinstance(value, Decimal) else "text"


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_IS: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "int": _is_int,
    "float": lambda value: _is_int(value) or isinstance(value, Decimal),
    "bool": lambda value: isinstance(value, bool),
    "datetime": lambda value: isinstance(value, str) and _DATETIME.fullmatch(value) is not None,
}
_SAYS = {"text": "string", "int": "integer", "float": "number", "bool": "boolean", "datetime": "date-time"}
