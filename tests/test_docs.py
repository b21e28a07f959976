"""The docs forget nothing, and lead nowhere in vain. Pages that are made from code are held equal to it: after a change
of a setting, a metric or a log event, `UPDATE_DOCS=1 python -m pytest tests/test_docs.py` writes them anew.
"""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from gateway.admin.advice import OF_CAUSE, OF_REASON
from gateway.app import registry
from gateway.cli import gateway
from gateway.config.reference import page
from gateway.errors import STATUS_OF
from gateway.telemetry.events import EVENTS
from gateway.telemetry.metrics import AT_SCRAPE, REGISTRY

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
UPDATE = bool(os.environ.get("UPDATE_DOCS"))

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCE = re.compile(r"```.*?```", re.DOTALL)
LOGGED = {"debug", "info", "warning", "error", "exception", "critical"}


def events_table() -> str:
    rows = [f"| `{name}` | {text} |" for name, text in EVENTS.items()]
    return "\n".join(["| event | says |", "|---|---|", *rows])


def metrics_table() -> str:
    rows = [f"| `{name}` | {kind} | {labels} | {text} |" for name, kind, labels, text in sorted(_metrics())]
    return "\n".join(["| metric | kind | labels | what it is |", "|---|---|---|---|", *rows])


def _metrics() -> Iterator[tuple[str, str, str, str]]:
    for family in REGISTRY.collect():
        labels = ", ".join(f"`{label}`" for label in _labels(family.name))
        yield _shown(family.name, family.type), family.type, labels, family.documentation
    for name, one in AT_SCRAPE.items():
        yield _shown(name, one.kind), one.kind, ", ".join(f"`{label}`" for label in one.labels), one.help


def _shown(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" else name


def _labels(name: str) -> tuple[str, ...]:
    collector = REGISTRY._names_to_collectors[name]
    return tuple(getattr(collector, "_labelnames", ()))


def _with(page_text: str, name: str, table: str) -> str:
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = page_text.partition(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"


def equal(path: Path, wanted: str) -> None:
    if UPDATE:
        path.write_text(wanted)
    assert path.read_text() == wanted, "UPDATE_DOCS=1 python -m pytest tests/test_docs.py"


def test_every_setting_is_on_the_page_that_is_made_from_the_models() -> None:
    equal(DOCS / "configuration.md", page(registry()))


def test_every_log_event_and_metric_is_on_its_page() -> None:
    path = DOCS / "telemetry.md"

    equal(path, _with(_with(path.read_text(), "events", events_table()), "metrics", metrics_table()))


def test_every_cause_and_reason_is_explained_on_its_page() -> None:
    path = DOCS / "reasons.md"
    causes = "\n".join(
        ["| cause | status | what it means, and what helps |", "|---|---|---|"]
        + [f"| `{cause}` | {STATUS_OF[cause]} | {text} |" for cause, text in OF_CAUSE.items()]
    )
    reasons = "\n".join(
        ["| reason | what it means, and what helps |", "|---|---|"]
        + [f"| `{reason}` | {text} |" for reason, text in OF_REASON.items()]
    )

    equal(path, _with(_with(path.read_text(), "causes", causes), "reasons", reasons))


def test_every_name_that_is_logged_is_in_the_catalogue() -> None:
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        for name in _logged(ast.parse(path.read_text())):
            assert name in EVENTS, f"{path.relative_to(ROOT)}: {name}"


def _logged(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOGGED):
            continue
        on, first = node.func.value, node.args[:1]
        if isinstance(on, ast.Name) and on.id in ("log", "logs") and first and isinstance(first[0], ast.Constant):
            yield str(first[0].value)


def test_every_command_is_told_of() -> None:
    text = "\n".join(path.read_text() for path in PAGES)

    for name in _commands(gateway, "gateway"):
        assert re.search(rf"\b{re.escape(name)}\b", text), f"no page tells of `{name}`"


def _commands(command: click.Command, name: str) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield name
        return
    context = click.Context(command)
    for below in command.list_commands(context):
        found = command.get_command(context, below)
        if found is not None and not found.hidden:
            yield from _commands(found, f"{name} {below}")


def test_every_alert_asks_for_a_metric_that_exists() -> None:
    told = set(re.findall(r"gateway_[a-z_]+", (DOCS / "operations.md").read_text()))
    known = {name for name, *_ in _metrics()}

    assert told <= known


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"(https?|mailto):", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{path.name}: {target}"
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(there), f"{path.name}: {target}"


def _anchors(path: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = HEADING.findall(FENCE.sub("", path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_yaml_in_the_docs_can_be_read(path: Path) -> None:
    for text in re.findall(r"```ya?ml\n(.*?)```", path.read_text(), re.DOTALL):
        YAML(typ="safe").load(text)
