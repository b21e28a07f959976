"""What must stay true of the code as a whole: who may know whom, how long things may be, what is never written."""

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gateway"

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"document"}),
    frozenset({"errors", "model", "clock"}),
    frozenset({"config"}),
    frozenset({"telemetry", "spawn"}),
    frozenset({"mapping", "journal"}),
    frozenset({"vendors"}),
    frozenset({"receive", "deliver"}),
    frozenset({"admin", "sandbox", "bench", "supervise"}),
    frozenset({"checks"}),
    frozenset({"app"}),
    frozenset({"trial", "process"}),
    frozenset({"children"}),
    frozenset({"serve"}),
    frozenset({"demo"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
"""From the ground up. A room knows itself and the floors below it; rooms of one floor do not know each other."""

FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}

DOORS = {"journal": {"base", "ranges", "transfer"}, "vendors": {"base"}}
"""What other rooms may know of a room with many implementations: its contract."""
NAMES_CONCRETE = {"app", "checks"}
"""Who may name an implementation."""

LINES_OF_A_MODULE = 500
LINES_OF_A_VENDOR = 250
LINES_OF_A_FUNCTION = 70
LINES_OF_MOST_FUNCTIONS = 22
NESTING = 5
NESTING_OF_MOST = 2
BROAD_EXCEPTS = 16
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "tools"}


class Module(NamedTuple):
    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The room it is in: `journal` for gateway.journal.sqlite, `errors` for gateway.errors, "" for the package."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""


def _read() -> Iterator[Module]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text()
        yield Module(name, path, text, ast.parse(text))


MODULES = tuple(_read())
NAMES = {module.name for module in MODULES}


def imports(module: Module, *, at_start: bool = False) -> set[str]:
    """The gateway's own modules that a module imports: all of them, or those that are imported when it is."""
    nodes = module.tree.body if at_start else ast.walk(module.tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                found.add(below if below in NAMES else node.module)
    return {name for name in found if name == "gateway" or name.startswith("gateway.")}


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of code, the docstring left out."""
    first = function.body[1 if ast.get_docstring(function) and len(function.body) > 1 else 0]
    return (function.end_lineno or first.lineno) - first.lineno + 1


def depth(node: ast.AST) -> int:
    """How deep blocks nest; an `elif` is no deeper than its `if`."""
    deeper = isinstance(node, ast.If | ast.For | ast.While | ast.AsyncFor | ast.With | ast.AsyncWith | ast.Try)
    below = [depth(child) - _is_elif(node, child) for child in ast.iter_child_nodes(node)]
    return deeper + max(below, default=0)


def _is_elif(node: ast.AST, child: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]


def every(pattern: str, *folders: str) -> list[str]:
    """Where a pattern stands, as file:line: text."""
    found = []
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            lines = enumerate(path.read_text().splitlines(), start=1)
            found += [f"{path.relative_to(ROOT)}:{n}: {line.strip()}" for n, line in lines if re.search(pattern, line)]
    return [line for line in found if not line.startswith("tests/test_architecture.py")]


def test_every_room_has_its_floor() -> None:
    assert {module.room for module in MODULES} - {""} <= set(FLOOR_OF)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_imports_run_one_way(module: Module) -> None:
    upwards = {
        name
        for name in imports(module)
        if name != "gateway"
        and (room := name.split(".")[1]) != module.room
        and FLOOR_OF[room] >= FLOOR_OF.get(module.room, 0)
        and module.room != ""
    }

    assert upwards == set()


def test_the_ground_floor_knows_only_itself() -> None:
    for module in MODULES:
        if module.room in FLOORS[0]:
            assert {name.split(".")[1] for name in imports(module)} <= FLOORS[0], module.name


def test_no_module_leads_back_to_itself() -> None:
    known = {module.name: imports(module, at_start=True) & NAMES for module in MODULES}

    def leads(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " > ".join((*path, name))
        if name not in done:
            for below in sorted(known[name] - {name}):
                leads(below, (*path, name))
            done.add(name)

    done: set[str] = set()
    for name in sorted(known):
        leads(name, ())


def test_only_the_wiring_names_concrete_journals_and_vendors() -> None:
    for module in MODULES:
        if module.room in NAMES_CONCRETE:
            continue
        for name in imports(module):
            parts = name.split(".")
            if len(parts) > 1 and parts[1] in DOORS and parts[1] != module.room:
                assert len(parts) > 2, f"{module.name} imports {name}"
                assert parts[2] in DOORS[parts[1]], f"{module.name} imports {name}"


def test_the_accept_path_brings_no_mapping_vendor_or_delivery_with_it() -> None:
    code = "import sys, gateway.receive.endpoint; print(*(n for n in sys.modules if n.startswith('gateway.')))"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()

    rooms = {name.split(".")[1] for name in loaded}
    assert rooms & {"mapping", "vendors", "deliver", "admin", "sandbox", "app", "cli"} == set()


def test_the_children_bring_nothing_of_the_admin_door_with_them() -> None:
    code = "import sys, gateway.children; print(*(n for n in sys.modules if n.startswith('gateway.')))"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()

    assert {name.split(".")[1] for name in loaded} & {"admin", "trial", "sandbox", "serve", "demo", "bench"} == set()


def test_vendor_files_do_no_io() -> None:
    doors = {"aiohttp", "socket", "asyncio", "http", "urllib.request", "requests", "sqlite3", "subprocess"}
    for module in MODULES:
        if module.room == "vendors":
            assert _outside(module) & doors == set(), module.name


def _outside(module: Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_modules_and_functions_are_short_and_flat(module: Module) -> None:
    assert module.text.count("\n") <= LINES_OF_A_MODULE
    for function in functions(module):
        assert length(function) <= LINES_OF_A_FUNCTION, f"{function.name} has {length(function)} lines"
        assert depth(function) <= NESTING, f"{function.name} nests {depth(function)} deep"


VENDORS = [module for module in MODULES if module.room == "vendors" and module.path.stem != "base"]


@pytest.mark.parametrize("module", VENDORS, ids=lambda module: module.name)
def test_a_vendors_file_can_be_read_at_once(module: Module) -> None:
    assert module.text.count("\n") <= LINES_OF_A_VENDOR


def test_most_functions_fit_on_half_a_screen() -> None:
    every_function = [function for module in MODULES for function in functions(module)]

    assert statistics.quantiles(map(length, every_function), n=10)[-1] <= LINES_OF_MOST_FUNCTIONS
    assert statistics.quantiles(map(depth, every_function), n=10)[-1] <= NESTING_OF_MOST


def test_a_broad_except_that_swallows_is_rare_and_says_why() -> None:
    swallowing = [
        f"{module.path.relative_to(ROOT)}:{handler.lineno}: {module.text.splitlines()[handler.lineno - 1].strip()}"
        for module in MODULES
        for handler in ast.walk(module.tree)
        if isinstance(handler, ast.ExceptHandler) and _is_broad(handler) and not isinstance(handler.body[-1], ast.Raise)
    ]

    assert len(swallowing) <= BROAD_EXCEPTS, "\n".join(swallowing)
    assert [line for line in swallowing if not re.search(r":  # (noqa: BLE001  )?\w+ \w+", line)] == []


def _is_broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or ast.unparse(handler.type) in ("Exception", "BaseException")


def test_every_exemption_from_the_linters_has_a_reason() -> None:
    unexplained = every(r"# noqa(?!: [A-Z]+\d+(, ?[A-Z]+\d+)*  ?\S)", "gateway", "tests")
    unexplained += every(r"# type: ignore(?!\[[a-z-]+(, ?[a-z-]+)*\]  # \S)", "gateway", "tests")

    assert unexplained == []


def test_nothing_is_left_for_later_or_called_something_vague() -> None:
    assert every(r"\b(TODO|FIXME|XXX)\b", "gateway", "tests") == []
    assert [module.name for module in MODULES if module.name.rpartition(".")[2] in VAGUE] == []


def test_our_own_modules_are_not_mocked() -> None:
    assert every(r"\bmock\b|MagicMock", "tests") == []


def test_time_and_chance_come_from_one_place() -> None:
    asked = every(
        r"\btime\.time\(|\bdatetime\.(now|utcnow|today)\(|\brandom\.(random|choice|uniform|randint)\(", "gateway"
    )

    assert [line for line in asked if not line.startswith(("gateway/clock.py", "gateway/sandbox/"))] == []


def test_every_dependency_says_what_it_is_for() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]

    for requirement in wanted:
        (line,) = [line for line in text.splitlines() if line.strip().startswith(f'"{requirement}"')]
        assert re.search(r'",\s+# \S', line), line


def test_the_tree_names_no_place_of_this_machine() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a checkout")
    places = re.compile(r"/work/|\.\./shared|/home/\w+/|/Users/")
    found = [name for name in tracked.stdout.splitlines() if places.search(_text(ROOT / name))]

    assert [name for name in found if name != "tests/test_architecture.py"] == []


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
