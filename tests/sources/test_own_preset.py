"""A platform of one's own, written in the configuration with the keys that the shipped ones use: checked by `check`,
signed by `send`, taken by the receiver, mapped by a mapping of one's own.
"""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway import app
from gateway.cli import gateway
from gateway.mapping.book import Book
from gateway.mapping.normalise import Normaliser
from gateway.model import Event
from gateway.trial.platform import CannotSign, Platform
from tests.receive.knock import NOW_MS, CountingChance, opened
from tests.sources.test_samples import wire

CONFIG = """
presets:
  tillhouse:
    title: Tillhouse
    methods: [PUT]
    headers: {X-Branch: "*"}
    verify: {scheme: hmac, header: X-Till-Sign, encoding: base64, key: hex, signed: "{header:X-Till-Id}.{body}"}
    topic: ["header:X-Till-Topic"]
    identity: [["header:X-Till-Id"], [body]]
    answers: {body: "OK", content_type: text/plain}
    asides:
      - {when: {"header:X-Till-Topic": "till.ping"}, answer: {body: pong}}
    normalise: {"sale.*": till-sale}
sources:
  till: {preset: tillhouse, secrets: "${TILL_KEY}", currency: EUR}
mappings:
  till-sale:
    entity: order
    fields: {id: body.no, currency: source.currency, total: {from: body.sum, type: number}}
destinations:
  bin: {vendor: http, url: "https://example.com/in"}
routes:
  - {from: till, events: "order.*", to: bin}
"""
ENV = {"TILL_KEY": "00ff10"}
BODY = b'{"no": 71, "sum": "12.50"}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG)
    return path


def checked(file: Path) -> Result:
    return CliRunner().invoke(gateway, ["check", "--config", str(file)], env=ENV)


def test_check_finds_no_fault_in_it(file: Path) -> None:
    result = checked(file)
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("scheme: hmac", "scheme: rot13", "presets.tillhouse.verify"),
        ("header:X-Till-Topic", "hedder:X-Till-Topic", "presets.tillhouse.topic"),
        ("methods: [PUT]", "metods: [PUT]", "metods"),
        ("normalise: {", "normalise: {x: nowhere, ", "nowhere"),
        ("preset: tillhouse", "preset: tilhouse", "did you mean `tillhouse`"),
        ('"${TILL_KEY}"', "not-hex", "a secret is not hex"),
    ],
)
def test_check_names_each_fault_and_its_place(file: Path, right: str, wrong: str, said: str) -> None:
    file.write_text(CONFIG.replace(right, wrong))
    result = checked(file)
    assert result.exit_code != 0
    assert said in result.stderr + result.stdout


async def test_what_send_signs_the_receiver_takes_and_the_mapping_reads(file: Path) -> None:
    loaded = app.load_config(file, ENV)
    source, preset = loaded.config.sources["till"], app.presets_of(loaded)["tillhouse"]
    post = Platform(source, preset, "http://gw/webhooks/till", CountingChance()).post(BODY, "sale.created", NOW_MS, [])
    settings = {"till": {"preset": "tillhouse", "secrets": ENV["TILL_KEY"]}}
    async with opened(settings, presets=loaded.config.presets) as visitor:
        replies = [await visitor.send(post.method, "/webhooks/till", post.body, wire(post)) for _ in range(2)]
        forged = await visitor.send("PUT", "/webhooks/till", post.body + b" ", dict(post.headers))
        by_post = await visitor.post("till", post.body, wire(post))
    assert [(reply.status, reply.body) for reply in replies] == [(200, b"OK")] * 2
    assert (forged.status, by_post.status) == (401, 405)
    (offer,) = visitor.log.offers
    event = Event(1, "evt_1", "till", offer.topic, NOW_MS, 1, "PUT", "", offer.headers, offer.body)
    normaliser = Normaliser("till", source, preset.normalise, Book(loaded.config.mappings))
    (normal,) = normaliser.normal(event)
    assert (normal.type, normal.subject) == ("order.created", "71")
    assert (normal.data["currency"], float(normal.data["total"])) == ("EUR", 12.5)


async def test_its_ping_is_answered_and_is_no_event(file: Path) -> None:
    loaded = app.load_config(file, ENV)
    source, preset = loaded.config.sources["till"], app.presets_of(loaded)["tillhouse"]
    post = Platform(source, preset, "http://gw/webhooks/till", CountingChance()).post(b"{}", "till.ping", NOW_MS, [])
    settings = {"till": {"preset": "tillhouse", "secrets": ENV["TILL_KEY"]}}
    async with opened(settings, presets=loaded.config.presets) as visitor:
        reply = await visitor.send(post.method, "/webhooks/till", post.body, wire(post))
    assert (reply.status, reply.body, visitor.log.events) == (200, b"pong", [])


@pytest.mark.parametrize(
    ("scheme", "secret"),
    [
        ("scheme: stripe", "whsec_x"),
        ("scheme: standard-webhooks", "whsec_bm9ydGhsaWdodC1zdGFuZGFyZC1rZXk="),
        ("scheme: standard-webhooks, key: text", "plain secret"),
    ],
)
async def test_it_may_sign_as_a_known_scheme_does(tmp_path: Path, scheme: str, secret: str) -> None:
    file = tmp_path / "gateway.yaml"
    till = f"presets: {{till: {{title: Till, verify: {{{scheme}}}, topic: ['json:type']}}}}\n"
    file.write_text(f"{till}sources: {{shop: {{preset: till, secrets: '{secret}'}}}}\n")
    loaded = app.load_config(file, {})
    source, preset = loaded.config.sources["shop"], app.presets_of(loaded)["till"]
    post = Platform(source, preset, "http://gw", CountingChance()).post(b'{"type":"a.b"}', None, NOW_MS, [])
    settings = {"shop": {"preset": "till", "secrets": secret}}
    async with opened(settings, presets=loaded.config.presets) as visitor:
        assert (await visitor.post("shop", post.body, wire(post))).status == 200


def test_a_scheme_that_cannot_be_played_is_said(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    till = "presets: {till: {title: Till, verify: {scheme: paypal, chain: false}, topic: ['json:type']}}\n"
    file.write_text(f"{till}sources: {{shop: {{preset: till, webhook_id: w}}}}\n")
    loaded = app.load_config(file, {})
    source, preset = loaded.config.sources["shop"], app.presets_of(loaded)["till"]
    with pytest.raises(CannotSign, match="Till signs by paypal, which is not played here"):
        Platform(source, preset, "http://gw", CountingChance()).post(b"{}", None, NOW_MS, [])


@pytest.mark.parametrize(
    ("signed", "given"),
    [
        ("{header:X-Till-Id}.{body}", [("x-till-id", "77")]),
        ("{header:X-Nonce}.{body}", [("X-Nonce", "abc")]),
        ("{header:X-Nonce}.{body}", []),
    ],
)
async def test_headers_that_are_signed_are_signed_as_they_are_sent(
    tmp_path: Path, signed: str, given: list[tuple[str, str]]
) -> None:
    (file := tmp_path / "gateway.yaml").write_text(CONFIG.replace("{header:X-Till-Id}.{body}", signed))
    loaded = app.load_config(file, ENV)
    source = loaded.config.sources["till"]
    platform = Platform(source, app.presets_of(loaded)["tillhouse"], "https://in.example.com", CountingChance())
    post = platform.post(BODY, "sale.done", NOW_MS, given)
    own = loaded.config.presets
    async with opened({"till": {"preset": "tillhouse", "secrets": ENV["TILL_KEY"]}}, presets=own) as visitor:
        reply = await visitor.send(post.method, "/webhooks/till", post.body, wire(post))
    assert reply.status == 200, reply
    assert [pair for pair in post.headers if pair[0].lower() in {name.lower() for name, _ in given}] == given
