"""Faults in process: which request meets which, and what the simulators play themselves."""

import contextlib
from typing import Any

import pytest

from gateway.sandbox.faults import FAULTS_MAX, Fault, Faults
from gateway.sandbox.server import Sandbox, build
from tests.sandbox.asgi import Answer, call
from tests.sandbox.clock import KnownChance, ManualClock

KEY = {"X-Ometria-Auth": "an-api-key-of-a-test"}
CONTACT = [{"@type": "contact", "id": "c1", "email": "ada@example.com"}]


@pytest.fixture
def sandbox() -> Sandbox:
    return build(ManualClock(), KnownChance())


async def push(sandbox: Sandbox) -> Answer:
    return await call(sandbox.app, "POST", "/ometria/v2/push", body=CONTACT, headers=KEY)


async def order(sandbox: Sandbox, **fault: Any) -> None:
    assert (await call(sandbox.app, "POST", "/_sandbox/faults", body=fault)).status == 201


async def test_a_status_is_answered_as_often_as_asked_and_nothing_is_applied(sandbox: Sandbox) -> None:
    await order(sandbox, path="/ometria/*", fault="status", status=503, count=2)
    assert [(await push(sandbox)).status for _ in range(3)] == [503, 503, 202]
    assert sandbox.ometria.view()["accounts"][0]["counts"]["received"] == 1


async def test_a_fault_may_bring_headers_a_body_and_a_retry_after(sandbox: Sandbox) -> None:
    await order(
        sandbox, fault="status", status=500, body="<h1>oops</h1>", headers={"Content-Type": "text/html"}, retry_after=7
    )
    answer = await push(sandbox)
    assert (answer.body, answer.headers["content-type"], answer.headers["retry-after"]) == (
        b"<h1>oops</h1>",
        "text/html",
        "7",
    )


async def test_a_fault_meets_its_path_and_method_only(sandbox: Sandbox) -> None:
    await order(sandbox, path="/ometria/*/push", method="POST", fault="status")
    assert (await push(sandbox)).status == 503
    assert (await call(sandbox.app, "GET", "/ometria/v2/orders", headers=KEY)).status == 200
    assert (await call(sandbox.app, "POST", "/sink", body={})).status == 200


async def test_a_fault_may_let_the_first_ones_pass(sandbox: Sandbox) -> None:
    await order(sandbox, fault="status", skip=1, count=1)
    assert [(await push(sandbox)).status for _ in range(3)] == [202, 503, 202]


async def test_a_rate_meets_some() -> None:
    sandbox = build(ManualClock(), KnownChance(0.1, 0.9))
    await order(sandbox, fault="status", rate=0.2)
    assert [(await push(sandbox)).status for _ in range(4)] == [503, 202, 503, 202]


async def test_latency_applies_at_once_and_answers_late(sandbox: Sandbox) -> None:
    await order(sandbox, fault="latency", latency_s=2.5, count=1)
    clock = sandbox.faults.clock
    assert (await push(sandbox)).status == 202
    assert clock.monotonic_s() == 2.5
    assert sandbox.ometria.view()["accounts"][0]["requests"][0]["at_s"] == 0.0


async def test_ometria_plays_a_429_a_full_queue_and_an_expired_key_itself(sandbox: Sandbox) -> None:
    for fault in ("forced_429", "queue_full", "expired_token"):
        await order(sandbox, path="/ometria/*", fault=fault, count=1)
    limited, full, expired = [await push(sandbox) for _ in range(3)]
    assert (limited.status, limited.headers["x-queuesize-remaining"]) == (429, "50000")
    assert (full.status, full.headers["x-queuesize-remaining"]) == (429, "0")
    assert (expired.status, expired.json()["status"]) == (403, "ERROR")


async def test_a_fault_that_was_asked_for_is_no_breach_of_the_clients(sandbox: Sandbox) -> None:
    for fault in ("forced_429", "queue_full", "expired_token", "busy"):
        await order(sandbox, path="/ometria/*", fault=fault, count=1)
    for _ in range(4):
        await push(sandbox)
    view = sandbox.ometria.view()
    assert (view["accounts"][0]["breaches"]["total"], view["refused_keys"]) == (0, 0)


async def test_a_fault_that_a_vendor_has_no_words_for_is_a_bare_status(sandbox: Sandbox) -> None:
    await order(sandbox, fault="busy", count=1)
    assert (await push(sandbox)).status == 423


async def test_faults_are_listed_and_cleared(sandbox: Sandbox) -> None:
    await order(sandbox, fault="status")
    await order(sandbox, fault="hang", path="/sink")
    await push(sandbox)
    listed = (await call(sandbox.app, "GET", "/_sandbox/faults")).json()["faults"]
    assert [(one["id"], one["fault"]["fault"], one["met"]) for one in listed] == [(1, "status", 1), (2, "hang", 0)]
    assert (await call(sandbox.app, "DELETE", "/_sandbox/faults/1")).json() == {"cleared": 1}
    assert (await call(sandbox.app, "DELETE", "/_sandbox/faults")).json() == {"cleared": 1}


@pytest.mark.parametrize("body", [{"fault": "flood"}, {"fault": "status", "speed": 1}, {}, []])
async def test_a_fault_that_there_is_not_is_refused_with_a_reason(sandbox: Sandbox, body: Any) -> None:
    answer = await call(sandbox.app, "POST", "/_sandbox/faults", body=body)
    assert (answer.status, bool(answer.json()["detail"])) == (400, True)


def test_there_is_a_limit_to_faults() -> None:
    faults = Faults(ManualClock(), KnownChance())
    for _ in range(FAULTS_MAX):
        faults.order(Fault(fault="status"))
    with pytest.raises(ValueError, match="at most"):
        faults.order(Fault(fault="status"))


async def test_without_a_transport_a_reset_is_an_exception(sandbox: Sandbox) -> None:
    await order(sandbox, fault="reset_before", count=1)
    with pytest.raises(ConnectionResetError):
        await push(sandbox)


class Meanwhile(ManualClock):
    """A clock whose sleepers do something else in the meantime."""

    async def sleep(self, seconds: float) -> None:
        self.move(seconds)
        await self.do()

    async def do(self) -> None:
        raise NotImplementedError


async def test_two_requests_with_one_record_under_way_are_a_breach() -> None:
    class Again(Meanwhile):
        async def do(self) -> None:
            assert (await push(watched)).status == 202

    watched = build(Again(), KnownChance())
    await order(watched, fault="latency", latency_s=1, count=1)
    await push(watched)
    view = watched.ometria.view()["accounts"][0]
    assert (view["breaches"]["by_rule"], view["requests_at_once"]) == ({"two_in_flight": 1}, 2)


@pytest.mark.parametrize("fault", ["status", "reset_before", "forced_429"])
async def test_what_fails_by_the_way_counts_on_the_limits(sandbox: Sandbox, fault: str) -> None:
    await order(sandbox, path="/ometria/*", fault=fault, count=5)
    for _ in range(5):
        with contextlib.suppress(ConnectionResetError):
            await push(sandbox)
    witness = next(iter(sandbox.ometria.accounts.values())).witness
    assert (dict(witness.broken), len(witness.visits)) == ({"rate_limit": 1}, 5)
    assert witness.received == {}
