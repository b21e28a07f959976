"""The routes as a picture: sources on the left, routes in the middle, destinations on the right. Pure: places only."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.config.schema import Route, RouteTarget

WIDTH = 900
BOX_WIDTH = 210
BOX_HEIGHT = 44
ROW = 62
MARGIN = 12
NAME_CHARS = 26
NOTE_CHARS = 29
_COLUMNS = (MARGIN, (WIDTH - BOX_WIDTH) // 2, WIDTH - BOX_WIDTH - MARGIN)


class Box(Struct, frozen=True):
    """A box with its upper left corner, what stands in it, and all there is to say of it (`title`)."""

    x: int
    y: int
    name: str
    note: str
    title: str
    kind: str


class Line(Struct, frozen=True):
    """A way from one box to another, as an SVG path."""

    path: str
    title: str


class Picture(Struct, frozen=True):
    """Boxes and the lines between them."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def draw(sources: Mapping[str, str], routes: Sequence[Route], destinations: Mapping[str, str]) -> Picture:
    """The picture of a configuration: `sources` and `destinations` by name, with their preset or vendor."""
    rows = max(len(sources), len(routes), len(destinations), 1)
    left = _column(0, rows, [(name, preset, f"source {name}, {preset}", "source") for name, preset in sources.items()])
    middle = _column(1, rows, [_told(index, route) for index, route in enumerate(routes)])
    right = _column(
        2,
        rows,
        [(name, vendor, f"destination {name}, {vendor}", "destination") for name, vendor in destinations.items()],
    )
    by_source = dict(zip(sources, left, strict=True))
    by_destination = dict(zip(destinations, right, strict=True))
    lines: list[Line] = []
    for index, (route, box) in enumerate(zip(routes, middle, strict=True)):
        wanted = sources if route.source_names is None else route.source_names
        lines += [_line(by_source[name], box, f"{name} to routes[{index}]") for name in wanted if name in by_source]
        for target in route.to:
            name, mapping = (target.destination, target.map) if isinstance(target, RouteTarget) else (target, None)
            if name in by_destination:
                lines.append(
                    _line(box, by_destination[name], f"routes[{index}] to {name}{f' by {mapping}' if mapping else ''}")
                )
    return Picture(WIDTH, rows * ROW + 2 * MARGIN, (*left, *middle, *right), tuple(lines))


def _told(index: int, route: Route) -> tuple[str, str, str, str]:
    events = ", ".join(route.events)
    more = [f"when {route.when}"] if route.when else []
    more += [f"held {route.hold:g} s"] if route.hold else []
    return events, "; ".join(more), f"routes[{index}]: {'; '.join([events, *more])}", "route"


def _column(place: int, rows: int, told: Sequence[tuple[str, str, str, str]]) -> list[Box]:
    """Boxes one below the other, the whole of them in the middle of the rows."""
    top = MARGIN + (rows - len(told)) * ROW // 2
    return [
        Box(_COLUMNS[place], top + row * ROW, _cut(name, NAME_CHARS), _cut(note, NOTE_CHARS), title, kind)
        for row, (name, note, title, kind) in enumerate(told)
    ]


def _line(one: Box, other: Box, title: str) -> Line:
    start_x, start_y, end_x, end_y = one.x + BOX_WIDTH, one.y + BOX_HEIGHT // 2, other.x, other.y + BOX_HEIGHT // 2
    middle_x = (start_x + end_x) // 2
    return Line(f"M{start_x} {start_y} C{middle_x} {start_y} {middle_x} {end_y} {end_x} {end_y}", title)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
