"""`gateway send` signs as the platform does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest

from gateway import app
from gateway.clock import SystemChance, SystemClock
from gateway.config.load import Loaded
from gateway.receive.door import compile_door
from gateway.receive.guards import Clients
from gateway.receive.keys import Keys
from gateway.receive.request import Request
from gateway.sandbox.keypair import KeyPair
from gateway.trial.platform import CannotSign, Platform, Post
from tests.cli.conftest import ENV, Run, answer

NOW_MS = 1_760_000_000_000


# --- what is signed, the door takes ----------------------------------------------------------------------------------


def posted(loaded: Loaded, source: str, body: bytes, topic: str) -> Post:
    settings = loaded.config.sources[source]
    platform = Platform(settings, app.presets_of(loaded)[settings.preset], "http://gateway/webhooks/x", SystemChance())
    return platform.post(body, topic, NOW_MS, [])


def taken(loaded: Loaded, source: str, post: Post) -> str:
    """The topic under which the receiver's checks let the request in."""
    settings = loaded.config.sources[source]
    clients = Clients((), "forwarded")
    preset = app.presets_of(loaded)[settings.preset]
    door = compile_door(source, settings, preset, loaded.config, clients, Keys(SystemClock()))
    headers = [(name.lower().encode(), value.encode()) for name, value in post.headers]
    request = Request(post.method, headers, post.url.partition("?")[2].encode(), "127.0.0.1", NOW_MS)
    request.wire = request.body = post.body
    door.admit(request)
    assert door.verify is not None
    door.verify(request.wire, request.fields, request.arrived_ms)
    door.understand(request)
    return door.offer(request, 0).topic


@pytest.mark.parametrize("source", ["uk-shop", "erp"])
def test_what_is_signed_passes_the_receivers_checks(config: Path, source: str) -> None:
    loaded = app.load_config(config, ENV)
    assert taken(loaded, source, posted(loaded, source, b'{"id": 7}', "orders/create")) == "orders/create"


@pytest.mark.parametrize(
    "asked",
    [
        "{bearer: '${ERP_KEY}', topic: 'query:kind'}",
        "{basic: {user: ann, password: '${ERP_KEY}'}, topic: 'query:kind'}",
        "{api_key: '${ERP_KEY}', topic: 'query:kind', allow: {headers: {X-Team: [blue, red], X-Any: '*'}}}",
        "{topic: 'query:kind', allow: {methods: [PUT]}}",
    ],
)
def test_a_generic_source_is_given_all_that_it_asks_for(config: Path, asked: str) -> None:
    signed = "secrets: '${ERP_SECRET}', verify: {header: X-S, encoding: base64, prefix: 'v1='}"
    config.write_text(config.read_text().replace("  erp:", f"  odd: {{{signed}, {asked[1:]}\n  erp:"))
    loaded = app.load_config(config, ENV)
    assert taken(loaded, "odd", posted(loaded, "odd", b"{}", "stock/moved")) == "stock/moved"


def test_a_shops_domain_is_the_one_that_is_allowed(config: Path) -> None:
    allowed = "preset: shopify, allow: {headers: {X-Shopify-Shop-Domain: brookfield.myshopify.com}}"
    config.write_text(config.read_text().replace("preset: shopify", allowed))
    loaded = app.load_config(config, ENV)
    post = posted(loaded, "uk-shop", b"{}", "orders/create")
    assert dict(post.headers)["X-Shopify-Shop-Domain"] == "brookfield.myshopify.com"
    assert taken(loaded, "uk-shop", post) == "orders/create"


def test_what_cannot_be_signed_is_said(config: Path) -> None:
    config.write_text(config.read_text().replace("  erp:", "  pay: {preset: adyen, secrets: '${HEX}'}\n  erp:"))
    if "adyen" not in app.registry().presets:
        pytest.skip("no such preset yet")
    loaded = app.load_config(config, {**ENV, "HEX": "00ff" * 16})
    with pytest.raises(CannotSign, match="cannot be signed as adyen does"):
        posted(loaded, "pay", b"not json", "AUTHORISATION")


# --- over the wire ---------------------------------------------------------------------------------------------------


class Gateway(ThreadingHTTPServer):
    """Answers like the receiver: every third request of an address is a duplicate, /full is 503."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, dict(self.headers), body))
        count = len(self.server.seen)
        refused = self.path == "/full"
        said: dict[str, Any] = {"cause": "overloaded"} if refused else {"id": f"evt_{count}", "duplicate": count == 3}
        answered = json.dumps(said).encode()
        self.send_response(503 if refused else 200)
        self.send_header("Content-Length", str(len(answered)))
        self.end_headers()
        self.wfile.write(answered)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def gateway_at() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url(server: Gateway, path: str = "") -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_a_sample_is_sent_to_the_sources_address(run: Run, gateway_at: Gateway) -> None:
    result = run("send", "uk-shop", "--sample", "order", "--url", url(gateway_at))
    assert (result.exit_code, result.stdout) == (0, "200 evt_1\n")
    path, headers, _ = gateway_at.seen[0]
    assert (path, headers["X-Shopify-Topic"]) == ("/webhooks/uk-shop", "orders/create")


def test_many_are_counted(run: Run, gateway_at: Gateway) -> None:
    result = run(
        "send", "uk-shop", "--sample", "order", "--count", "4", "--rate", "1000", "--url", url(gateway_at), "--json"
    )
    found = answer(result)
    assert result.exit_code == 0
    assert [found[name] for name in ("sent", "accepted", "duplicates", "refused")] == [4, 3, 1, 0]
    assert len({body for _, _, body in gateway_at.seen}) == 4


def test_a_file_is_sent_as_it_is(run: Run, gateway_at: Gateway, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_bytes(b'{ "ref" : "A-1" }\n')
    result = run("send", "erp", str(tmp_path / "body.json"), "--topic", "order.created", "--url", url(gateway_at))
    assert result.exit_code == 0
    _, headers, body = gateway_at.seen[0]
    assert (headers["x-event-type"], body) == ("order.created", b'{ "ref" : "A-1" }\n')


def test_a_refusal_is_the_answer_no(run: Run, gateway_at: Gateway) -> None:
    result = run("send", "uk-shop", "--sample", "order", "--count", "2", "--url", url(gateway_at, "/full"))
    assert result.exit_code == 1
    assert result.stdout == "2 sent, 0 accepted, 0 duplicates, 2 refused\n"
    assert result.stderr == "2 times 503: overloaded\n"


def test_a_platform_with_a_private_key_is_signed_by_the_one_that_is_given(
    run: Run, config: Path, gateway_at: Gateway, tmp_path: Path
) -> None:
    pair = KeyPair.kept(tmp_path / "key.pem")
    source = f"  site: {{preset: wix, public_key: '${{file:{tmp_path}/key.pem.pub}}'}}\n"
    config.write_text(config.read_text().replace("  erp:", f"{source}  erp:", 1))
    words = ("send", "site", "--sample", "order", "--url", url(gateway_at))
    without, made = run(*words), run(*words, "--key", str(tmp_path / "key.pem"))
    assert (without.exit_code, made.exit_code) == (2, 0)
    assert "gateway sandbox --key PATH" in without.stderr
    _, _, body = gateway_at.seen[0]
    assert "data" in jwt.decode(body, pair.public_pem(), ["RS256"], options={"verify_exp": False})
    assert "holds no RSA private key" in run(*words, "--key", str(config)).stderr


def test_nobody_at_home_is_a_sentence(run: Run) -> None:
    result = run("send", "uk-shop", "--sample", "order", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "no answer Cannot connect" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "samples: order, customer, product"),
        (["--sample", "ordr"], "did you mean `order`?"),
        (["--sample", "order", "--url", "localhost"], "a URL is wanted"),
        (["--sample", "order", "--count", "0"], "--count"),
    ],
)
def test_a_mistake_is_a_sentence(run: Run, words: list[str], said: str) -> None:
    result = run("send", "uk-shop", *words)
    assert result.exit_code == 2
    assert said in result.stderr
