"""The page that tries a payload: the form, and what it asks."""

import html
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway import document
from gateway.admin.app import build
from gateway.admin.question import Question, Stored
from gateway.config.values import Secret
from tests.admin.asgi import Answer, Client
from tests.admin.conftest import TOKEN, Gateway
from tests.admin.shelf import EVENT, Shelf, Still
from tests.admin.test_pages import signed_in

WAY: dict[str, Any] = {
    "outcome": "delivered",
    "identity": "00ff",
    "event": None,
    "events": [{"type": "order.created", "subject": "7", "data": {"total": 0.30, "note": "<b>"}}],
    "routes": [
        {"route": 0, "event": "evt_1", "matched": True, "why": "", "to": [{"destination": "ometria-uk", "map": None}]},
        {"route": 1, "event": "evt_1", "matched": False, "why": "when: false", "to": []},
    ],
    "requests": [
        {"destination": "ometria-uk", "method": "POST", "url": "https://x", "headers": {"k": "***"}, "body": {"a": 1}}
    ],
    "filtered": [],
    "dead": [{"destination": None, "part": "", "reason": "mapping_failed", "detail": "no total"}],
    "rejected": None,
}


class Asked:
    """Remembers what was asked."""

    def __init__(self) -> None:
        self.questions: list[Question | Stored] = []

    async def trial(self, question: Question | Stored) -> dict[str, Any]:
        self.questions.append(question)
        return WAY


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
async def browser(asked: Asked, desk: Shelf, gateway: Gateway, clock: Still) -> Client:
    return await signed_in(Client(build(desk, gateway.status, Secret(TOKEN), clock=clock, trial=asked.trial)))


async def sent(browser: Client, **fields: str) -> Answer:
    return await browser.post("/try", urlencode({"source": "uk-shop", "payload": "{}", **fields}).encode())


async def test_a_payload_is_tried_as_it_was_pasted(browser: Client, asked: Asked) -> None:
    fields = {
        "payload": '{"id": 1, "ü": "&"}',
        "topic": "orders/create",
        "headers": "X-A: 1\n\nX-B:2",
        "to": "ometria-uk",
    }
    answer = await sent(browser, **fields)
    assert answer.status == 200
    body = '{"id": 1, "ü": "&"}'.encode()
    headers = (("X-A", "1"), ("X-B", "2"))
    assert asked.questions == [Question("uk-shop", body, "orders/create", headers, "ometria-uk")]
    assert "{&#34;id&#34;: 1, &#34;ü&#34;: &#34;&amp;&#34;}</textarea>" in answer.text


async def test_every_step_is_shown(browser: Client) -> None:
    text = (await sent(browser)).text
    shown = [
        "order.created 7",
        "00ff",
        "when: false",
        "ometria-uk: POST https://x",
        "k: ***",
        "no total",
        "0.3",
        "&lt;b&gt;",
    ]
    assert [one for one in shown if one not in text] == []


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"source": "nobody"}, 400),
        ({"to": "nowhere"}, 400),
        ({"headers": "no colon"}, 400),
        ({"headers": "X-Ü: 1"}, 400),
        ({"payload": "x" * (257 << 10)}, 413),
    ],
)
async def test_what_cannot_be_tried_is_said(browser: Client, asked: Asked, fields: dict[str, str], status: int) -> None:
    assert (await sent(browser, **fields)).status == status
    assert asked.questions == []


async def test_the_form_may_come_filled_in(browser: Client) -> None:
    text = (await browser.get("/try?source=uk-shop&topic=orders%2Fpaid")).text
    assert 'value="orders/paid"' in text
    assert "<option selected>uk-shop</option>" in text


async def test_an_event_that_was_taken_is_tried_as_it_is_kept(browser: Client, asked: Asked) -> None:
    text = (await browser.get(f"/events/{EVENT.id}/try")).text
    assert asked.questions == [Stored(EVENT, None)]
    assert "order.created 7" in text
    assert f'href="/events/{EVENT.id}"' in text
    assert f'href="/events/{EVENT.id}/try"' in (await browser.get(f"/events/{EVENT.id}")).text
    await browser.get(f"/events/{EVENT.id}/try?to=ometria-uk")
    assert asked.questions[1:] == [Stored(EVENT, "ometria-uk")]


async def test_an_event_whose_source_is_gone_cannot_be_tried(browser: Client, asked: Asked, gateway: Gateway) -> None:
    assert (await browser.get("/events/evt_gone/try")).status == 404
    assert (await browser.get(f"/events/{EVENT.id}/try?to=nowhere")).status == 400
    gateway.sources = {}
    answer = await browser.get(f"/events/{EVENT.id}/try")
    assert (answer.status, asked.questions) == (400, [])


async def test_a_request_can_be_copied_for_a_shell(browser: Client) -> None:
    text = html.unescape((await sent(browser)).text)
    assert """curl -X POST https://x \\\n  -H 'k: ***' \\\n  --data-raw '{"a":1}'""" in text


async def test_the_api_tries_as_the_page_does(asked: Asked, desk: Shelf, gateway: Gateway, clock: Still) -> None:
    app = build(desk, gateway.status, Secret(TOKEN), clock=clock, trial=asked.trial)
    api = Client(app, {"authorization": f"Bearer {TOKEN}"})
    body = document.dump({"source": "uk-shop", "payload": "{}", "headers": [["X-A", "1"]]})
    assert (await api.post("/api/try", body)).json == WAY
    assert asked.questions == [Question("uk-shop", b"{}", None, (("X-A", "1"),), None)]
    assert (await api.post("/api/try", document.dump({"source": "nobody", "payload": ""}))).status == 400
