"""`gateway serve`, `demo` and `sandbox`: what runs until it is told to stop."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click

from gateway.cli.options import NO, config_option
from gateway.telemetry.folder import VARIABLE, claimed


@click.command()
@config_option
@click.option(
    "--role",
    type=click.Choice(["all", "receiver", "dispatcher"]),
    default="all",
    show_default=True,
    help="What this replica does: take events, deliver them, or both.",
)
@click.pass_context
def serve(ctx: click.Context, config: Path, role: Literal["all", "receiver", "dispatcher"]) -> None:
    """Take events and deliver them, until SIGTERM or Ctrl-C."""
    root = ctx.find_root().command
    try:
        with claimed() as folder:
            os.environ[VARIABLE] = str(folder)
            from gateway import serve as serving  # noqa: PLC0415  its metrics live in the folder

            code = serving.gateway(config, role, folder, lambda known, words: root.main(words, "gateway", obj=known))
    except OSError as error:
        raise click.ClickException(str(error)) from None
    ctx.exit(code)


@click.command(hidden=True)
@click.argument("role", type=click.Choice(["receiver", "dispatcher"]))
@config_option
@click.option("--revision", type=int, default=0)
@click.option("--listener", type=int, default=-1)
@click.pass_obj
def child(known: Mapping[Path, Any] | None, /, role: str, config: Path, revision: int, listener: int) -> None:
    """One process of a replica, as `serve` starts it. `known`: configurations that its parent has loaded."""
    from gateway import children  # noqa: PLC0415  its metrics live in the parent's folder
    from gateway.process import named, run  # noqa: PLC0415  as above

    named(role)
    loaded = known or {}
    if role == "receiver":
        sys.exit(run(children.receiver(config, revision, listener, loaded)))
    sys.exit(run(children.dispatcher(config, revision, loaded)))


@click.command()
@click.option("--listen", default="127.0.0.1:9900", show_default=True, help="Where the vendors' APIs are played.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A private key (PEM) to publish at /keys, made when there is none: `send --key` signs with it.",
)
def sandbox(listen: str, key: Path | None) -> None:
    """Play every vendor's API on this machine, with faults on request, until Ctrl-C."""
    from gateway.sandbox import server  # noqa: PLC0415  only this command needs it
    from gateway.sandbox.keypair import KeyPair  # noqa: PLC0415  as above

    try:
        pair = None if key is None else KeyPair.kept(key)
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="--key") from None
    try:
        server.run(listen, lambda url: click.echo(f"The sandbox answers at {url}"), pair)
    except OSError as error:
        raise click.ClickException(f"{listen}: {error.strerror}") from None


@click.command()
@config_option
@click.option("--once", is_flag=True, help="End when everything has arrived: exit code 0 when it did.")
@click.option("--events", default=60, show_default=True, help="Webhooks that the simulated shop sends.")
@click.pass_context
def demo(ctx: click.Context, config: Path, once: bool, events: int) -> None:  # noqa: FBT001  click's way of a flag
    """Show the gateway at work: vendors' APIs, the gateway, and a simulated shop, all on this machine."""
    from gateway import demo as demonstration  # noqa: PLC0415  only this command needs it
    from gateway.process import run  # noqa: PLC0415  as above

    try:
        arrived = run(demonstration.show(config, once=once, events=events))
    except OSError as error:
        raise click.ClickException(str(error)) from None
    if arrived:
        ctx.exit(NO)


COMMANDS = (serve, child, demo, sandbox)
