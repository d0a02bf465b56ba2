"""Imports point down, torch is imported late, and `metaconf --help` answers at once.

The first part reads the source (no module is imported), so that it sees imports inside functions
as well. A room is a module or package directly under `metaconf`.
"""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import metaconf

ROOT = Path(metaconf.__file__).parent

# From the bottom up; a room imports only from lower rows. What stands in no row is a command
# (cli and the like, evaluation, serving): it may import everything and nothing below may import it.
ROWS = (
    {"errors", "files", "safe_text", "signals", "thinking_marks"},
    {"records", "thinking"},
    {"reply", "config", "prompts", "embedded", "model_files"},
    {"clients", "data", "runs"},
    {"generation", "grading"},
    {"judging", "rewards"},
    {"training"},
)
# Rooms on the side of the training line, with all that they may import of metaconf.
SIDES = {
    "metrics": set(),
    "report": {"metrics", "records", "errors", "files", "safe_text"},
    "decisions": {"metrics", "reply", "records", "errors", "files", "safe_text"},
}
METRICS_MAY = {"numpy", "sklearn"}
HEAVY = {"torch", "transformers", "trl", "vllm", "peft"}
HEAVY_ROOMS = {"training", "generation", "embedded"}


class Import(NamedTuple):
    """One import: of which dotted name, in which line, and whether importing the file runs it."""

    name: str
    line: int
    at_import: bool


@cache
def modules() -> dict[str, Path]:
    """Dotted name → file of every module of the package."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room(module: str) -> str:
    """`metaconf.report.write` → `report`; the package itself → ""."""
    return module.split(".")[1] if "." in module else ""


@cache
def imports(module: str) -> tuple[Import, ...]:
    path = modules()[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return tuple(_imports(ast.parse(path.read_text(encoding="utf-8")), package, True))


def _imports(node: ast.AST, package: str, at_import: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, at_import) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            source = _source(child, package)
            yield from (
                Import(f"{source}.{alias.name}", child.lineno, at_import) for alias in child.names
            )
        else:
            late = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from _imports(child, package, at_import and not late and not typing_only)


def _source(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join(parts[: len(parts) - node.level + 1] + ([node.module] if node.module else []))


def rank(name: str) -> int:
    return next((number for number, row in enumerate(ROWS) if name in row), len(ROWS))


def may_import(user: str, used: str) -> bool:
    """Whether code in the room `user` may import from the room `used`."""
    if used in (user, ""):
        return True  # "": the bare package, which holds the version and imports nothing
    if user in SIDES:
        return used in SIDES[user]
    if used in SIDES:
        # metrics are arithmetic on arrays: a reward may count with them as the trainer does.
        return rank(user) >= rank("rewards" if used == "metrics" else "training")
    return rank(used) < rank(user) or rank(user) == len(ROWS)


def test_the_reader_of_imports_sees_all_kinds() -> None:
    source = (
        "import a.b, c\nfrom .d import e\nfrom .. import f\n"
        "if TYPE_CHECKING:\n    import g\n"
        "try:\n    import h\nexcept ImportError:\n    h = None\n"
        "class K:\n    import i\n    def m(self):\n        from j import k\n"
    )
    found = {item.name: item.at_import for item in _imports(ast.parse(source), "metaconf.x", True)}
    at_import = {"a.b", "c", "metaconf.x.d.e", "metaconf.f", "h", "i"}
    assert found == dict.fromkeys(at_import, True) | {"g": False, "j.k": False}


@pytest.mark.parametrize(
    ("user", "used", "allowed"),
    [
        ("records", "errors", True),
        ("records", "reply", False),
        ("reply", "config", False),
        ("config", "records", True),
        ("data", "embedded", True),
        ("embedded", "data", False),
        ("grading", "rewards", False),
        ("training", "grading", True),
        ("grading", "training", False),
        ("metrics", "records", False),
        ("grading", "metrics", False),
        ("rewards", "metrics", True),
        ("rewards", "report", False),
        ("report", "metrics", True),
        ("report", "grading", False),
        ("cli", "report", True),
        ("training", "cli", False),
        ("report", "cli", False),
        ("serving", "generation", True),
        ("decisions", "serving", False),
        ("training", "serving", False),
    ],
)
def test_the_rule_itself(user: str, used: str, allowed: bool) -> None:
    assert may_import(user, used) is allowed


@pytest.mark.parametrize("module", modules())
def test_imports_point_down(module: str) -> None:
    wrong = [
        f"{modules()[module].relative_to(ROOT.parent)}:{item.line} imports {item.name}"
        for item in imports(module)
        if item.name.split(".")[0] == "metaconf" and not may_import(room(module), room(item.name))
    ]
    assert not wrong


@pytest.mark.parametrize("module", modules())
def test_only_the_heavy_rooms_import_torch(module: str) -> None:
    if room(module) not in HEAVY_ROOMS:
        wrong = [item for item in imports(module) if item.name.split(".")[0] in HEAVY]
        assert not wrong


@pytest.mark.parametrize("module", [name for name in modules() if room(name) == "metrics"])
def test_metrics_need_numpy_and_scikit_learn_only(module: str) -> None:
    outside = {item.name.split(".")[0] for item in imports(module)} - sys.stdlib_module_names
    assert outside - METRICS_MAY <= {"metaconf"}


def test_no_module_imports_itself_through_others() -> None:
    """Late imports count too: two modules that need each other are one, or lack a third."""
    graph = {module: _imported_modules(module) for module in modules()}
    assert _cycles(graph) == []


def test_cycles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set[str](), "e": {"d"}}
    assert _cycles(graph) == [["a", "b", "c"]]


def _imported_modules(module: str) -> set[str]:
    """The longest name of a module in each import; a package's own modules are part of it."""
    found: set[str] = set()
    for item in imports(module):
        names = [item.name, item.name.rpartition(".")[0]]
        found |= set([name for name in names if name in modules()][:1])
    return found - {module}


def _cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Sets of modules that reach each other, by name."""
    reach = {name: _reached(graph, name) for name in graph}
    rings = {tuple(sorted(m for m in reach[n] if n in reach[m])) for n in graph if n in reach[n]}
    return sorted(map(list, rings))


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    found, waiting = set[str](), list(graph[start])
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += graph[name]
    return found


def loaded_with(module: str) -> set[str]:
    """Modules of metaconf, and packages, that importing `module` imports (read, not run)."""
    loaded: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in loaded:
            loaded.add(name)
            waiting += _loads(name)
    return loaded


def _loads(module: str) -> list[str]:
    """What importing `module` imports directly: packages above it, modules, top-level packages."""
    if module not in modules():
        return []
    found = [module.rpartition(".")[0]] if "." in module else []
    for item in imports(module):
        if item.at_import and item.name.startswith("metaconf"):
            found += [
                name for name in (item.name, item.name.rpartition(".")[0]) if name in modules()
            ]
        elif item.at_import:
            found.append(item.name.split(".")[0])
    return found


@pytest.mark.parametrize("module", ["metaconf.cli", "metaconf.config.load", "metaconf.data"])
def test_the_command_line_imports_torch_late(module: str) -> None:
    assert module in modules()
    assert not loaded_with(module) & HEAVY


def test_importing_the_command_line_does_not_load_torch() -> None:
    program = f"import sys, metaconf.cli; print(*({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("words", [["--help"], ["sft", "--help"]])
def test_help_answers_at_once(words: list[str]) -> None:
    """Without pydantic, which takes as long as all else together. Seconds of the processor,
    which a busy machine leaves as they are: the aim is 0.15, and a slow one may take more."""
    program = (
        "import sys; from metaconf.cli import main\n"
        f"try: main({words})\n"
        "except SystemExit: assert 'pydantic' not in sys.modules"
    )
    seconds = []
    for _ in range(3):
        start = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        seconds.append(sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - start)
        assert done.returncode == 0, done.stderr
        assert "usage: metaconf" in done.stdout
    assert min(seconds) < 0.4
