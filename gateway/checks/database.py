"""What can be told of a PostgreSQL journal from its URL alone."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from gateway.config.load import Loaded, Problem

POOLER_PORT = 6432
"""pgbouncer's, unless it is told otherwise (its documentation, `listen_port`)."""
SURE = {"require", "verify-ca", "verify-full"}
"""Values of `sslmode` with which nothing goes in the clear (libpq's documentation, table 32.1)."""
HERE = {"", "localhost", "127.0.0.1", "::1"}


def database(loaded: Loaded) -> Iterator[Problem]:
    """A way to the database that anybody may read, and a pooler's without one to the database itself."""
    journal = loaded.config.journal
    for name, url in (("url", journal.url), ("listen_url", journal.listen_url or "")):
        if url.startswith("postgres") and not _safe(url):
            cause = "the way to the database may be in the clear, with its password's answer and every event"
            hint = "add `sslmode=verify-full&sslrootcert=...` to the URL"
            yield Problem(("journal", name), cause, hint, warning=True)
    if journal.url.startswith("postgres") and journal.listen_url is None and _pooled(journal.url):
        cause = "this looks like a pooler, through which no commit is heard of: it is looked for once a second"
        hint = "name the database itself in `journal.listen_url`"
        yield Problem(("journal", "url"), cause, hint, warning=True)


def _safe(url: str) -> bool:
    """Whether it stays on the machine, or is encrypted whatever the server would accept."""
    told = parse_qs(urlsplit(url).query)
    hosts = [one.rpartition("@")[2] for one in urlsplit(url).netloc.split(",")] + told.get("host", [])
    near = all(_host(one) in HERE or one.startswith("/") for one in hosts)
    return near or told.get("sslmode", [""])[0] in SURE


def _host(place: str) -> str:
    return place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0]


def _pooled(url: str) -> bool:
    place = urlsplit(url).netloc.rpartition("@")[2]
    return place.endswith(f":{POOLER_PORT}") or "pooler" in place or "pgbouncer" in place
