"""The pages of dead letters, over a journal that holds some."""

import re
from urllib.parse import urlencode

import pytest

from gateway.admin import letters as pages
from gateway.admin.app import build
from gateway.config.values import Secret
from gateway.journal.base import DeadFilter, DeadRow, Operation
from gateway.journal.memory import MemoryJournal
from gateway.model import State
from tests.admin.asgi import Client
from tests.admin.conftest import TOKEN, Gateway
from tests.admin.shelf import Still
from tests.admin.test_pages import signed_in
from tests.journal.making import NOW_MS, Lanehand, accept, row

LETTERS = 12


class Noting(MemoryJournal):
    """A journal that remembers how it was asked to change something."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[DeadFilter, Operation]] = []

    async def retry(self, which: DeadFilter, by: Operation, *, every_state: bool = False) -> int:
        self.operations.append((which, by))
        return await super().retry(which, by, every_state=every_state)

    async def discard(self, which: DeadFilter, by: Operation) -> int:
        self.operations.append((which, by))
        return await super().discard(which, by)


@pytest.fixture
async def journal() -> Noting:
    made = Noting()
    hand = await Lanehand.on(made, "uk-shop", "crm")
    await accept(made, LETTERS + 1, source="uk-shop")
    dead = [
        row(seq, state=State.DEAD, reason="server_error" if seq % 3 else "too_large", mapping="ometria/order")
        for seq in range(1, LETTERS + 1)
    ]
    await hand.settle(LETTERS + 1, parked=[*dead, row(LETTERS + 1)])
    return made


@pytest.fixture
async def browser(journal: Noting, gateway: Gateway, clock: Still) -> Client:
    return await signed_in(Client(build(journal, gateway.status, Secret(TOKEN), clock=clock)))


async def left(journal: Noting) -> list[DeadRow]:
    return [one async for one in journal.dead(DeadFilter())]


def fields(text: str) -> dict[str, str]:
    """What the hidden fields of a page say."""
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', text))


async def test_the_page_groups_all_of_them_by_reason(browser: Client) -> None:
    text = (await browser.get("/dead")).text
    groups = re.findall(
        r'">(\w+)</a><br><small>[^<]+</small></td><td>uk-shop</td><td>crm</td>\s+<td class="n">(\d+)<', text
    )
    assert groups == [("server_error", "8"), ("too_large", "4")]
    assert "Decide about all 12" in text


async def test_a_letter_shows_why_the_answer_the_record_and_the_mapping(browser: Client, journal: Noting) -> None:
    first = (await left(journal))[0]
    text = (await browser.get(f"/dead/{first.id}")).text
    for shown in (
        "server_error: upstream said no",
        "&lt;h1&gt;no&lt;/h1&gt;",
        "&#34;id&#34;: &#34;1&#34;",
        "ometria/order",
    ):
        assert shown in text
    assert (await browser.get("/dead/999")).status == 404


async def test_a_decision_is_counted_before_anything_changes(browser: Client, journal: Noting) -> None:
    text = (await browser.get("/dead/decide?reason=server_error")).text
    assert "8 dead letters" in text
    assert fields(text)["to_ms"] == str(NOW_MS)
    assert len(await left(journal)) == LETTERS


async def test_many_are_retried_slice_by_slice_until_nothing_is_left(
    browser: Client, journal: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LETTERS_PER_SLICE", 3)
    monkeypatch.setattr(pages, "WORK_S", 0.0001)
    form = fields((await browser.get("/dead/decide?reason=server_error")).text)
    answer = await browser.post("/dead/decide", urlencode({**form, "what": "retry"}).encode())
    assert answer.status == 200
    assert "Retried 8 of 8" in answer.text
    assert {one.row.reason for one in await left(journal)} == {"too_large"}
    assert {which.limit for which, _ in journal.operations} == {3}


async def test_old_states_are_retried_over_newer_ones_when_told_so(
    browser: Client, journal: Noting, clock: Still, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LETTERS_PER_SLICE", 5)
    retry, told = journal.retry, []

    async def slow(which: DeadFilter, by: Operation, *, every_state: bool = False) -> int:
        clock.now += 3_000
        told.append(every_state)
        return await retry(which, by, every_state=every_state)

    monkeypatch.setattr(journal, "retry", slow)
    form = fields((await browser.get("/dead/decide?reason=server_error")).text)
    first = await browser.post("/dead/decide", urlencode({**form, "what": "retry", "every_state": "yes"}).encode())
    assert "Go on" in first.text
    await browser.post("/dead/decide", urlencode(fields(first.text)).encode())
    name = (await left(journal))[0].id
    await browser.post("/dead", urlencode({"id": name, "what": "retry", "every_state": "yes"}).encode())
    await browser.post("/dead", urlencode({"id": name, "what": "retry"}).encode())
    assert told == [True, True, True, False]


async def test_a_page_works_for_a_while_and_goes_on_when_asked(
    browser: Client, journal: Noting, clock: Still, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LETTERS_PER_SLICE", 3)
    change = journal.discard

    async def slow(which: DeadFilter, by: Operation) -> int:
        clock.now += 3_000
        return await change(which, by)

    monkeypatch.setattr(journal, "discard", slow)
    form = fields((await browser.get("/dead/decide?destination=crm")).text)
    sent = {**form, "what": "discard", "sure": "yes", "note": "a test shop"}
    text = (await browser.post("/dead/decide", urlencode(sent).encode())).text
    assert "Discarded 3 of 12" in text
    assert "Go on" in text
    assert len(await left(journal)) == LETTERS - 3
    for _ in range(4):
        text = (await browser.post("/dead/decide", urlencode(fields(text)).encode())).text
    assert "Nothing is left to discard" in text
    assert await left(journal) == []
    assert {by.note for _, by in journal.operations} == {"a test shop"}


@pytest.mark.parametrize(
    ("form", "cause"),
    [
        ({"what": "discard", "to_ms": "1"}, "say that you are sure"),
        ({"what": "retry", "to_ms": "x"}, "is a number"),
        ({"what": "retry", "to_ms": "9" * 40}, "is a number"),
    ],
)
async def test_a_form_that_is_not_right_changes_nothing(
    browser: Client, journal: Noting, form: dict[str, str], cause: str
) -> None:
    answer = await browser.post("/dead/decide", urlencode(form).encode())
    assert answer.status == 400
    assert cause in answer.text
    assert len(await left(journal)) == LETTERS


async def test_the_api_counts_and_changes_so_many_a_call(journal: Noting, gateway: Gateway, clock: Still) -> None:
    api = Client(build(journal, gateway.status, Secret(TOKEN), clock=clock), {"authorization": f"Bearer {TOKEN}"})
    found = (await api.get("/api/dead/groups?reason=too_large")).json
    assert (found["dead"], found["groups"][0]["reason"]) == (4, "too_large")
    body = b'{"reason": "server_error", "limit": 5, "note": "again", "to": "2027-01-01T00:00:00Z"}'
    answers = [(await api.post("/api/dead/retry", body)).json for _ in range(2)]
    assert answers == [{"count": 5, "more": True}, {"count": 3, "more": False}]
    assert journal.operations[0][1].note == "again"
    for wrong in (b'{"all": true, "limit": 0}', b'{"all": true, "to": "2027-01-01T00:00:00"}'):
        assert (await api.post("/api/dead/discard", wrong)).status == 400
