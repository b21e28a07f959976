"""`gateway init`: a first configuration from a few questions or from flags, with what is secret left outside."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML

from gateway import app
from gateway.cli import show
from gateway.cli.draft import Draft, Missing, destination, source
from gateway.cli.options import DONE, NO, StandIn
from gateway.config.load import json_schema
from gateway.config.places import scalar
from gateway.config.schema import Config
from gateway.config.values import NAME
from gateway.config.wording import near
from gateway.errors import ConfigurationError
from gateway.receive.presets import shipped

_SCHEMA = "gateway.schema.json"
_ENV = "gateway.env.example"
_SETTING = re.compile(r"([a-z0-9_-]+)\.([a-z_]+)=(.+)", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z][\w./-]*|https?://[\w./-]+")
_PAIR = re.compile(r"(?:([a-z0-9_-]+)=)?([a-z0-9_-]+)")


@click.command(short_help="Write a first configuration.")
@click.option("--source", "sources", multiple=True, metavar="[NAME=]PRESET", help="A shop and its platform.")
@click.option("--destination", "targets", multiple=True, metavar="[NAME=]VENDOR", help="A target and its vendor.")
@click.option("--set", "settings", multiple=True, metavar="NAME.KEY=VALUE", help="A setting of one of them.")
@click.option(
    "--into",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("config/gateway.yaml"),
    show_default=True,
    help="The file that is written.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.pass_context
def init(ctx: click.Context, /, into: Path, **chosen: Any) -> None:
    """Write a configuration that passes `gateway check`: one source or more, one destination or more, and a route.

    What no flag tells is asked. Secrets are named, not written: the list of variables to set stands beside the file.
    """
    if os.path.exists(into) and not chosen["force"]:  # noqa: PTH110  False where a folder of it is a file
        raise click.BadParameter(f"{into} is there already: --force writes over it", param_hint="--into")
    given = _settings(chosen["settings"])
    drafts = [_source(name, preset, given) for name, preset in _pairs(chosen["sources"], "source", shipped(), "shop")]
    targets = _pairs(chosen["targets"], "destination", app.vendors(), "")
    if {name for name, _ in targets} & {draft.name for draft in drafts}:
        raise click.UsageError("a source and a destination have the same name: --set could not tell them apart")
    drafts += [_destination(name, vendor, given) for name, vendor in targets]
    if unused := sorted(given.keys() - {draft.name for draft in drafts}):
        there = near(unused[0], {draft.name for draft in drafts})
        raise click.BadParameter(f"there is no `{unused[0]}` to set: {there}", param_hint="--set")
    try:
        _write(into, drafts)
    except OSError as error:
        text = f"{error.filename or into} cannot be written: {error.strerror} (name a folder that you may write to)"
        raise click.BadParameter(text, param_hint="--into") from None
    _tell(into, drafts)
    ctx.exit(DONE if _is_sound(into, drafts) else NO)


# --- what is wanted --------------------------------------------------------------------------------------------------


def _pairs(texts: Sequence[str], what: str, known: Mapping[str, Any], default: str) -> list[tuple[str, str]]:
    """Names and platforms (or vendors), asked for where none is told."""
    found: list[tuple[str, str]] = []
    for text in texts or (_asked(what, known),):
        match = _PAIR.fullmatch(text)
        if match is None:
            wanted = "is not [NAME=]KIND: both of a-z, 0-9, - and _"
            raise click.BadParameter(f"{show.clean(text)!r} {wanted}", param_hint=f"--{what}")
        name, kind = match[1], match[2]
        if kind not in known:
            raise click.BadParameter(f"{show.clean(kind)!r}: {near(kind, known)}", param_hint=f"--{what}")
        name = name or default or kind.replace("_", "-")
        if not re.fullmatch(NAME, name):
            raise click.BadParameter(f"{show.clean(name)!r} is no name: a-z, 0-9, - and _", param_hint=f"--{what}")
        if name in dict(found):
            raise click.BadParameter(f"two are called {name}: write NAME={kind}", param_hint=f"--{what}")
        found.append((name, kind))
    return found


def _asked(what: str, known: Mapping[str, Any]) -> str:
    click.echo(f"Known: {', '.join(sorted(known))}")
    question = {"source": "Which platform sends", "destination": "Where do events go"}[what]
    return _answer(f"{question} (NAME=KIND, or KIND)", f"--{what} KIND")


def _answer(question: str, flag: str, default: str | None = None) -> str:
    """What somebody at the terminal says; where nobody is, which flag says it."""
    try:
        return str(click.prompt(question, default=default))
    except click.Abort:
        if sys.stdin.isatty():  # Ctrl-C
            raise
        click.echo()
        raise click.UsageError(f"nobody is there to answer: say it with {flag}") from None


def _settings(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`--set` by name and key; values are read as YAML."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        match = _SETTING.fullmatch(text)
        if match is None:
            raise click.BadParameter(f"{show.clean(text)!r} is not NAME.KEY=VALUE", param_hint="--set")
        found.setdefault(match[1], {})[match[2]] = YAML(typ="safe", pure=True).load(match[3])
    return found


def _source(name: str, preset: str, given: Mapping[str, dict[str, Any]]) -> Draft:
    return _asking(name, given, lambda told: source(name, preset, told))


def _destination(name: str, vendor: str, given: Mapping[str, dict[str, Any]]) -> Draft:
    return _asking(name, given, lambda told: destination(name, app.vendors()[vendor], told))


def _asking(name: str, given: Mapping[str, dict[str, Any]], attempt: Any) -> Draft:
    """A draft, with what it misses asked for one by one. What was told and does not fit is a usage error."""
    told = dict(given.get(name, {}))
    while True:
        try:
            draft: Draft = attempt(told)
        except Missing as missing:
            question, flag = f"{name}.{missing.key}: {missing.meaning}", f"--set {name}.{missing.key}=VALUE"
            told[missing.key] = _answer(question, flag, missing.example)
        except ValueError as error:
            raise click.BadParameter(f"{name}: {error}", param_hint="--set") from None
        else:
            return draft


# --- what is written -------------------------------------------------------------------------------------------------

_HEAD = """\
# yaml-language-server: $schema={schema}
#
# A first configuration, written by `gateway init`.
#   gateway check              finds every fault, with its line, before anything is started
#   gateway try SOURCE FILE    shows what would become of a payload
#   gateway serve              takes events and delivers them
# ${{NAME}} is read from the environment ({env} lists the names); ${{file:/path}} reads a mounted file.

journal: {{url: "{journal}"}}
admin: {{token: "${{GATEWAY_ADMIN_TOKEN}}"}}
"""


def _write(into: Path, drafts: Sequence[Draft]) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    head = _HEAD.format(schema=_SCHEMA, env=_ENV, journal=Config().journal.url)
    sections = [head]
    of = {section: [one for one in drafts if one.section == section] for section in ("sources", "destinations")}
    sections += ["\n".join([f"{section}:", *map(_block, some)]) for section, some in of.items()]
    sections.append("\n".join(["routes:", *map(_route, of["destinations"])]) + "\n")
    into.write_text("\n".join(sections), "utf-8")
    lines = [f"# {meaning}\n{name}=" for name, meaning in _variables(drafts).items()]
    (into.parent / _ENV).write_text("\n".join(lines) + "\n", "utf-8")
    if not (into.parent / _SCHEMA).exists():
        (into.parent / _SCHEMA).write_text(show.pretty(json_schema(app.registry())) + "\n", "utf-8")


def _block(draft: Draft) -> str:
    lines = [f"  {draft.name}:"]
    for key, value in draft.values.items():
        text = f"    {key}: {_yaml(value)}"
        lines.append(f"{text.ljust(40)} # {draft.notes[key]}" if key in draft.notes else text)
    return "\n".join(lines) + "\n"


def _route(draft: Draft) -> str:
    events = f"events: {_yaml(list(draft.events))}, " if draft.events else ""
    return f"  - {{{events}to: {draft.name}}}"


def _yaml(value: Any) -> str:
    """A value on one line; a plain word needs no quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml(key)}: {_yaml(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value) and scalar(value) == value
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False)


def _variables(drafts: Sequence[Draft]) -> dict[str, str]:
    """The names of the variables to set, and what each is."""
    found = {"GATEWAY_ADMIN_TOKEN": "what the admin API and pages ask for: a text of your own"}
    for draft in drafts:
        found |= draft.variables
    return found


def _tell(into: Path, drafts: Sequence[Draft]) -> None:
    click.echo(f"{into} is written. Set these variables; {into.parent / _ENV} lists them:\n")
    for name, meaning in _variables(drafts).items():
        click.echo(f"  {click.style(f'export {name}=...', bold=True)}  {show.clean(meaning)}")
    guesses = [f"{one.name}.{key}" for one in drafts for key in one.examples]
    if guesses:
        click.echo(f"\nThese are examples, put in your own: {', '.join(guesses)}")
    click.echo(f"\nThen: gateway check --config {into}")


def _is_sound(into: Path, drafts: Sequence[Draft]) -> bool:
    """Whether it has no faults but that nothing can stand in for a public key."""
    keys = {f"sources.{draft.name}.secrets" for draft in drafts if "public_key" in draft.values}
    try:
        show.warnings(app.load_config(into, StandIn({})).warnings)
    except ConfigurationError as error:
        faults = [fault for fault in error.faults if fault.path not in keys]
        if faults:
            show.faults(ConfigurationError(faults))
        return not faults
    return True


COMMANDS = (init,)
