import re

import pytest
from prometheus_client import generate_latest

from gateway.errors import Cause, Reason
from gateway.telemetry import metrics
from gateway.telemetry.metrics import AT_SCRAPE, REGISTRY


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_every_metric_says_what_it_is_and_is_named_as_ours() -> None:
    families = {family.name: family.documentation for family in REGISTRY.collect()}
    families |= {name: one.help for name, one in AT_SCRAPE.items()}

    assert len(families) > 25
    for name, text in families.items():
        assert re.fullmatch(r"gateway_[a-z_]+", name), name
        assert text.endswith("."), name


def test_a_source_is_counted_with_what_was_bound_once() -> None:
    meters = metrics.source("uk-shop-metrics")
    meters.accepted.inc(3)
    meters.duplicate.inc()
    meters.rejected[Cause.SIGNATURE_WRONG].inc()

    assert metrics.source("uk-shop-metrics") is meters
    assert value("gateway_events_accepted_total", source="uk-shop-metrics") == 3
    assert value("gateway_events_duplicate_total", source="uk-shop-metrics") == 1
    assert value("gateway_requests_rejected_total", source="uk-shop-metrics", cause="signature_wrong") == 1


def test_a_cause_that_never_came_has_no_series() -> None:
    metrics.source("quiet-shop")

    assert (
        REGISTRY.get_sample_value(
            "gateway_requests_rejected_total", {"source": "quiet-shop", "cause": "body_too_large"}
        )
        is None
    )


@pytest.mark.parametrize(
    ("status", "failure", "result"),
    [
        (200, None, "2xx"),
        (202, None, "2xx"),
        (301, None, "3xx"),
        (400, None, "4xx"),
        (429, None, "429"),
        (503, None, "5xx"),
        (None, Reason.TIMEOUT, "timeout"),
        (None, Reason.CONNECTION_FAILED, "connection_failed"),
    ],
)
def test_requests_are_counted_by_what_came_back(status: int | None, failure: Reason | None, result: str) -> None:
    before = value("gateway_sends_total", destination="ometria-metrics", result=result)

    metrics.destination("ometria-metrics").sent(status, failure)

    assert value("gateway_sends_total", destination="ometria-metrics", result=result) == before + 1


def test_records_are_counted_by_outcome_and_reason() -> None:
    meters = metrics.destination("ometria-records")
    meters.outcome("delivered", count=99)
    meters.outcome("refused", Reason.RECORD_REFUSED)

    labels = {"destination": "ometria-records"}
    assert value("gateway_records_total", outcome="delivered", reason="", **labels) == 99
    assert value("gateway_records_total", outcome="refused", reason="record_refused", **labels) == 1


def test_many_amounts_at_once_count_as_each_of_them() -> None:
    amounts = [0.005, 0.01, 0.0100001, 3.0, 1000.0, 1000.0]
    together, each = metrics.destination("together").seconds, metrics.destination("each").seconds
    together.observe_all(amounts)
    together.observe_all([])
    for amount in amounts:
        each.observe(amount)

    def told(destination: str) -> list[tuple[str, str | None, float]]:
        (family,) = metrics.send_seconds.collect()
        ours = [one for one in family.samples if one.labels["destination"] == destination]
        return [(one.name, one.labels.get("le"), one.value) for one in ours if not one.name.endswith("_created")]

    assert told("together") == told("each")
    assert told("each")[-2:] == [
        ("gateway_send_seconds_count", None, 6),
        ("gateway_send_seconds_sum", None, 2003.0250001),
    ]


def test_an_account_is_one_thing_at_a_time() -> None:
    account = metrics.account("ometria:abc")
    account.stands("open")
    account.stands("suspended")

    shown = {
        each: value("gateway_account_standing", account="ometria:abc", standing=each) for each in metrics.STANDINGS
    }
    assert shown == {"open": 0, "throttled": 0, "suspended": 1, "broken": 0, "probing": 0}


def test_the_exposition_is_read_by_prometheus() -> None:
    metrics.source("uk-shop-text").accepted.inc()

    assert b'gateway_events_accepted_total{source="uk-shop-text"} 1.0' in generate_latest(REGISTRY)
