"""`gateway send`: events as the real platform would send them, to a gateway that runs."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import click

from gateway import app, document
from gateway.cli import show
from gateway.cli.options import DONE, NO, WRONG_USE, config_option, json_option
from gateway.clock import SystemChance, SystemClock
from gateway.config.load import Loaded
from gateway.config.wording import near
from gateway.sandbox import samples
from gateway.sandbox.keypair import KeyPair
from gateway.trial.platform import CannotSign, Pairs, Platform, Post

IN_FLIGHT = 16
TIMEOUT_S = 15.0
BODY_MAX_BYTES = 64 << 20
ANSWERS_SHOWN = 1000

_REACHED_AT = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  nothing is bound here
"""Where a server that listens everywhere is reached from here."""

Write = Callable[[int], Post]
"""The n-th request, from 1."""


class Answer(NamedTuple):
    """What the gateway said to one request. Status 0: nothing answered."""

    status: int
    id: str
    duplicate: bool
    cause: str


@click.command(short_help="Send events as the real platform does.")
@click.argument("source")
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--sample", help="A sample of the platform: order, customer, product, or a topic.")
@click.option("--topic", help="The topic it is sent under.")
@click.option(
    "--header", "headers", multiple=True, metavar="K:V", help="A header to add, or to send in place of the platform's."
)
@click.option("--count", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="How many to send.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Send at most this many a second.")
@click.option("--url", help="The gateway. Default: where `receiver.listen` says.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The private key (PEM) that stands in for the platform's: Saleor, Wix.",
)
@config_option
@json_option
@click.pass_context
def send(ctx: click.Context, /, source: str, config: Path, **chosen: Any) -> None:
    """Send events to SOURCE, signed as its platform signs: FILE (- is standard input) or a sample.

    Exits 1 when one of them is refused.
    """
    loaded = app.load_config(config)
    url = target(loaded, known_source(loaded, source), chosen["url"])
    write = _writer(loaded, source, url, chosen)
    try:
        write(1)
    except CannotSign as error:
        click.echo(f"Error: {show.clean(error)}", err=True)
        ctx.exit(WRONG_USE)
    answers = asyncio.run(_sent(write, chosen["count"], chosen["rate"]))
    _tell(answers, url, as_json=chosen["as_json"])
    ctx.exit(DONE if all(200 <= answer.status < 300 for answer in answers) else NO)  # noqa: PLR2004  2xx


def known_source(loaded: Loaded, name: str) -> str:
    """The name of a configured source. Raises BadParameter."""
    if name not in loaded.config.sources:
        hint = near(name, loaded.config.sources)
        raise click.BadParameter(f"there is no source {show.clean(name)}: {hint}", param_hint="SOURCE")
    return name


def target(loaded: Loaded, source: str, url: str | None) -> str:
    """Where a source is reached: an address alone gets the source's path."""
    if url is None:
        host, _, port = loaded.config.receiver.listen.rpartition(":")
        url = f"http://{_REACHED_AT.get(host, host)}:{port}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.BadParameter("a URL is wanted: http://127.0.0.1:8080", param_hint="--url")
    return url if parts.path.strip("/") else f"{url.rstrip('/')}/webhooks/{source}"


def given_headers(texts: tuple[str, ...]) -> Pairs:
    """`K:V` options as headers. Raises BadParameter."""
    pairs = [text.partition(":") for text in texts]
    if wrong := next((text for text, (name, colon, _) in zip(texts, pairs, strict=True) if not (colon and name)), None):
        raise click.BadParameter(f"{show.clean(wrong)!r} is not NAME:VALUE", param_hint="--header")
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def read(file: Any) -> bytes:
    """A body from a file, bounded."""
    body: bytes = file.read(BODY_MAX_BYTES + 1)
    if len(body) > BODY_MAX_BYTES:
        raise click.BadParameter(f"is larger than {BODY_MAX_BYTES >> 20} MiB", param_hint="FILE")
    return body


def _writer(loaded: Loaded, source: str, url: str, chosen: dict[str, Any]) -> Write:
    """What to send, the n-th time."""
    settings = loaded.config.sources[source]
    preset, pair = app.presets_of(loaded)[settings.preset], _pair(chosen["key"])
    platform = Platform(settings, preset, url, SystemChance(), pair)
    clock, more, name = SystemClock(), given_headers(chosen["headers"]), chosen["sample"]
    if (chosen["file"] is None) == (name is None):
        known = ", ".join(samples.names(settings.preset)) or f"none for {settings.preset}"
        raise click.UsageError(f"name a FILE or a --sample, one of the two; samples: {known}")
    if name is None:
        body = read(chosen["file"])
        return lambda _: platform.post(body, chosen["topic"], clock.now_ms(), more)
    if name not in samples.names(settings.preset):
        raise click.BadParameter(near(name, samples.names(settings.preset)), param_hint="--sample")

    def write(number: int) -> Post:
        sample = samples.sample(settings.preset, name, now_ms=clock.now_ms(), number=number)
        return platform.post(sample.body, chosen["topic"] or sample.topic, clock.now_ms(), more)

    return write


def _pair(path: Path | None) -> KeyPair | None:
    """The key pair in a file. Raises BadParameter."""
    try:
        return None if path is None else KeyPair.read(path)
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="--key") from None


async def _sent(write: Write, count: int, rate: float | None) -> list[Answer]:
    """The answers, in the order of sending. At most IN_FLIGHT wait for theirs at once."""
    clock, room = SystemClock(), asyncio.Semaphore(IN_FLIGHT)
    started_s = clock.monotonic_s()
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as tasks:
        running: list[asyncio.Task[Answer]] = []
        for number in range(1, count + 1):
            if rate is not None:
                await clock.sleep(max(started_s + (number - 1) / rate - clock.monotonic_s(), 0))
            await room.acquire()
            task = tasks.create_task(_answer(session, write(number)))
            task.add_done_callback(lambda _: room.release())
            running.append(task)
    return [task.result() for task in running]


async def _answer(session: aiohttp.ClientSession, post: Post) -> Answer:
    try:
        async with session.request(
            post.method, post.url, data=post.body, headers=post.headers, allow_redirects=False
        ) as response:
            return _understood(response.status, await response.content.read(64 << 10))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Answer(0, "", duplicate=False, cause=str(error) or type(error).__name__)


def _understood(status: int, body: bytes) -> Answer:
    try:
        answer = document.parse(body)
    except document.Unreadable:
        answer = None
    table = answer if isinstance(answer, dict) else {}
    return Answer(status, str(table.get("id", "")), table.get("duplicate") is True, str(table.get("cause", "")))


def _tell(answers: list[Answer], url: str, *, as_json: bool) -> None:
    taken = [answer for answer in answers if 200 <= answer.status < 300]  # noqa: PLR2004  2xx
    duplicates = sum(answer.duplicate for answer in taken)
    counts = {"sent": len(answers), "accepted": len(taken) - duplicates, "duplicates": duplicates}
    counts["refused"] = len(answers) - len(taken)
    if as_json:
        show.as_json({"url": url, **counts, "answers": [one._asdict() for one in answers[:ANSWERS_SHOWN]]})
        return
    if len(answers) == 1:
        one = answers[0]
        note = " (duplicate)" if one.duplicate else ""
        click.echo(show.clean(f"{one.status or 'no answer'} {one.id or one.cause}{note}"))
        return
    click.echo(", ".join(f"{count} {name}" for name, count in counts.items()))
    causes = Counter((one.status, one.cause) for one in answers if one not in taken)
    for (status, cause), count in causes.most_common(10):
        click.echo(show.clean(f"{count} times {status or 'no answer'}: {cause}"), err=True)


COMMANDS = (send,)
