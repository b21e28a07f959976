"""What answers have in common: Retry-After in both forms, bounded words without secrets, JSON that may be anything."""

from typing import Any

import pytest

from gateway.config.values import masked
from gateway.errors import Reason
from gateway.vendors import answers
from gateway.vendors.base import Refused, Response, Retry, Split, Throttled, account_name, host_of
from tests.vendors.samples import SENT_AT_MS, the_batch

NOW = "Fri, 02 Jan 2026 03:04:05 GMT"


def asked(text: str, date: str = "") -> float | None:
    return answers.retry_after_s(Response(503, {"retry-after": text, "date": date}, b""), SENT_AT_MS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0.0), ("120", 120.0), (" 7 ", 7.0), ("1.5", 1.5), ("86400", 21600.0), ("999999999999", 21600.0)],
)
def test_retry_after_in_seconds_is_bounded_to_six_hours(text: str, expected: float) -> None:
    assert expected == asked(text)


@pytest.mark.parametrize(
    "text", ["", "soon", "-5", "1e3", "9" * 40, "0x10", "Fri, 99 Jan 2026 03:04:05 GMT", "Fri, 02 Jan", "٣", "12 h"]
)
def test_a_retry_after_that_cannot_be_read_says_nothing(text: str) -> None:
    assert asked(text) is None


@pytest.mark.parametrize(
    ("text", "date", "expected"),
    [
        ("Fri, 02 Jan 2026 03:04:35 GMT", NOW, 30.0),
        ("Fri, 02 Jan 2026 03:04:35 GMT", "", 30.0),
        ("Friday, 02-Jan-26 03:04:35 GMT", NOW, 30.0),
        ("Fri Jan  2 03:04:35 2026", NOW, 30.0),
        ("Thu, 01 Jan 2026 00:00:00 GMT", NOW, 0.0),
        ("Sat, 03 Jan 2026 03:04:05 GMT", NOW, 21600.0),
        ("Fri, 02 Jan 2026 05:00:30 GMT", "Fri, 02 Jan 2026 05:00:00 GMT", 30.0),
        ("Fri, 02 Jan 2026 03:04:35 GMT", "never", 30.0),
    ],
)
def test_a_retry_after_date_counts_from_the_answers_own_date(text: str, date: str, expected: float) -> None:
    assert expected == asked(text, date)


def test_words_are_one_bounded_line() -> None:
    assert answers.bounded(" a\r\n\tb \x00 c ") == "a b c"
    assert len(answers.bounded("x" * 10_000)) == 500
    assert answers.bounded("x" * 10_000).endswith("…")


def test_secrets_are_masked_in_every_form_that_an_answer_may_echo() -> None:
    text = "k/1 & k%2F1%20%26 k%2F1+%26 ay8xICY= k/1 & more"
    assert masked(text, ["k/1 &", ""]) == "*** *** *** *** *** more"


def test_a_longer_secret_is_masked_before_one_that_it_contains() -> None:
    assert masked("abcdef abc", ["abc", "abcdef"]) == "*** ***"


def test_a_secret_at_the_edge_of_what_is_shown_does_not_show() -> None:
    assert "sec" not in answers.bounded("x" * 495 + "secret", ["secret"])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"message":"no","detail":"why"}', "no"),
        (b'{"message":"","detail":"why"}', "why"),
        (b'{"message":{"a":1}}', '{"message":{"a":1}}'),
        (b"<html>", "<html>"),
        (b"\xff", "�"),
    ],
)
def test_the_words_of_an_answer_are_the_first_that_are_there(body: bytes, expected: str) -> None:
    assert expected == answers.words(Response(400, {}, body), "message", "detail")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (3, 3), ("3", 3), (-1, None), (True, None), (None, None), (1.0, None), ("-1", None), ("9" * 30, None)],
)
def test_whole_numbers_are_read_as_numbers_or_texts(value: Any, expected: int | None) -> None:
    assert expected == answers.whole(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("r-1", "r-1"), (7, "7"), (True, ""), ([], ""), (None, ""), (10**40, ""), ("x" * 300, "x" * 200)],
)
def test_receipts_are_texts_of_bounded_length(value: Any, expected: str) -> None:
    assert expected == answers.text_in(value)


def test_a_status_of_the_vendors_table_comes_before_the_common_one_and_a_class_last() -> None:
    batch = the_batch("ometria", 2)
    statuses: answers.Statuses = {4: answers.split(Reason.BUSY), 404: answers.retry(Reason.BUSY)}

    def meaning(status: int) -> type:
        return type(answers.by_status(statuses, batch, Response(status, {}, b"")))

    assert [Retry, Refused, Split] == [meaning(404), meaning(409), meaning(418)]


def test_a_wait_that_the_vendor_names_does_not_grow() -> None:
    meaning = answers.throttle(Reason.BUSY, 5.0, up_to_s=60.0, scope="channel")
    assert Throttled(Reason.BUSY, 5.0, "channel", "busy", 60.0) == meaning("busy", None)
    assert Throttled(Reason.BUSY, 9.0, "channel", "busy") == meaning("busy", 9.0)


def test_an_account_is_named_by_its_place_and_a_hash() -> None:
    assert account_name("http", "crm.example.test", "a") != account_name("http", "crm.example.test", "b")
    assert account_name("http", "crm.example.test", "a").startswith("http:crm.example.test:")


def test_a_host_is_named_without_who_logs_in_there() -> None:
    assert host_of("https://ada:secret@example.test:8443/x?y=z") == "example.test:8443"
