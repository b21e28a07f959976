"""The three requests of a catalogue upload, and what each answer leads to."""

from typing import Any

import pytest
from msgspec.structs import replace

from gateway import document
from gateway.errors import Reason, Refusal
from gateway.vendors.base import (
    Answer,
    Delivered,
    Failure,
    Refused,
    Request,
    Response,
    Retry,
    Split,
    Step,
    SteppedVendor,
    Suspended,
    Verdict,
)
from tests.vendors.samples import a_batch, a_record, a_vendor, an_event, content_of, the_batch, the_vendor

REPORT = Step("report", "rc-1", 30.0)


def stepped(**changed: Any) -> SteppedVendor:
    vendor = the_vendor("ometria_batch", **changed)
    assert isinstance(vendor, SteppedVendor)
    return vendor


def answer(status: int, body: Any = None) -> Response:
    return Response(status, {}, b"" if body is None else document.dump(body))


def follow(step: Step | None, given: Answer, copies: int = 2) -> Step | Verdict:
    return stepped().follow(the_batch("ometria_batch", copies), step, given)


def kinds(found: Step | Verdict) -> set[type]:
    assert isinstance(found, Verdict)
    return set(map(type, found.outcomes))


def upload(**settings: Any) -> Request:
    return the_vendor("ometria_batch", **settings).request(the_batch("ometria_batch"))


def test_a_window_travels_as_one_archive_in_a_form() -> None:
    request = upload()
    assert (request.method, request.url) == ("POST", "https://acme.api-eu.ometria.services/batch/upload/delta")
    assert request.intent == "steps"
    assert b'name="files"; filename="catalogue.zip"' in request.body
    assert document.parse(content_of(request)) == [{"id": "P-1", "titles": {"default": "Zoë 🌍"}}]


def test_the_credential_stands_in_the_header_that_ometria_names() -> None:
    assert dict(upload().headers)["Authentication"] == "Basic aWQtMTpodXNoLWJhdGNo"
    assert "Authorization" not in dict(upload().headers)
    assert dict(upload(api_key="bare", authorization=True).headers)["Authorization"] == "Basic bare"


def test_the_archives_hash_is_sent_where_told() -> None:
    request = upload(md5=True)
    assert b'name="md5"' in request.body
    assert len(dict(request.headers)["Content-MD5"]) == 24


def test_of_several_states_of_a_product_the_last_one_goes() -> None:
    vendor = the_vendor("ometria_batch")
    batch = a_batch(vendor, an_event("product.updated"), [{"id": "P-1", "v": 1}, {"id": "P-2"}, {"id": "P-1", "v": 2}])
    assert document.parse(content_of(vendor.request(batch))) == [{"id": "P-1", "v": 2}, {"id": "P-2"}]


def test_a_window_is_how_long_a_batch_waits() -> None:
    assert the_vendor("ometria_batch", window="5m").rules().linger_s == 300.0


def test_a_file_that_ometria_does_not_know_is_refused() -> None:
    vendor: Any = stepped()
    with pytest.raises(Refusal, match="orders"):
        vendor.upload("full", {"orders.json": b"[]"}, "key")


def test_a_deleted_product_is_not_enabled() -> None:
    (draft,) = the_vendor("ometria_batch").records(an_event("product.deleted", "P-9"), None)
    assert draft.data == {"id": "P-9", "enabled": False}


@pytest.mark.parametrize("type_", ["order.created", "customer.updated", "product.redacted"])
def test_only_products_are_taken(type_: str) -> None:
    with pytest.raises(LookupError):
        the_vendor("ometria_batch").mapping(an_event(type_))


def test_a_receipt_is_processed_next() -> None:
    assert follow(None, answer(200, {"data": {"receipt": "rc-1"}})) == Step("process", "rc-1")


@pytest.mark.parametrize("body", [None, [], {}, {"data": {}}, {"data": {"receipt": None}}])
def test_an_upload_without_a_receipt_is_tried_again(body: Any) -> None:
    assert kinds(follow(None, answer(200, body))) == {Retry}


def test_an_upload_that_is_refused_is_halved() -> None:
    assert kinds(follow(None, answer(400))) == {Split}
    assert kinds(follow(None, answer(400), copies=1)) == {Refused}


def test_an_upload_alone_is_never_delivered() -> None:
    verdict = stepped().judge(the_batch("ometria_batch"), answer(200, {"data": {"receipt": "rc-1"}}))
    assert kinds(verdict) == {Retry}


def test_the_requests_of_the_steps_name_the_receipt() -> None:
    vendor, batch = stepped(report_url="https://acme.api.ometria.services/"), the_batch("ometria_batch")
    process, report = (vendor.step_request(batch, Step(name, "rc/1")) for name in ("process", "report"))
    host = "https://acme.api-eu.ometria.services"
    assert (process.method, process.url) == ("PUT", f"{host}/batch/process/rc%2F1?delete_on_completion=false")
    assert (report.method, report.url) == ("GET", "https://acme.api.ometria.services/reporting/report/rc%2F1")


@pytest.mark.parametrize(
    ("given", "step"),
    [
        *[(answer(status), "report") for status in (200, 409)],
        *[(given, "doubted") for given in (answer(500), answer(503), Failure(Reason.TIMEOUT, ""), answer(302))],
    ],
)
def test_after_process_the_report_tells_whatever_was_heard(given: Answer, step: str) -> None:
    assert follow(Step("process", "rc-1"), given) == Step(step, "rc-1", 30.0)


@pytest.mark.parametrize("given", [answer(429), Failure(Reason.CONNECTION_FAILED, "refused")])
def test_a_process_that_was_surely_not_heard_is_called_again(given: Answer) -> None:
    again, doubted = (follow(Step("process", "rc-1", asked=asked), given) for asked in (2, 288))
    assert isinstance(again, Step)
    assert isinstance(doubted, Step)
    assert replace(again, pause=None) == Step("process", "rc-1", 120.0, 3)
    assert replace(doubted, pause=None) == Step("doubted", "rc-1", 30.0, 288)
    held = isinstance(given, Response)
    assert [step.pause is not None for step in (again, doubted)] == [held, held]


@pytest.mark.parametrize("step", [Step("process", "rc-1"), REPORT])
@pytest.mark.parametrize("status", [429, 503])
def test_no_step_goes_sooner_than_ometria_asks(step: Step, status: int) -> None:
    found = follow(step, Response(status, {"retry-after": "90"}, b""))
    assert isinstance(found, Step)
    assert found.after_s == 90.0


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_receipt_that_is_gone_means_another_upload(status: int) -> None:
    assert kinds(follow(Step("process", "rc-1"), answer(status))) == {Retry}


@pytest.mark.parametrize("step", [None, Step("process", "rc-1"), REPORT])
def test_a_refused_key_suspends_the_account_at_every_step(step: Step | None) -> None:
    assert kinds(follow(step, answer(401))) == {Suspended}


@pytest.mark.parametrize(
    "given", [answer(404), answer(503), answer(200, {"data": {"status": "processing"}}), Failure(Reason.TIMEOUT, "")]
)
def test_a_report_that_is_not_there_yet_is_asked_for_later_and_later(given: Answer) -> None:
    assert follow(REPORT, given) == Step("report", "rc-1", 30.0, 1)
    assert follow(Step("report", "rc-1", asked=50), given) == Step("report", "rc-1", 300.0, 51)


def test_a_doubted_process_is_called_again_after_a_few_minutes_and_the_count_goes_on() -> None:
    waits_s, step = [], follow(Step("process", "rc-1"), answer(500))
    while isinstance(step, Step) and step.name == "doubted":
        waits_s.append(step.after_s)
        step = follow(step, answer(404))
    assert (waits_s, step) == ([30.0, 30.0, 60.0, 120.0, 240.0], Step("process", "rc-1", asked=5))
    assert isinstance(step, Step)
    assert follow(step, Failure(Reason.TIMEOUT, "")) == Step("doubted", "rc-1", 30.0, 5)
    assert follow(step, answer(409)) == REPORT


@pytest.mark.parametrize("asked", range(12))
def test_a_process_that_was_heard_is_never_called_again(asked: int) -> None:
    step = follow(Step("report", "rc-1", asked=asked), answer(404))
    assert isinstance(step, Step)
    assert step.name == "report"


def test_after_a_day_without_a_report_the_products_are_uploaded_again() -> None:
    assert kinds(follow(Step("report", "rc-1", asked=288), answer(404))) == {Retry}


def outcomes(status: str, errors: Any) -> list[object]:
    vendor, event = stepped(), an_event("product.updated")
    drafts = vendor.records(event, [{"id": "P-1"}, {"id": "P-2"}])
    batch = a_batch(vendor, event, [{"id": "P-1"}, {"id": "P-2"}])
    assert [a_record(draft, event).part for draft in drafts] == ["products:P-1", "products:P-2"]
    data = {"receipt": "rc-1", "status": status, "files": {"products.json": {"records": 2, "errors": errors}}}
    verdict = vendor.follow(batch, REPORT, answer(200, {"data": data}))
    assert isinstance(verdict, Verdict)
    return list(verdict.outcomes)


def test_a_completed_report_delivers_what_it_does_not_name() -> None:
    assert outcomes("completed", []) == [Delivered("rc-1"), Delivered("rc-1")]
    assert outcomes("completed", [{"id": "P-2", "message": "no title"}]) == [
        Delivered("rc-1"),
        Refused(Reason.RECORD_REFUSED, "no title"),
    ]


def test_a_failed_report_blames_what_it_names_and_the_rest_goes_again() -> None:
    first, second = outcomes("failed", [{"id": "P-1"}])
    assert first == Refused(Reason.RECORD_REFUSED, "refused in the report")
    assert isinstance(second, Retry)


@pytest.mark.parametrize("errors", [[], "many", [7], [{"line": 3}]])
def test_a_failed_report_that_names_nobody_halves_the_batch(errors: Any) -> None:
    assert set(map(type, outcomes("failed", errors))) == {Split}


@pytest.mark.parametrize("step", [None, Step("process", "rc-1"), REPORT])
def test_no_step_raises_whatever_is_answered(step: Step | None) -> None:
    for status in range(100, 600):
        for body in (b"", b"<html>", b"[]", b'{"data":[]}', b'{"data":{"status":[],"files":[1]}}', b"\xff"):
            found = follow(step, Response(status, {}, body))
            assert isinstance(found, Step) or len(found.outcomes) == 2


def test_keys_that_cannot_stand_in_a_host_are_refused() -> None:
    with pytest.raises(ValueError, match="domain_key"):
        a_vendor("ometria_batch", api_key="k", domain_key="acme/x", location_key="eu")
