"""The commands as one."""

import subprocess
import sys

import click
import pytest

from gateway import cli

HEAVY = ("aiohttp", "rich", "gateway.app", "gateway.telemetry")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_says_of_each_command_what_the_command_says(name: str) -> None:
    command = cli.gateway.get_command(click.Context(cli.gateway), name)

    assert command is not None
    assert cli.COMMANDS[name][1] == ("" if command.hidden else command.get_short_help_str(500))


def test_help_loads_no_command() -> None:
    code = f"""
import sys
from gateway.cli import gateway
gateway(["--help"], "gateway", standalone_mode=False)
sys.exit(", ".join(name for name in {HEAVY!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr.strip() == ""
    assert "  check " in done.stdout
    assert "  child " not in done.stdout


def test_what_reads_a_configuration_loads_no_client() -> None:
    code = "import sys, gateway.app, gateway.cli.lanes; sys.exit('aiohttp' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
