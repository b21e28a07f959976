import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from gateway.admin import alive


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/healthz", "/readyz?role=receiver") else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_answers_200_is_alive(url: str) -> None:
    assert alive.main([f"{url}/healthz", f"{url}/readyz?role=receiver"]) == 0


def test_what_answers_anything_else_is_named(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert alive.main([f"{url}/healthz", f"{url}/readyz"]) == 1
    assert capsys.readouterr().err == f"{url}/readyz does not answer 200\n"


def test_the_address_comes_from_the_environment_unless_it_is_given(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(alive.VARIABLE, f"{url}/healthz")

    assert alive.main([]) == 0


def test_what_does_not_listen_is_not_alive() -> None:
    assert alive.main(["http://127.0.0.1:1/healthz"]) == 1
