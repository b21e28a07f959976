"""`gateway bench`: what the gateway costs on this machine."""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gateway import app
from gateway.bench import machine
from gateway.bench.chart import svg
from gateway.bench.every import ANY_JOURNAL, BENCHES
from gateway.bench.report import BenchFailed, Report, Sample, Scale, Site
from gateway.cli import show
from gateway.cli.options import NO, json_option
from gateway.sandbox import samples

SAMPLES_AT_MS = 1_770_000_000_000

Tell = Callable[[str, str, float], None]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--seconds", type=click.FloatRange(0.05, 600), default=1.5, show_default=True, help="Of one round.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=5, show_default=True, help="Of each candidate.")
@click.option("--events", type=click.IntRange(100), default=10_000, show_default=True, help="In a backlog.")
@click.option("--connections", type=click.IntRange(1, 1000), default=64, show_default=True, help="That knock at once.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The disk to measure on. Default: the one for temporary files.",
)
@click.option("--journal", metavar="URL", help="An empty journal to measure (accept, growth, start).")
@click.option("--svg", "picture", type=click.Path(path_type=Path, dir_okay=False), help="Draw the results into a file.")
@json_option
@click.pass_context
def bench(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    folder: Path | None,
    journal: str | None,
    picture: Path | None,
    as_json: bool,  # noqa: FBT001  click's way of a flag
    **scale: Any,
) -> None:
    """Measure the gateway: accept, both, beside, deliver, fanout, mapping, pace, growth, start, idle, memory.

    Without a name, all of them. Speeds are ratios within one run; nothing else should run meanwhile.
    """
    if unknown := [name for name in names if name not in BENCHES]:
        raise click.BadParameter(f"there is no {show.clean(unknown[0])}: {', '.join(BENCHES)}", param_hint="NAME")
    names = names or tuple(name for name in BENCHES if journal is None or name in ANY_JOURNAL)
    if journal is not None and (others := [name for name in names if name not in ANY_JOURNAL]):
        raise click.BadParameter(f"{others[0]} makes journals of its own", param_hint="--journal")
    sizes = Scale(
        round_s=scale["seconds"], rounds=scale["rounds"], events=scale["events"], connections=scale["connections"]
    )
    with tempfile.TemporaryDirectory(prefix="gateway-bench-", dir=folder) as place:
        found = machine.describe(Path(place))
        try:
            reports = _measured(names, Path(place), sizes, journal)
        except BenchFailed as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(NO)
    on = "  ".join(f"{name} {value}" for name, value in found.items())
    if picture is not None:
        picture.write_text(svg(reports, on), encoding="utf-8")
    if as_json:
        show.as_json({"machine": found, "benches": [report.document() for report in reports]})
        return
    click.echo(on)
    for report in reports:
        _print(report)


def _measured(names: Sequence[str], place: Path, scale: Scale, journal: str | None) -> list[Report]:
    """Run them one after the other. Raises BenchFailed."""
    bars = Progress(
        TextColumn("{task.fields[bench]:<8}"),
        BarColumn(),
        TextColumn("{task.fields[step]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        refresh_per_second=4,
        transient=True,
    )
    if not sys.stderr.isatty():
        return [_one(name, place, scale, journal, _line) for name in names]
    with bars:
        bar = bars.add_task("", total=1.0, bench="", step="")

        def tell(name: str, step: str, done: float) -> None:
            bars.update(bar, completed=done, bench=name, step=step)

        return [_one(name, place, scale, journal, tell) for name in names]


def _one(name: str, place: Path, scale: Scale, journal: str | None, tell: Tell) -> Report:
    """One bench, in a folder of its own."""
    folder = place / name
    folder.mkdir()
    site = Site(
        folder=folder,
        open_journal=lambda url: app.open_journal(url, create=True),
        journal_beside=app.journal_beside,
        samples=sample,
        tell=lambda step, done: tell(name, step, done),
        journal_url=journal,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(BENCHES[name](site, scale))


def _line(name: str, step: str, done: float) -> None:
    """Progress where there is no terminal."""
    click.echo(f"{name} {done:>4.0%} {step}", err=True)


def sample(preset: str, name: str, number: int) -> Sample:
    """A sample payload, as `gateway send` sends it."""
    found = samples.sample(preset, name, now_ms=SAMPLES_AT_MS, number=number)
    return Sample(found.topic, found.body)


def _print(report: Report) -> None:
    click.echo(f"\n{report.name}: {report.about}")
    show.table(report.columns, report.rows, "nothing was measured")
    for note in report.notes:
        click.echo(note)


COMMANDS = (bench,)
