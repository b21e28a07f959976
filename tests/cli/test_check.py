"""`gateway check` beside the faults themselves: annotations for CI, strictness, and the journal's lanes."""

import asyncio
from pathlib import Path

import pytest

from gateway import app
from gateway.journal.sqlite import SqliteJournal
from gateway.model import LaneSpec
from tests.cli.conftest import ENV, Run, answer


def register(folder: Path, *lanes: tuple[str, str]) -> None:
    """A journal that holds these lanes."""

    async def made() -> None:
        journal = SqliteJournal(folder / "gateway.db")
        await journal.open()
        await journal.register([LaneSpec(source, destination) for source, destination in lanes])
        await journal.close()

    asyncio.run(made())


ALL = [("uk-shop", "crm"), ("uk-shop", "bin"), ("erp", "bin")]


def test_github_shows_each_fault_beside_its_line(run: Run, config: Path) -> None:
    config.write_text("receivr: {}\nlog: {level: loud}\n")
    result = run("check", "--format", "github")
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first == (
        f"::error file={config},line=1,col=1,title=receivr::unknown key `receivr`%0Adid you mean `receiver`?"
    )
    assert second.startswith(f"::error file={config},line=2,col=14,title=log.level::")


def test_github_shows_warnings_as_warnings(run: Run, config: Path) -> None:
    config.write_text("destinations: {bin: {vendor: http, url: 'https://example.com'}}\n")
    result = run("check", "--format", "github")
    assert (result.exit_code, result.stdout[: len("::warning file=")]) == (0, "::warning file=")


def test_a_place_in_a_workflow_command_cannot_be_broken_by_its_text(run: Run, config: Path) -> None:
    config.write_text('sources: {erp: {normalise: {"a:b,c%": nowhere}}}\n')
    assert 'title=sources.erp.normalise["a%3Ab%2Cc%25"]::' in run("check", "--format", "github").stdout


def test_strict_makes_a_warning_a_no(run: Run, config: Path) -> None:
    config.write_text("destinations: {bin: {vendor: http, url: 'https://example.com'}}\n")
    assert [run("check").exit_code, run("check", "--strict").exit_code] == [0, 1]


def test_warnings_are_told_beside_faults(run: Run, config: Path) -> None:
    text = config.read_text()
    config.write_text(text.replace("data.total > `1000`", "data.totl > `1000`").replace("currency: GBP", "currency: L"))
    found = answer(run("check", "--json"))
    assert [fault["path"] for fault in found["faults"]] == ["sources.uk-shop.currency"]


def test_a_condition_on_a_field_that_is_never_there_is_worth_a_look(run: Run, config: Path) -> None:
    config.write_text(config.read_text().replace("data.total > `1000`", "data.totl > `1000`"))
    (warning,) = answer(run("check", "--json"))["warnings"]
    assert (warning["path"], warning["hint"]) == ("routes[1].when", "did you mean `data.total`?")


# --- lanes -----------------------------------------------------------------------------------------------------------


def test_without_a_journal_no_lane_is_told_of_and_none_is_made(run: Run, config: Path) -> None:
    assert answer(run("check", "--json"))["warnings"] == []
    assert not (config.parent / "gateway.db").exists()


def test_lanes_that_stay_are_not_told_of(run: Run, config: Path) -> None:
    register(config.parent, *ALL)
    assert answer(run("check", "--json"))["warnings"] == []


def test_a_lane_that_would_start_is_told_of_at_its_route(run: Run, config: Path) -> None:
    register(config.parent, *ALL[:2])
    (warning,) = answer(run("check", "--json"))["warnings"]
    assert warning["path"] == "routes[2].to[0]"
    assert warning["cause"] == "a new lane erp > bin would start, from now"
    assert "start: beginning" in warning["hint"]


def test_a_lane_that_would_be_left_behind_is_told_of_with_what_waits_on_it(run: Run, config: Path) -> None:
    register(config.parent, *ALL, ("erp", "crm"))
    (warning,) = answer(run("check", "--json"))["warnings"]
    assert warning["path"] == "destinations.crm"
    assert warning["cause"].startswith("the lane erp > crm would be left without a route: 0 events wait")


def test_a_destination_that_was_renamed_is_guessed(run: Run, config: Path) -> None:
    register(config.parent, ("uk-shop", "crm"), ("uk-shop", "dustbin"), ("erp", "dustbin"))
    warnings = answer(run("check", "--json"))["warnings"]
    hints = {warning["hint"] for warning in warnings if "new lanes" in warning["cause"]}
    assert hints == {"if `bin` is a new name of `dustbin`: `was: [dustbin]`"}


def test_a_destination_of_many_sources_that_was_renamed_is_told_of_once(run: Run, config: Path) -> None:
    shops = [f"shop-{number:02}" for number in range(20)]
    register(config.parent, *((shop, "dustbin") for shop in shops))
    sources = "".join(f"  {shop}: {{api_key: '${{ERP_KEY}}'}}\n" for shop in shops)
    config.write_text(
        f"journal: {{url: 'sqlite:///{config.parent}/gateway.db'}}\nsources:\n{sources}"
        "destinations: {bin: {vendor: http, url: 'https://example.com/in'}}\nroutes: [{to: bin}]\n"
    )
    left, new = sorted(answer(run("check", "--json"))["warnings"], key=lambda one: "new lanes" in one["cause"])
    assert left["cause"].startswith("20 lanes to dustbin (shop-00, shop-01, shop-02 and 17 more) would be left")
    assert "0 events wait" in left["cause"]
    assert new["cause"] == "20 new lanes to bin (shop-00, shop-01, shop-02 and 17 more) would start, from now"
    assert new["hint"] == "if `bin` is a new name of `dustbin`: `was: [dustbin]`"


def test_a_lane_that_is_taken_over_is_neither_new_nor_left_behind(run: Run, config: Path) -> None:
    register(config.parent, ("uk-shop", "crm"), ("uk-shop", "dustbin"), ("erp", "dustbin"))
    config.write_text(config.read_text().replace("bin: {vendor: http,", "bin: {vendor: http, was: [dustbin],"))
    assert answer(run("check", "--json"))["warnings"] == []


def test_a_journal_that_cannot_be_read_is_a_warning(run: Run, config: Path) -> None:
    (config.parent / "gateway.db").write_bytes(b"no database at all, and long enough to be read as one" * 100)
    (warning,) = answer(run("check", "--json"))["warnings"]
    assert warning["path"] == "journal.url"


@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_no_form_shows_a_secret(run: Run, config: Path, form: str) -> None:
    config.write_text(config.read_text().replace("preset: shopify", "preset: ${UK_SHOP_SECRET}"))
    result = run("check", "--format", form)
    assert not [secret for secret in ENV.values() if secret in result.output]


@pytest.mark.parametrize(
    ("url", "listen", "told"),
    [
        ("postgresql://me@db.internal/gateway", "", ["journal.url: sslmode"]),
        ("postgresql://me@db.internal/gateway?sslmode=prefer", "", ["journal.url: sslmode"]),
        ("postgresql://me@db.internal/gateway?sslmode=verify-full", "", []),
        ("postgresql://me@127.0.0.1:5432,[::1]/gateway", "", []),
        ("postgresql://me@127.0.0.1,db.internal/gateway", "", ["journal.url: sslmode"]),
        ("postgresql://me@/gateway?host=/run/postgresql", "", []),
        ("postgresql://me@localhost:6432/gateway", "", ["journal.url: listen_url"]),
        ("postgresql://me@localhost:6432/gateway", "postgresql://me@localhost/gateway", []),
        ("postgresql://me@localhost:6432/gateway", "postgresql://me@db/gateway", ["journal.listen_url: sslmode"]),
    ],
)
def test_a_database_that_may_be_read_on_the_way_or_cannot_be_heard_is_warned_of(
    config: Path, tmp_path: Path, url: str, listen: str, told: list[str]
) -> None:
    more = f', listen_url: "{listen}"' if listen else ""
    sqlite = f'url: "sqlite:///{tmp_path}/gateway.db"'
    config.write_text(config.read_text().replace(sqlite, f'url: "{url}"{more}'))
    found = [one for one in app.load_config(config, ENV).warnings if one.path.startswith("journal")]
    words = ("sslmode", "listen_url")
    assert [f"{one.path}: {next(word for word in words if word in one.hint)}" for one in found] == told
