"""The shape of payloads, and how it drifts."""

from typing import Any

import pytest
from hypothesis import given

from gateway.clock import SystemClock
from gateway.mapping.drift import LEARNED, PAUSE_S, ROUND, TOPICS_MAX, Watch
from gateway.mapping.shape import ANY, PATHS_MAX, Shape, dotted, drift, gathered
from gateway.telemetry import metrics
from tests.mapping.making import documents


def shape(*payloads: Any) -> Shape:
    made = Shape()
    for payload in payloads:
        made.add(payload)
    return made


def paths(made: Shape) -> dict[str, str]:
    return {dotted(path): "/".join(sorted(one.kinds)) for path, one in made.fields.items()}


def changes(before: Shape, lately: Shape) -> list[str]:
    return [f"{one.change} {dotted(one.path)}" for one in drift(before, lately)]


def test_a_shape_has_every_field_by_its_path_with_its_kinds() -> None:
    made = shape({"id": 1, "paid": True, "note": None, "lines": [{"sku": "A"}, {"sku": 5}], "tags": []}, {"id": "2"})
    assert paths(made) == {
        "id": "number/text",
        "paid": "boolean",
        "note": "null",
        "lines": "object",
        "lines.sku": "number/text",
        "tags": "list",
    }
    assert (made.payloads, made.fields["id",].payloads, made.fields["paid",].payloads) == (2, 2, 1)


def test_names_that_are_ids_count_as_one() -> None:
    assert paths(shape({"stock": {"820982911": 1, "820982912": 2}})) == {"stock": "object", f"stock.{ANY}": "number"}


def test_a_shape_is_bounded_whatever_is_sent() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = {"a": deep}
    wide = shape({f"field-{number}": 1 for number in range(2 * PATHS_MAX)}, deep)
    assert len(wide.fields) <= PATHS_MAX + 30


@given(documents)
def test_any_document_has_a_shape(document: Any) -> None:
    made = shape(document, document)
    assert made.payloads == 2
    assert all(one.payloads == 2 for one in made.fields.values())
    assert list(drift(made, made)) == []


def test_two_shapes_are_one_counted_together() -> None:
    both = shape({"a": 1}).plus(shape({"a": "x"}, {"b": 1}))
    assert (both.payloads, both.fields["a",].payloads, paths(both)["a"]) == (3, 2, "number/text")


def test_an_object_stands_for_its_fields_where_all_are_meant() -> None:
    whole: dict[tuple[str, ...], int] = {("a", "b"): 1, ("a", "c"): 1, ("d", "e"): 1, ("d", "f"): 1}
    some = {path: 1 for path in whole if path != ("d", "f")}
    assert list(gathered(some, whole)) == [(("a",), 2), (("d", "e"), 1)]


# --- drift -----------------------------------------------------------------------------------------------------------

USUAL = [{"id": number, "total": "1.00", "customer": {"id": 1, "email": "a"}} for number in range(10)]


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ({"id": 1, "total": "1", "customer": {"id": 1, "email": "a"}}, []),
        ({"id": 1, "total": "1", "customer": {"id": 1, "email": "a"}, "gift": {"to": 1}}, ["appeared gift"]),
        ({"id": 1, "total": 1, "customer": {"id": 1, "email": None}}, ["changed total"]),
        ({"id": 1, "total": "1", "customer": {"id": 1}}, ["vanished customer.email"]),
        ({"id": 1, "total": "1"}, ["vanished customer"]),
    ],
)
def test_what_appeared_vanished_or_changed_is_told_once(payload: Any, told: list[str]) -> None:
    assert changes(shape(*USUAL), shape(payload, payload)) == told


def test_nothing_is_said_of_too_few() -> None:
    assert changes(shape(USUAL[0]), shape({"other": 1})) == []
    assert changes(shape(*USUAL), shape()) == []


def test_a_field_that_came_rarely_has_not_vanished_yet() -> None:
    assert changes(shape(*USUAL[:8], {**USUAL[0], "gift": 1}), shape(*USUAL[:3])) == []


# --- as it happens ---------------------------------------------------------------------------------------------------


def counted(source: str, change: str) -> float:
    return float(metrics.schema_drift.labels(source, change)._value.get())


class Clock(SystemClock):
    """A second goes by whenever it is asked."""

    now_s = 0.0
    step_s = 1.0

    def monotonic_s(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def look(watch: Watch, payload: Any, rounds: int = 1) -> None:
    for _ in range(rounds * ROUND):
        watch.look("orders/create", payload)


def learned(source: str, clock: Clock | None = None) -> Watch:
    watch = Watch(source, clock or Clock())
    for _ in range(LEARNED):
        watch.look("orders/create", {"id": 1, "total": "1"})
    return watch


def test_a_watch_tells_what_changed_after_it_has_learned() -> None:
    watch = learned("drift-one")
    look(watch, {"id": 1, "total": 1, "gift": True})
    assert [counted("drift-one", change) for change in ("appeared", "changed", "vanished")] == [1, 1, 0]


def test_a_watch_tells_a_change_once() -> None:
    watch = learned("drift-two")
    look(watch, {"id": 1}, rounds=3)
    assert counted("drift-two", "vanished") == 1


def test_a_field_that_comes_back_is_told_again() -> None:
    watch = learned("drift-three")
    look(watch, {"id": 1})
    look(watch, {"id": 1, "total": "1"})
    assert [counted("drift-three", change) for change in ("vanished", "appeared")] == [1, 1]


def test_a_watch_says_nothing_while_it_learns_or_when_all_is_as_ever() -> None:
    watch = Watch("drift-four", Clock())
    look(watch, {"id": 1}, rounds=2)
    assert [counted("drift-four", change) for change in ("appeared", "changed", "vanished")] == [0, 0, 0]


def test_where_many_come_most_are_passed_over() -> None:
    clock = Clock()
    watch = learned("drift-six", clock)
    clock.step_s = PAUSE_S / 100
    look(watch, {"id": 1, "total": 1}, rounds=99)
    assert counted("drift-six", "changed") == 0
    look(watch, {"id": 1, "total": 1}, rounds=2)
    assert counted("drift-six", "changed") == 1


def test_a_watch_keeps_so_many_topics_and_no_more() -> None:
    watch = Watch("drift-five", Clock())
    for number in range(3 * TOPICS_MAX):
        watch.look(f"topic-{number}", {"id": 1})
    assert len(watch._topics) == TOPICS_MAX
