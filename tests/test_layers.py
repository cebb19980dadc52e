"""Imports go one way (DESIGN: layers), read from the source by ast."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import trickbag

ROOT = Path(trickbag.__file__).parent

# A module belongs to the longest prefix that fits; it may import what stands at its own place or
# before.
LAYERS = [
    (
        "trickbag.errors",
        "trickbag.memory",
        "trickbag.ranges",
        "trickbag.settings",
        "trickbag.parsing",
        "trickbag.assignment",
        "trickbag.checksums",
        "trickbag.streams",
        "trickbag.durations",
        "trickbag.files",
        "trickbag.locks",
        "trickbag.text",
        "trickbag.output",
        "trickbag.paths",
    ),
    ("trickbag.metrics",),
    ("trickbag.models", "trickbag.data"),
    ("trickbag.optim", "trickbag.functional"),
    ("trickbag.tricks",),
    ("trickbag.recipe",),
    ("trickbag.recipes",),
    ("trickbag.tasks",),
    ("trickbag.train",),
    ("trickbag.evaluate", "trickbag.export", "trickbag.bench"),
    ("trickbag.study",),
    ("trickbag.search", "trickbag.cross_validation"),
    ("trickbag.report",),
    ("trickbag.cli", "trickbag.__main__"),
]
TORCH_FREE = [
    "trickbag",
    "trickbag.recipe",
    "trickbag.recipes",
    "trickbag.tricks",
    "trickbag.cli",
    "trickbag.models.config",
    "trickbag.models.task_config",
    "trickbag.models.official.networks",
    "trickbag.models.official.variables",
    "trickbag.export",
    "trickbag.export.formats",
    "trickbag.cross_validation.cross_validation",
    "trickbag.search.search",
    "trickbag.study.designs.named",
    "trickbag.study.merge",
    "trickbag.study.study",
    "trickbag.study.trial",
    "trickbag.study.analysis.effects",
    "trickbag.study.analysis.power",
    "trickbag.study.task",
    "trickbag.study.executors.inline",
    "trickbag.study.executors.local",
    "trickbag.study.executors.ray",
]
FORBIDDEN_NAMES = {"utils", "misc", "common", "helpers", "util"}


def modules() -> dict[str, Path]:
    paths = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ["trickbag", *path.relative_to(ROOT).with_suffix("").parts]
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return paths


MODULES = modules()


def place(module: str) -> int:
    fits = [
        (len(prefix), i)
        for i, layer in enumerate(LAYERS)
        for prefix in layer
        if f"{module}.".startswith(f"{prefix}.")
    ]
    return max(fits)[1]


def is_type_checking(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    """Names of the modules that an import statement names."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    assert node.level == 0, "imports are absolute"
    base = node.module or ""
    names = {f"{base}.{alias.name}" for alias in node.names}
    return {name if name in MODULES else base for name in names}


def imports(tree: ast.AST) -> set[str]:
    """Names of the package's own modules that a file imports when it runs, in functions too."""
    names: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if is_type_checking(node):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= imported(node)
        else:
            names |= imports(node)
    return {name for name in names if name.split(".")[0] == "trickbag"}


def import_graph(package: str) -> dict[str, set[str]]:
    """Map each module of a package to those of the package that it imports, type-only ones too."""
    inside = {name for name in MODULES if f"{name}.".startswith(f"{package}.")}
    graph = {}
    for name in inside:
        nodes = ast.walk(ast.parse(MODULES[name].read_text()))
        statements = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        graph[name] = set().union(*(imported(node) for node in statements)) & inside - {name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return the strongly connected components of more than one node (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    components = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for neighbour in graph[node]:
            if neighbour not in order:
                visit(neighbour)
            if neighbour in stack:
                lowest[node] = min(lowest[node], lowest[neighbour])
        if lowest[node] == order[node]:
            start = stack.index(node)
            component = set(stack[start:])
            del stack[start:]
            if len(component) > 1:
                components.append(component)

    for node in graph:
        if node not in order:
            visit(node)
    return components


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a", "b"}}) == [{"b", "c"}]
    assert circles({"a": {"b", "c"}, "b": {"d"}, "c": {"a"}, "d": {"a"}}) == [set("abcd")]


@pytest.mark.parametrize("package", ["trickbag.models", "trickbag.study"])
def test_a_package_has_no_circle_of_imports(package: str) -> None:
    graph = import_graph(package)
    assert len(graph) > 1
    components = [sorted(component) for component in circles(graph)]
    assert not components, f"these modules import each other: {components}"


@pytest.mark.parametrize("module", [name for name in MODULES if name != "trickbag"])
def test_imports_go_one_way(module: str) -> None:
    layer = place(module)
    wrong = {
        name
        for name in imports(ast.parse(MODULES[module].read_text()))
        if name != "trickbag" and place(name) > layer
    }
    assert not wrong, f"{module} imports {wrong}, which stand above it"


@pytest.mark.parametrize(
    "module",
    [
        name
        for name in MODULES
        if name.startswith("trickbag.tricks.") and not name.endswith(".trick")
    ],
)
def test_no_trick_imports_another(module: str) -> None:
    from trickbag import tricks

    homes = {trick.__module__ for trick in tricks.builtin().values()}
    others = {
        n
        for n in imports(ast.parse(MODULES[module].read_text()))
        if n.startswith("trickbag.tricks")
    }
    assert not others & homes


@pytest.mark.parametrize(
    "module",
    [
        n
        for n in MODULES
        if n.startswith(("trickbag.train", "trickbag.tasks", "trickbag.models", "trickbag.data"))
    ],
)
def test_nothing_below_the_recipes_names_a_trick(module: str) -> None:
    named = {
        n
        for n in imports(ast.parse(MODULES[module].read_text()))
        if n.startswith("trickbag.tricks")
    }
    assert named <= {"trickbag.tricks.trick"}


def test_names_and_sizes_of_files() -> None:
    assert not [name for name in MODULES if name.rsplit(".", 1)[-1] in FORBIDDEN_NAMES]
    long = {
        name: n for name, path in MODULES.items() if (n := len(path.read_text().splitlines())) > 420
    }
    assert not long


def test_no_isinstance_of_a_concrete_trick() -> None:
    from trickbag import tricks

    classes = {trick.__name__ for trick in tricks.builtin().values()}
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "isinstance"
            ):
                assert not classes & {
                    n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)
                }, name


@pytest.mark.parametrize("module", TORCH_FREE)
def test_light_modules_load_no_torch(module: str) -> None:
    heavy = ("torch", "timm", "sklearn", "scipy", "matplotlib")
    code = f"import {module}, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
