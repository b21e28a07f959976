import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.config.values import Secret, Url
from gateway.telemetry import log as logs
from gateway.telemetry import metrics


class At:
    """A clock that stands still."""

    def now_ms(self) -> int:
        return 1_769_850_000_123

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None: ...


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logs._until_configured()
    logs.hide(())
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    logs.configure("json", "debug", stream=stream, clock=At())
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_how_important_what_and_whose_before_all_else(out: io.StringIO) -> None:
    logs.get("deliver").info("settle.done", delivered=100)

    assert out.getvalue() == (
        '{"at":"2026-01-31T09:00:00.123Z","level":"info","event":"settle.done","room":"deliver","delivered":100}\n'
    )


def test_every_line_of_a_child_names_its_role() -> None:
    stream = io.StringIO()
    logs.configure("json", stream=stream, role="receiver")

    logs.get("receive").warning("journal.recovered")

    assert lines(stream)[0]["role"] == "receiver"


def test_a_name_that_is_not_in_the_catalogue_is_refused_until_the_log_is_configured() -> None:
    with pytest.raises(logs.UnknownEvent, match=r"order\.lost"):
        logs.get("deliver").info("order.lost")


def test_a_name_that_is_not_in_the_catalogue_is_refused_where_the_log_is_strict() -> None:
    logs.configure("json", stream=io.StringIO(), strict=True)

    with pytest.raises(logs.UnknownEvent):
        logs.get("deliver").info("order.lost")


def test_in_production_a_name_that_is_not_in_the_catalogue_is_logged_and_marked(out: io.StringIO) -> None:
    logs.get("deliver").info("order.lost", seq=7)

    assert lines(out)[0] | {"at": ""} == {
        "at": "",
        "level": "info",
        "event": "order.lost",
        "room": "deliver",
        "seq": 7,
        "uncatalogued": True,
    }


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    logs.configure("json", "warning", stream=stream)

    logs.get("deliver").info("settle.done")
    logs.get("deliver").warning("account.suspended")

    assert [line["event"] for line in lines(stream)] == ["account.suspended"]
    assert [logs.says(level) for level in ("debug", "info", "warning", "error")] == [False, False, True, True]


def test_a_logger_that_was_made_before_a_reload_follows_it() -> None:
    log = logs.get("deliver")
    stream = io.StringIO()
    logs.configure("json", "error", stream=stream)
    log.info("settle.done")
    logs.configure("json", "info", stream=stream)
    log.info("batch.sent")

    assert [line["event"] for line in lines(stream)] == ["batch.sent"]


@pytest.mark.parametrize(
    "name", ["token", "api_key", "Authorization", "X-Api-Key", "password", "client_secret", "cookie"]
)
def test_a_credential_is_masked_by_its_name(out: io.StringIO, name: str) -> None:
    logs.get("receive").info("request.refused", **{name: "s3cr3t-value"})

    assert lines(out)[0][name] == "***"


def test_headers_lose_their_credentials_and_signatures(out: io.StringIO) -> None:
    headers = (("authorization", "Bearer abc"), ("x-shopify-hmac-sha256", "c2ln"), ("x-shopify-topic", "orders/paid"))

    logs.get("receive").info("request.refused", headers=headers, more={"set-cookie": "a=b"})

    assert lines(out)[0]["headers"] == [
        ["authorization", "***"],
        ["x-shopify-hmac-sha256", "***"],
        ["x-shopify-topic", "orders/paid"],
    ]
    assert lines(out)[0]["more"] == {"set-cookie": "***"}


def test_a_secret_of_the_configuration_and_bytes_never_show_what_they_hold(out: io.StringIO) -> None:
    logs.get("config").info("configuration.loaded", found=[Secret("opensesame")], body=b"opensesame")

    assert "opensesame" not in out.getvalue()
    assert lines(out)[0]["found"] == ["***"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://hooks.example.com/in?api-key=abc123&shop=uk", "https://hooks.example.com/in?api-key=***&shop=uk"),
        ("postgresql://gateway:hunter2@db/gateway", "postgresql://gateway:***@db/gateway"),
        ("no customer jo.bloggs+vip@example.co.uk here", "no customer *** here"),
    ],
)
def test_credentials_and_addresses_inside_texts_are_masked(out: io.StringIO, given: str, shown: str) -> None:
    logs.get("deliver").info("record.dead", detail=given)

    assert lines(out)[0]["detail"] == shown


def test_a_configured_url_shows_neither_its_password_nor_its_query(out: io.StringIO) -> None:
    logs.get("journal").info("journal.opened", url=Url("postgresql://gateway:hunter2@db/gateway?sslkey=k"))

    assert lines(out)[0]["url"] == "postgresql://gateway:***@db/gateway?sslkey=***"


def test_a_vendor_that_repeats_its_key_does_not_make_it_known(out: io.StringIO) -> None:
    logs.hide(['ome"tria-key', "abc"])

    logs.get("deliver").info("record.dead", detail='no account for ome"tria-key', part="abc")

    assert lines(out)[0]["detail"] == "no account for ***"
    assert lines(out)[0]["part"] == "abc", "short texts would blot out half the line"


def test_texts_and_lists_have_a_limit(out: io.StringIO) -> None:
    logs.get("deliver").info("record.dead", detail="x" * 5_000, events=list(range(1_000)))

    assert len(lines(out)[0]["detail"]) < 2_100
    assert len(lines(out)[0]["events"]) == 100


def test_what_nests_for_ever_is_cut(out: io.StringIO) -> None:
    deep: dict[str, Any] = {}
    deep["again"] = deep

    logs.get("deliver").info("record.dead", more=deep)

    assert lines(out)[0]["event"] == "record.dead"


def test_a_text_that_is_no_unicode_does_not_lose_the_line(out: io.StringIO) -> None:
    logs.get("receive").info("request.refused", detail="\ud800", count=2)

    assert lines(out)[0]["detail"] == "\\ud800"


def test_an_exception_is_shown_with_where_it_came_from(out: io.StringIO) -> None:
    try:
        int("nought")
    except ValueError:
        logs.get("deliver").exception("process.failed")

    assert lines(out)[0]["level"] == "error"
    assert "ValueError: invalid literal" in lines(out)[0]["exception"]
    assert "test_log.py" in lines(out)[0]["exception"]


class Full(io.StringIO):
    """A disk without room."""

    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_is_counted_and_stops_nothing() -> None:
    logs.configure("json", stream=Full())
    before = metrics.REGISTRY.get_sample_value("gateway_log_lines_lost_total") or 0

    logs.get("receive").error("journal.unavailable")

    assert metrics.REGISTRY.get_sample_value("gateway_log_lines_lost_total") == before + 1


def test_a_closed_stream_stops_nothing() -> None:
    stream = io.StringIO()
    logs.configure("json", stream=stream)
    stream.close()

    logs.get("receive").error("journal.unavailable")


def test_people_get_short_times_and_senders_cannot_steer_their_terminal() -> None:
    stream = io.StringIO()
    logs.configure("console", stream=stream, clock=At())

    logs.get("receive").info("request.refused", detail="\x1b[2Jgone\nand a false line")

    assert stream.getvalue().startswith("09:00:00.123 [info     ] request.refused")
    assert "␛[2Jgone␊and a false line" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_auto_is_json_where_nobody_watches() -> None:
    stream = io.StringIO()
    logs.configure("auto", stream=stream)

    logs.get("receive").info("receiver.ready")

    assert lines(stream)[0]["event"] == "receiver.ready"


def test_what_libraries_log_becomes_lines_of_ours_from_warnings_on() -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream=stream)

    logging.getLogger("uvicorn.error").info("Application startup complete.")
    logging.getLogger("asyncio").error("Task was destroyed: %s", "x")
    logging.getLogger("uvicorn.access").critical('"GET /healthz" 200')

    assert [(line["level"], line["event"], line["logger_name"], line["message"]) for line in lines(stream)] == [
        ("error", "library.said", "asyncio", "Task was destroyed: x")
    ]


def test_a_library_fault_keeps_its_traceback(out: io.StringIO) -> None:
    try:
        int("lost")
    except ValueError:
        logging.getLogger("aiohttp").exception("Unhandled")

    assert "ValueError: invalid literal" in lines(out)[0]["exception"]


def test_warnings_become_lines(out: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure("json", stream=out)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)

    assert lines(out)[0]["event"] == "library.warned"
    assert "old ways" in lines(out)[0]["message"]


def test_lines_go_to_standard_error_so_that_output_stays_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logs.get("cli").info("gateway.started")

    captured = capsys.readouterr()
    assert captured.out == ""
    assert '"gateway.started"' in captured.err
    assert sys.stderr is not None
