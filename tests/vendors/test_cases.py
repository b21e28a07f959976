"""The vendors' cases as data: events in, the exact request, canned answers, the outcome of each record.

A file in `cases/<vendor>/` holds `settings` and `cases`; a case has `events` (with `documents`, what a mapping made),
and either `refused`, or `request` with `answers` (a header `{key}` is the batch's idempotency key). Outcomes name
what matters: `{throttled: {for_s: 10}}`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ruamel.yaml import YAML

from gateway import document
from gateway.errors import Reason, Refusal
from gateway.vendors.base import Answer, Batch, Failure, Record, Response, Vendor
from tests.vendors.samples import SENT_AT_MS, a_record, a_vendor, an_event

CASES = Path(__file__).parent / "cases"


def cases() -> Iterator[Any]:
    for path in sorted(CASES.glob("*/*.yaml")):
        file = YAML(typ="safe", pure=True).load(path.read_text("utf-8"))
        for case in file["cases"]:
            settings = {**file.get("settings", {}), **case.get("settings", {})}
            name = f"{path.parent.name}/{path.stem}: {case['name']}"
            yield pytest.param(path.parent.name, settings, case, id=name)


def records_of(vendor: Vendor, events: list[dict[str, Any]]) -> list[Record]:
    made: list[Record] = []
    for seq, fields in enumerate(events, start=7):
        given = {name: value for name, value in fields.items() if name not in ("type", "documents")}
        event = an_event(fields["type"], **{"seq": seq, **given})
        made.extend(a_record(draft, event, seq) for draft in vendor.records(event, fields.get("documents")))
    return made


def answer_of(given: dict[str, Any]) -> Answer:
    if "failure" in given:
        return Failure(Reason(given["failure"]), given.get("detail", ""))
    body = given.get("body", "")
    return Response(
        given["status"], given.get("headers", {}), body.encode() if isinstance(body, str) else document.dump(body)
    )


def assert_like(expected: Any, outcome: Any) -> None:
    """`delivered`, or `{retry: {reason: busy}}`: the kind, and the fields that are named."""
    kind, fields = (expected, {}) if isinstance(expected, str) else next(iter(expected.items()))
    actual = msgspec.structs.asdict(outcome)
    assert kind == type(outcome).__name__.lower(), actual
    assert fields == {name: actual[name] for name in fields}


@pytest.mark.parametrize(("name", "settings", "case"), list(cases()))
def test_a_case_goes_as_written(name: str, settings: dict[str, Any], case: dict[str, Any]) -> None:
    vendor = a_vendor(name, **settings)
    if "refused" in case:
        with pytest.raises(Refusal) as refusal:
            records_of(vendor, case["events"])
        assert case["refused"] == {"reason": refusal.value.reason, "detail": refusal.value.detail}
        return
    records = records_of(vendor, case["events"])
    if "records" in case:
        assert case["records"] == [[record.part, record.draft.kind] for record in records]
    if not records:
        assert case["records"] == []
        return
    batch = Batch("crm", records[0].draft.channel, tuple(records), SENT_AT_MS)
    if "request" in case:
        assert_request(case["request"], vendor, batch)
    for given in case.get("answers", ()):
        assert_verdict(given, vendor, batch)


def assert_request(expected: dict[str, Any], vendor: Vendor, batch: Batch) -> None:
    request = vendor.request(batch)
    body = expected["text"].encode() if "text" in expected else document.dump(expected["body"])
    assert expected["method"] == request.method
    assert expected["url"] == request.url
    headers = {name: batch.key if value == "{key}" else value for name, value in expected["headers"].items()}
    assert headers == dict(request.headers)
    assert body.decode() == request.body.decode()


def assert_verdict(given: dict[str, Any], vendor: Vendor, batch: Batch) -> None:
    verdict = vendor.judge(batch, answer_of(given))
    expected = given["outcomes"] if "outcomes" in given else [given["each"]] * len(batch.records)
    for one, outcome in zip(expected, verdict.outcomes, strict=True):
        assert_like(one, outcome)
    eases = {"for_s": verdict.ease.for_s, "reason": verdict.ease.reason} if verdict.ease else None
    assert given.get("ease") == eases
