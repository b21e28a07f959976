"""The configuration's small types."""

import copy
import pickle

import pytest

from gateway.config.values import Secret, Url, bytes_text, duration, percent, seconds, share, size


@pytest.mark.parametrize(("text", "value"), [("250ms", 0.25), ("5s", 5), ("1.5m", 90), ("2h", 7200), ("7d", 604800)])
def test_a_duration_is_seconds_and_back(text: str, value: float) -> None:
    assert seconds(text) == value
    assert seconds(duration(value)) == value


@pytest.mark.parametrize("text", ["5", "5 s", "s", "-5s", "5S", "1e3s", "٥s", "", None, 5, True, "9" * 400 + "d"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="a duration is a number with a unit"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "value"), [("500B", 500), ("60KB", 60_000), ("1MiB", 1 << 20), ("2 GB", 2 * 10**9), (7, 7)]
)
def test_a_size_is_bytes_and_back(text: str | int, value: int) -> None:
    assert size(text) == value
    assert size(bytes_text(value)) == value


@pytest.mark.parametrize("text", ["1mb", "-1", "1 TB", True, -1, None, 1.5, "9" * 400])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="a size is"):
        size(text)


@pytest.mark.parametrize(("text", "value"), [("50%", 0.5), ("2.5%", 0.025), ("100%", 1.0)])
def test_a_percentage_is_a_share_and_back(text: str, value: float) -> None:
    assert share(text) == value
    assert percent(value) == text


@pytest.mark.parametrize("text", ["50", "0%", "101%", "-1%", 0.5, 1, True, None, "٥%", "%"])
def test_what_is_no_percentage_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="a percentage"):
        share(text)


def test_a_secret_prints_as_stars_however_it_is_printed() -> None:
    secret = Secret("hunter2")
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % secret, str([secret]), str({"a": secret})]  # noqa: UP031  this way too
    assert not [text for text in shown if "hunter2" in text]
    assert secret.reveal() == "hunter2"


def test_secrets_are_equal_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert copy.deepcopy(Secret("a")) == Secret("a")
    assert pickle.loads(pickle.dumps(Secret("a"))) == Secret("a")  # noqa: S301  our own bytes
    assert len({Secret("a"), Secret("a")}) == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://gw:p:a@s@db:5432/gw", "postgresql://gw:***@db:5432/gw"),
        ("https://api.example.com/v2?key=abc&x=1", "https://api.example.com/v2?key=***&x=***"),
        ("sqlite:////srv/gateway.db", "sqlite:////srv/gateway.db"),
    ],
)
def test_a_url_prints_without_what_is_secret_in_it(url: str, shown: str) -> None:
    assert Url(url).masked() == shown
    assert repr(Url(url)) == f"Url({shown!r})"
    assert Url(url) == url


@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        ("https://api.example.com/v2?key=a%2Fb&x=1&sig=", ("a/b",)),
        ("https://gw:p%40ss@api.example.com/v2", ("p@ss",)),
        ("https://api.example.com/v2?page=2", ()),
    ],
)
def test_a_url_knows_what_is_secret_in_it(url: str, hidden: tuple[str, ...]) -> None:
    assert Url(url).credentials() == hidden
