import asyncio
from dataclasses import replace

from msgspec.structs import replace as changed
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from gateway.admin.figures import Figures, LaneFigures
from gateway.admin.status import Role
from gateway.errors import Fault
from gateway.journal.base import LaneRow
from gateway.telemetry.metrics import AT_SCRAPE
from tests.admin.asgi import Client
from tests.admin.conftest import Gateway
from tests.admin.shelf import LANE, NOW_MS, Shelf, Still


async def samples(client: Client) -> dict[str, float]:
    """Every sample of a scrape by its name and labels, as they stand in the text."""
    answer = await client.get("/metrics")
    assert answer.status == 200
    return {
        sample.name + "".join(f" {name}={text}" for name, text in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_it_says_that_it_is_alive_to_everybody(stranger: Client) -> None:
    answer = await stranger.get("/healthz")

    assert (answer.status, answer.json) == (200, {"alive": True})


async def test_it_is_ready_when_every_role_can_be_done(stranger: Client) -> None:
    answer = await stranger.get("/readyz")

    assert answer.status == 200
    assert answer.json["ready"] is True
    assert answer.json["configuration"] == {"digest": "3f9c2a", "revision": 7, "refused": []}


async def test_it_is_not_ready_while_one_role_is_not_and_says_why(stranger: Client, gateway: Gateway) -> None:
    gateway.roles[0] = replace(gateway.roles[0], ready=False, why="journal_unavailable: disk is full", restarts=2)

    answer = await stranger.get("/readyz")

    assert answer.status == 503
    assert answer.json["roles"][0] == {
        "role": "receiver",
        "ready": False,
        "why": "journal_unavailable: disk is full",
        "since": "2026-01-31T09:00:00.000Z",
        "restarts": 2,
    }


async def test_a_dispatcher_that_keeps_dying_does_not_make_the_receiver_unready(
    stranger: Client, gateway: Gateway
) -> None:
    gateway.roles[1] = replace(gateway.roles[1], ready=False, why="died with exit code 1")

    assert (await stranger.get("/readyz")).status == 503
    assert (await stranger.get("/readyz?role=receiver")).status == 200
    assert (await stranger.get("/readyz?role=dispatcher")).status == 503
    assert (await stranger.get("/readyz?role=cook")).status == 503


async def test_a_role_can_be_done_while_one_of_its_processes_can(stranger: Client, gateway: Gateway) -> None:
    gateway.roles = [Role("receiver-1", ready=False), Role("receiver-2", ready=True)]

    assert (await stranger.get("/readyz")).status == 200


async def test_a_gateway_without_roles_is_not_ready(stranger: Client, gateway: Gateway) -> None:
    gateway.roles.clear()

    assert (await stranger.get("/readyz")).status == 503


async def test_a_refused_configuration_is_told_and_does_not_make_it_unready(stranger: Client, gateway: Gateway) -> None:
    gateway.refused = (Fault("gateway.yaml", 3, 7, "routes[0].to", "no destination is named ometria", "ometria-uk?"),)

    answer = await stranger.get("/readyz")

    assert answer.status == 200
    assert answer.json["configuration"]["refused"][0]["hint"] == "ometria-uk?"


async def test_a_scrape_shows_the_ledger_of_every_lane(stranger: Client) -> None:
    found = await samples(stranger)

    lane = "destination=ometria-uk kind=live source=uk-shop"
    assert found[f"gateway_lane_events {lane} state=delivered"] == 5
    assert found[f"gateway_lane_events {lane} state=waiting"] == 2
    assert found[f"gateway_lane_events {lane} state=dead"] == 1
    assert found[f"gateway_lane_lag_seconds {lane}"] == 90
    assert found[f"gateway_lane_orphaned {lane}"] == 0
    assert found["gateway_lane_orphaned destination=gone kind=live source=uk-shop"] == 1
    assert found["gateway_lane_paused destination=gone kind=live source=uk-shop"] == 1


async def test_a_scrape_shows_roles_configuration_and_build(stranger: Client, gateway: Gateway) -> None:
    gateway.roles[1] = replace(gateway.roles[1], ready=False, restarts=3)

    found = await samples(stranger)

    assert found["gateway_role_ready role=receiver"] == 1
    assert found["gateway_role_ready role=dispatcher"] == 0
    assert found["gateway_role_restarts_total role=dispatcher"] == 3
    assert found["gateway_configuration_info digest=3f9c2a revision=7"] == 1
    assert found["gateway_started_timestamp_seconds"] == NOW_MS / 1000


async def test_all_that_is_looked_up_stands_in_the_catalogue_and_all_of_the_catalogue_is_looked_up(
    stranger: Client,
) -> None:
    answer = await stranger.get("/metrics")
    families = {family.name for family in text_string_to_metric_families(answer.text)}

    assert set(AT_SCRAPE) <= families | {f"{name}_total" for name in families}


async def test_replays_of_one_lane_are_one_so_that_labels_stay_few(stranger: Client, desk: Shelf) -> None:
    desk.lanes = [LaneRow(LANE, 1, None)]
    desk.lanes += [LaneRow(changed(LANE, id=9 + n, kind=f"replay-{n}"), 2, NOW_MS - 1_000) for n in range(3)]

    found = await samples(stranger)

    assert found["gateway_lane_events destination=ometria-uk kind=replay source=uk-shop state=waiting"] == 6
    assert not [name for name in found if "replay-2" in name]


def test_lanes_beyond_the_limit_are_left_out_and_counted(desk: Shelf, gateway: Gateway) -> None:
    registry = CollectorRegistry()
    registry.register(Figures(desk.lanes, gateway.status(), NOW_MS, most=1))

    assert registry.get_sample_value("gateway_lanes_left_out") == 1
    assert b'destination="gone"' not in generate_latest(registry)


async def test_without_the_journal_the_rest_is_given(stranger: Client, desk: Shelf) -> None:
    desk.broken = True

    found = await samples(stranger)

    assert found["gateway_journal_readable"] == 0
    assert found["gateway_role_ready role=receiver"] == 1
    assert not [name for name in found if name.startswith("gateway_lane_events")]


async def test_a_journal_that_takes_for_ever_does_not_hold_a_scrape(desk: Shelf, clock: Still) -> None:
    desk.stuck = True

    with capture_logs() as lines:
        rows = await LaneFigures(desk, clock, timeout_s=0.01).rows()

    assert rows is None
    assert [line["event"] for line in lines] == ["metrics.incomplete"]


async def test_scrapes_that_come_at_once_ask_the_journal_once(stranger: Client, desk: Shelf, clock: Still) -> None:
    await asyncio.gather(*(stranger.get("/metrics") for _ in range(5)))
    assert desk.asked == 1

    clock.now += 2_000
    await stranger.get("/metrics")
    assert desk.asked == 2


async def test_a_scraper_may_ask_for_openmetrics(stranger: Client) -> None:
    answer = await stranger.get("/metrics", {"accept": "application/openmetrics-text; version=1.0.0"})

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
