"""The routes as a picture: every box stands alone, every line leads where the route does."""

import re
from itertools import combinations

from gateway.admin.routemap import BOX_HEIGHT, BOX_WIDTH, Picture, draw
from gateway.config.schema import Route, RouteTarget

SOURCES = {"uk-shop": "shopify", "erp": "generic"}
DESTINATIONS = {"crm": "ometria", "lake": "http"}


def ends(picture: Picture) -> set[tuple[str, str]]:
    """The boxes that each line joins, found by where it begins and ends."""
    names = {(box.x, box.y + BOX_HEIGHT // 2): box.title for box in picture.boxes}
    found = set()
    for line in picture.lines:
        numbers = [int(text) for text in re.findall(r"\d+", line.path)]
        found.add((names[numbers[0] - BOX_WIDTH, numbers[1]], names[numbers[-2], numbers[-1]]))
    return found


def test_a_route_leads_from_its_sources_to_its_destinations() -> None:
    routes = [
        Route.model_validate({"from": "uk-shop", "events": ["order.*"], "to": ["crm"]}),
        Route.model_validate(
            {"when": "data.total > `0`", "hold": "5m", "to": [{"destination": "lake", "map": "mine"}]}
        ),
    ]
    picture = draw(SOURCES, routes, DESTINATIONS)
    orders, all_ = "routes[0]: order.*", "routes[1]: *; when data.total > `0`; held 300 s"
    uk, erp = "source uk-shop, shopify", "source erp, generic"
    crm, lake = "destination crm, ometria", "destination lake, http"
    assert ends(picture) == {(uk, orders), (orders, crm), (uk, all_), (erp, all_), (all_, lake)}
    assert "routes[1] to lake by mine" in {line.title for line in picture.lines}


def test_what_a_route_names_and_is_not_there_has_no_line() -> None:
    picture = draw({}, [Route.model_validate({"from": "gone", "to": ["gone", "crm"]})], DESTINATIONS)
    assert len(picture.lines) == 1


def test_no_box_covers_another_and_all_are_in_the_picture() -> None:
    many = {f"destination-with-a-rather-long-name-{number}": "http" for number in range(40)}
    routes = [Route(to=[RouteTarget(destination=name)]) for name in many]
    picture = draw(SOURCES, routes, many)
    for one, other in combinations(picture.boxes, 2):
        apart = abs(one.x - other.x) >= BOX_WIDTH or abs(one.y - other.y) >= BOX_HEIGHT
        assert apart, (one, other)
    assert all(box.y >= 0 and box.y + BOX_HEIGHT <= picture.height for box in picture.boxes)
    assert all(box.x + BOX_WIDTH <= picture.width and len(box.name) <= 26 for box in picture.boxes)


def test_an_empty_configuration_is_an_empty_picture() -> None:
    picture = draw({}, [], {})
    assert (picture.boxes, picture.lines) == ((), ())
