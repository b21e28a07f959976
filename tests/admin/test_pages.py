import re
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from markupsafe import escape
from structlog.testing import capture_logs

from gateway.admin.advice import OF_CAUSE, OF_REASON
from gateway.admin.app import build
from gateway.admin.html import readable, span
from gateway.config.schema import DestinationSettings
from gateway.config.values import Secret
from gateway.deliver.drops import Drop
from gateway.deliver.lessons import Trouble
from gateway.deliver.standing import AccountStanding
from gateway.errors import Cause, Fault, Reason
from gateway.journal.base import DeadFilter, DeadRow, EventView
from gateway.model import State
from tests.admin.asgi import Client
from tests.admin.conftest import TOKEN, Gateway, Making
from tests.admin.shelf import DEAD, EVENT, LANE, NOW_MS, Shelf, Still

PAGES = [
    "/",
    "/events",
    f"/events/{EVENT.id}",
    "/dead",
    "/dead/dl_1",
    "/dead/decide",
    "/parked",
    "/destinations",
    "/routes",
    "/try",
    "/rejected",
]
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def signed_in(client: Client) -> Client:
    """The same gateway through a browser that has signed in."""
    answer = await client.post("/login", urlencode({"token": TOKEN}).encode(), FORM)
    assert answer.status == 303
    return Client(client.app, {"cookie": answer.headers["set-cookie"].partition(";")[0]} | FORM)


async def test_a_lane_that_the_configuration_pauses_is_not_resumed_on_the_overview(
    stranger: Client, gateway: Gateway
) -> None:
    browser = await signed_in(stranger)
    assert "Pause uk-shop to ometria-uk" in (await browser.get("/")).text
    gateway.settings = DestinationSettings(vendor="ometria", paused=True)
    text = (await browser.get("/")).text
    assert "paused by the configuration" in text
    assert "Resume uk-shop to ometria-uk" not in text
    assert "Pause uk-shop to ometria-uk" not in text


class Tags(HTMLParser):
    """What a page is made of: every tag that is opened, and that all of them are closed in order."""

    VOID = frozenset({"meta", "link", "input", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_asks_who_is_there(stranger: Client, path: str) -> None:
    answer = await stranger.get(path)

    assert (answer.status, answer.headers["location"]) == (303, f"/login?next={path}")


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_is_whole_html_with_one_script_and_no_style_of_its_own(stranger: Client, path: str) -> None:
    browser = await signed_in(stranger)

    answer = await browser.get(path)
    tags = Tags(answer.text)

    assert answer.status == 200
    assert tags.open == []
    own = {"type": "module", "src": "/static/admin.js"}
    wrong = [tag for tag, given in tags.seen if tag in ("style", "iframe") or "style" in given]
    assert wrong == []
    assert [given for tag, given in tags.seen if tag == "script"] == [own]
    assert not [name for _, given in tags.seen for name in given if name.startswith("on")]
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; connect-src 'self';" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", PAGES)
async def test_every_field_of_a_form_has_a_name_that_can_be_read_out(stranger: Client, path: str) -> None:
    text = (await (await signed_in(stranger)).get(path)).text

    for field in re.findall(r"<(?:input|select|textarea)[^>]*>", text):
        labelled = "aria-label=" in field or re.search(rf"<label[^>]*>[^<]*{re.escape(field)}", text)
        assert 'type="hidden"' in field or labelled, field


@pytest.mark.parametrize("path", PAGES)
async def test_what_strangers_wrote_is_text(stranger: Client, path: str) -> None:
    text = (await (await signed_in(stranger)).get(path)).text

    assert "<script>alert" not in text
    assert "<b>not</b>" not in text


async def test_a_wrong_token_gets_no_session_and_has_to_wait(stranger: Client, clock: Still) -> None:
    before = clock.now

    with capture_logs() as lines:
        answer = await stranger.post("/login", b"token=guess", FORM)

    assert answer.status == 401
    assert "set-cookie" not in answer.headers
    assert clock.now > before
    assert [line["event"] for line in lines] == ["admin.refused"]


async def test_a_session_is_for_this_site_alone_and_unknown_to_scripts(stranger: Client) -> None:
    answer = await stranger.post("/login", urlencode({"token": TOKEN}).encode(), FORM)

    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie


async def test_a_session_ends_after_twelve_hours(stranger: Client, clock: Still) -> None:
    browser = await signed_in(stranger)
    clock.now += 12 * 3600 * 1000 + 1000

    assert (await browser.get("/")).status == 303


async def test_a_new_token_ends_every_session(stranger: Client, with_token: Making) -> None:
    browser = await signed_in(stranger)
    browser.app = with_token(Secret("another-token")).app

    assert (await browser.get("/")).status == 303


@pytest.mark.parametrize("cookie", ["", "1.2", "99999999999.abc", "x.y", "9" * 40 + ".a", "٣.a"])
async def test_a_made_up_session_is_none(stranger: Client, cookie: str) -> None:
    answer = await stranger.get("/", {"cookie": f"gateway_session={cookie}"})

    assert answer.status == 303


async def test_without_a_token_the_pages_are_closed_and_say_so(with_token: Making) -> None:
    closed = with_token(None)

    assert "no <code>admin.token</code> is configured" in (await closed.get("/login")).text
    assert (await closed.post("/login", b"token=", FORM)).status == 401


@pytest.mark.parametrize(
    "onward", ["//evil.example.com", "https://evil.example.com", "/\\evil.example.com", "javascript:x"]
)
async def test_signing_in_leads_only_to_pages_of_ours(stranger: Client, onward: str) -> None:
    body = urlencode({"token": TOKEN, "next": onward}).encode()

    assert (await stranger.post("/login", body, FORM)).headers["location"] == "/"


async def test_signing_in_leads_on_to_where_one_wanted_to_go(stranger: Client) -> None:
    body = urlencode({"token": TOKEN, "next": "/dead"}).encode()

    assert (await stranger.post("/login", body, FORM)).headers["location"] == "/dead"


async def test_signing_out_ends_it(stranger: Client) -> None:
    answer = await (await signed_in(stranger)).post("/logout")

    assert 'gateway_session=""' in answer.headers["set-cookie"]
    assert "Max-Age=0" in answer.headers["set-cookie"]


async def test_the_overview_shows_roles_lanes_and_what_was_refused(stranger: Client, gateway: Gateway) -> None:
    gateway.refused = (Fault("gateway.yaml", 3, 7, "routes[0].to", "no destination is named ometria"),)

    text = (await (await signed_in(stranger)).get("/")).text

    assert "receiver" in text
    assert "ometria-uk" in text
    assert "2 min" in text, "the lag of 90 s"
    assert "not configured" in text, "the orphaned lane"
    assert "gateway.yaml:3:7: routes[0].to" in text
    assert "signature_wrong" in text


async def test_the_overview_shows_how_accounts_stand_and_which_lanes_are_quiet(
    stranger: Client, gateway: Gateway
) -> None:
    gateway.settings = DestinationSettings(vendor="ometria", quiet=["08:00-17:00 UTC"])
    gateway.standings = (
        AccountStanding("ometria:abc", "suspended", "key_refused", "401", NOW_MS // 1000 + 60, None, 2.5),
    )

    text = (await (await signed_in(stranger)).get("/")).text

    assert "suspended" in text
    assert "key_refused" in text
    assert "2026-01-31 09:01:00" in text
    assert "2.5" in text
    assert "quiet until <time>2026-01-31 17:00:00 UTC</time>" in text


async def test_an_account_is_paused_from_the_overview(stranger: Client, desk: Shelf) -> None:
    answer = await (await signed_in(stranger)).post("/lanes", b"account=ometria%3Aabc&what=pause")

    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert desk.changes[0][1].subject == "lanes account=ometria:abc"


async def test_a_lane_is_paused_from_the_overview(stranger: Client, desk: Shelf) -> None:
    browser = await signed_in(stranger)

    answer = await browser.post("/lanes/1", b"what=pause")

    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert desk.changes[0][1].what == "pause"
    assert ">Resume<" in (await browser.get("/")).text


async def test_an_event_is_shown_with_exact_numbers_and_every_attempt(stranger: Client) -> None:
    text = (await (await signed_in(stranger)).get(f"/events/{EVENT.id}")).text

    assert "820982911946154508" in text
    assert "record_refused" in text
    assert "81 ms" in text
    assert "--data-raw &#39;{&#34;id&#34;: 820982911946154508, &#34;note&#34;" in text


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (State.WAITING, "not had its turn yet"),
        (State.FILTERED, "No route sends it there"),
        (State.SUPERSEDED, "A newer state of the same record"),
        (State.DISCARDED, "An operator gave it up"),
    ],
)
async def test_an_event_that_was_not_delivered_says_why_even_where_nothing_failed(
    gateway: Gateway, clock: Still, state: State, why: str
) -> None:
    class Once(Shelf):
        async def view(self, seq: int) -> EventView | None:
            return EventView(EVENT, ((LANE, state, (), ()),)) if seq == EVENT.seq else None

    browser = await signed_in(Client(build(Once(), gateway.status, Secret(TOKEN), clock=clock)))
    text = (await browser.get(f"/events/{EVENT.id}")).text

    assert why in text
    assert f'/events/{EVENT.id}/try?to={LANE.destination}"' in text


async def test_what_went_wrong_comes_with_what_helps(stranger: Client) -> None:
    browser = await signed_in(stranger)

    assert escape(OF_CAUSE[Cause.SIGNATURE_WRONG]) in (await browser.get("/rejected")).text
    for path in ("/dead", "/dead/dl_1", f"/events/{EVENT.id}"):
        assert escape(OF_REASON[Reason.RECORD_REFUSED]) in (await browser.get(path)).text, path


async def test_a_browser_that_has_lost_its_way_gets_a_page_and_a_program_gets_json(stranger: Client) -> None:
    browser = await signed_in(stranger)

    answer = await browser.get("/nowhere", {"accept": "text/html,*/*;q=0.8"})
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "there is no such page" in answer.text
    assert (await browser.get("/nowhere")).json["cause"] == "not_found"


async def test_events_are_paged(stranger: Client) -> None:
    browser = await signed_in(stranger)

    assert EVENT.id in (await browser.get("/events?before=5&source=uk-shop")).text
    assert (await browser.get("/events?before=x")).status == 400


async def test_an_event_is_found_by_a_text_in_its_body_and_by_its_id(stranger: Client) -> None:
    browser = await signed_in(stranger)

    assert EVENT.id in (await browser.get("/events?contains=820982911946154508")).text
    assert "No event fits" in (await browser.get("/events?contains=1001")).text
    answer = await browser.get(f"/events?contains=+{EVENT.id}")
    assert (answer.status, answer.headers["location"]) == (303, f"/events/{EVENT.id}")


async def test_events_that_are_still_to_come_appear_on_an_empty_list(stranger: Client) -> None:
    text = (await (await signed_in(stranger)).get("/events?topic=orders/other")).text

    assert "No event fits" in text
    assert 'data-from="/live/events?source=&amp;topic=orders/other&amp;after=0"' in text


async def test_chosen_dead_letters_are_retried(stranger: Client, desk: Shelf) -> None:
    answer = await (await signed_in(stranger)).post("/dead", b"id=dl_1&id=dl_2&what=retry")

    assert answer.status == 303
    assert desk.changes[0][0] == DeadFilter(ids=("dl_1", "dl_2"))
    assert desk.changes[0][1].what == "retry"


@pytest.mark.parametrize(
    "body", [b"what=discard&id=dl_1", b"what=retry", b"", b"id=%ff&what=retry", b"&".join([b"id=x"] * 999)]
)
async def test_a_slip_on_a_page_changes_nothing(stranger: Client, desk: Shelf, body: bytes) -> None:
    answer = await (await signed_in(stranger)).post("/dead", body)

    assert answer.status == 400
    assert 'role="alert"' in answer.text
    assert desk.changes == []


async def test_dead_letters_are_discarded_by_who_is_sure(stranger: Client, desk: Shelf) -> None:
    answer = await (await signed_in(stranger)).post("/dead", b"id=dl_1&what=discard&sure=yes")

    assert answer.status == 303
    assert desk.changes[0][1].what == "discard"


async def test_a_form_from_another_site_is_refused(stranger: Client, desk: Shelf) -> None:
    browser = await signed_in(stranger)
    evil = {"origin": "https://evil.example.com"}

    assert (await browser.post("/dead", b"id=dl_1&what=retry", evil)).status == 403
    assert (await browser.post("/lanes/1", b"what=pause", evil)).status == 403
    assert desk.changes == []
    own = await browser.post("/dead", b"id=dl_1&what=retry", {"origin": "http://127.0.0.1:8081"})
    assert own.status == 303


async def test_many_dead_letters_are_counted_by_reason_and_cut(stranger: Client, desk: Shelf) -> None:
    desk.letters = [DeadRow(f"dl_{number}", LANE, DEAD, EVENT.id) for number in range(201)]

    text = (await (await signed_in(stranger)).get("/dead")).text

    assert "The first 100 of 201." in text
    assert text.count('name="id"') == 100


async def test_a_journal_that_does_not_answer_is_a_page_that_says_so(stranger: Client, desk: Shelf) -> None:
    browser = await signed_in(stranger)
    desk.broken = True

    answer = await browser.get("/")

    assert answer.status == 503
    assert "disk I/O error" in answer.text


async def test_an_event_that_is_gone_is_a_page_that_says_so(stranger: Client) -> None:
    answer = await (await signed_in(stranger)).get("/events/evt_gone")

    assert answer.status == 404
    assert "journal.keep" in answer.text


async def test_the_style_is_served_to_everybody_for_light_and_dark_and_small_screens(stranger: Client) -> None:
    answer = await stranger.get("/static/admin.css")

    assert answer.headers["content-type"].startswith("text/css")
    assert "prefers-color-scheme: dark" in answer.text
    assert "overflow-x: auto" in answer.text


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59, "59 s"), (90, "2 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_spans_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_json_is_indented_and_anything_else_left_as_it_is() -> None:
    assert readable('{"a":1.10,"b":12345678901234567890}') == '{\n  "a": 1.10,\n  "b": 12345678901234567890\n}'
    assert readable("\ufeff[1]") == "[\n  1\n]"
    assert readable("not json") == "not json"
    assert readable("\ud800") == "\ud800"


async def test_a_browser_tells_our_own_forms_where_they_come_from(stranger: Client) -> None:
    answer = await stranger.get("/login")
    assert answer.headers["referrer-policy"] == "same-origin"  # with no-referrer it writes `Origin: null`


async def test_destinations_show_their_pace_their_troubles_and_what_was_given_up(
    stranger: Client, gateway: Gateway
) -> None:
    trouble = Trouble(NOW_MS // 1000 - 5, "ometria-uk", "timeout", "after 30 s")
    drops = (Drop(NOW_MS // 1000 - 9, 3, "root > email: not a valid value"),)
    gateway.standings = (AccountStanding("ometria:abc", "open", "", "", 0, 3.75, None, 6, (trouble,), drops),)

    text = (await (await signed_in(stranger)).get("/destinations")).text

    shown = [
        "3.75 requests a second are allowed; 6 under way",
        "timeout: after 30 s",
        "1 record_refused",
        "3: root &gt; email: not a valid value",
        "<dd>2 waiting, ",
    ]
    assert [one for one in shown if one not in text] == []


async def test_a_destination_is_paused_from_its_page(stranger: Client, desk: Shelf) -> None:
    browser = await signed_in(stranger)
    answer = await browser.post("/lanes", b"destination=ometria-uk&what=pause&back=%2Fdestinations")
    assert answer.headers["location"] == "/destinations"
    assert desk.changes[0][1].what == "pause"
    elsewhere = await browser.post("/lanes", b"destination=ometria-uk&what=resume&back=https%3A%2F%2Fevil.example")
    assert elsewhere.headers["location"] == "/"
