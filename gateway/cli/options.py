"""What commands share: where the configuration is, how the answer looks, what a time is."""

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.clock import SystemClock
from gateway.config.values import moment_ms

Command = TypeVar("Command", bound=Callable[..., Any])

DONE, NO, WRONG_USE = 0, 1, 2
"""Exit codes: done · the answer is no · wrong use."""


def config_option(command: Command) -> Command:
    """`--config PATH`, or GATEWAY_CONFIG, or `config/`."""
    return click.option(
        "--config",
        "config",
        type=click.Path(path_type=Path),
        envvar="GATEWAY_CONFIG",
        default=Path("config"),
        show_default="config/",
        help="The configuration: a YAML file or a folder of them. Also GATEWAY_CONFIG.",
    )(command)


def json_option(command: Command) -> Command:
    """`--json`: one object in place of a table."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


class StandIn(Mapping[str, str]):
    """The environment, where a hash of its name stands in for a variable that is not set: cases need no secrets. It is
    64 hex digits, which any hexadecimal or base64 key may be.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def __getitem__(self, name: str) -> str:
        return self._env.get(name) or sha256(name.encode()).hexdigest()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(self._env)

    def __len__(self) -> int:
        return len(self._env)


class Moment(click.ParamType[int]):
    """An RFC 3339 time or an age (`2h`), as milliseconds since the epoch."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return moment_ms(str(value), SystemClock().now_ms())
        except ValueError as error:
            self.fail(str(error), param, ctx)


MOMENT = Moment()
