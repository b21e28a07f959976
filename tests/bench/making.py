"""A site for a bench in its smallest form."""

from pathlib import Path

from gateway import app
from gateway.bench.report import Scale, Site
from gateway.cli.bench import sample

TINY = Scale(round_s=0.1, rounds=1, events=100, connections=4)


def site(folder: Path, told: list[tuple[str, float]] | None = None, journal_url: str | None = None) -> Site:
    """One whose progress goes into `told`."""
    heard: list[tuple[str, float]] = [] if told is None else told
    return Site(
        folder=folder,
        open_journal=lambda url: app.open_journal(url, create=True),
        journal_beside=app.journal_beside,
        samples=sample,
        tell=lambda step, done: heard.append((step, done)),
        journal_url=journal_url,
    )
