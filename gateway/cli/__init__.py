"""The command line: `gateway COMMAND`. Exit codes: 0 done, 1 the answer is no, 2 wrong use.

A command's module is imported when the command is asked for: `gateway serve` prepares its metrics before anything
counts, and nobody waits for what another command needs; `gateway --help` for none.
"""

from importlib import import_module

import click

from gateway.cli import show
from gateway.cli.options import WRONG_USE
from gateway.errors import ConfigurationError, GatewayError

COMMANDS = {
    "serve": ("running", "Take events and deliver them, until SIGTERM or Ctrl-C."),
    "demo": (
        "running",
        "Show the gateway at work: vendors' APIs, the gateway, and a simulated shop, all on this machine.",
    ),
    "sandbox": ("running", "Play every vendor's API on this machine, with faults on request, until Ctrl-C."),
    "child": ("running", ""),
    "init": ("starting", "Write a first configuration."),
    "check": ("configuration", "Find every fault of the configuration."),
    "schema": ("configuration", "Print the configuration's JSON Schema."),
    "reference": ("configuration", ""),
    "try": ("trying", "Show one payload's whole way, without sending."),
    "test": ("testing", "Run the cases beside the configuration."),
    "diff": ("diffing", "What a new configuration would change for stored events."),
    "coverage": ("coverage", "What of a source's payloads is read, filled and new."),
    "send": ("sending", "Send events as the real platform does."),
    "events": ("events", "Events that were accepted, and what became of them."),
    "lanes": ("lanes", "The flows from each source to each destination."),
    "parked": ("parked", "Records that wait for their next attempt."),
    "dead": ("dead", "Records that were given up."),
    "replay": ("replaying", "Send events again."),
    "replays": ("replaying", "Replays and backfills: how far they are."),
    "rejected": ("desk", "Requests that were refused, and why."),
    "audit": ("desk", "Recount every lane from its rows."),
    "backup": ("desk", "Write a consistent copy of the journal to FILE."),
    "migrate": ("desk", "Make the journal where there is none, and bring its schema forward to this version."),
    "journal": ("copying", "Copy a journal into another database."),
    "octolis": ("octolis", "Read back what Octolis holds."),
    "ometria": ("ometria", "Ask Ometria what it took and dropped."),
    "amperity": ("amperity", "Ask Amperity what became of its jobs."),
    "batch": ("batch", "Send whole catalogues."),
    "bench": (
        "bench",
        "Measure the gateway: accept, both, beside, deliver, fanout, mapping, pace, growth, start, idle, memory.",
    ),
}
"""Each command: the module here that has it among its `COMMANDS`, and what `gateway --help` says of it (nothing of what
is hidden). A new command is a line here.
"""


class Commands(click.Group):
    """Commands by name. A user's mistake is told in a sentence, never in a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"gateway.cli.{COMMANDS[cmd_name][0]}")
        found: dict[str | None, click.Command] = {command.name: command for command in module.COMMANDS}
        return found[cmd_name]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items() if text])

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
