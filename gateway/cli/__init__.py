"""The command line: `gateway COMMAND`. Exit codes: 0 done, 1 the answer is no, 2 wrong use.

A command's module is imported when the command is asked for: `gateway serve` prepares its metrics before anything
counts, and nobody waits for what another command needs.
"""

from importlib import import_module

import click

from gateway.cli import show
from gateway.cli.options import WRONG_USE
from gateway.errors import ConfigurationError, GatewayError

MODULES = {
    "serve": "running",
    "demo": "running",
    "sandbox": "running",
    "child": "running",
    "init": "starting",
    "check": "configuration",
    "schema": "configuration",
    "reference": "configuration",
    "try": "trying",
    "test": "testing",
    "diff": "diffing",
    "coverage": "coverage",
    "send": "sending",
    "events": "events",
    "lanes": "lanes",
    "parked": "parked",
    "dead": "dead",
    "replay": "replaying",
    "replays": "replaying",
    "rejected": "desk",
    "audit": "desk",
    "backup": "desk",
    "migrate": "desk",
    "journal": "copying",
    "octolis": "octolis",
    "ometria": "ometria",
    "amperity": "amperity",
    "batch": "batch",
    "bench": "bench",
}
"""Each command, and the module here that has it among its `COMMANDS`. A new command is a line here."""


class Commands(click.Group):
    """Commands by name. A user's mistake is told in a sentence, never in a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        if cmd_name not in MODULES:
            return None
        module = import_module(f"gateway.cli.{MODULES[cmd_name]}")
        found: dict[str | None, click.Command] = {command.name: command for command in module.COMMANDS}
        return found[cmd_name]

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            show.faults(error)
        except GatewayError as error:
            click.echo(f"Error: {show.clean(error)}", err=True)
        raise click.exceptions.Exit(WRONG_USE)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="webhook-gateway", prog_name="gateway")
def gateway() -> None:
    """Takes every shop webhook once, keeps it, and delivers it to marketing and data platforms at their own pace."""


def main() -> None:
    """The entry point of the `gateway` command."""
    gateway(prog_name="gateway")
