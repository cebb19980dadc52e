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
    ("trickbag.errors", "trickbag.settings", "trickbag.streams", "trickbag.files"),
    ("trickbag.metrics",),
    ("trickbag.models", "trickbag.data"),
    ("trickbag.optim", "trickbag.functional"),
    ("trickbag.tricks",),
    ("trickbag.recipe",),
    ("trickbag.recipes",),
    ("trickbag.train",),
    ("trickbag.evaluate", "trickbag.export"),
    ("trickbag.study",),
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
    "trickbag.models.official.networks",
    "trickbag.models.official.variables",
    "trickbag.export",
    "trickbag.export.formats",
    "trickbag.study.designs.design",
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
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ["trickbag", *path.relative_to(ROOT).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


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


def imports(tree: ast.AST) -> set[str]:
    """Names of the package's own modules that a file imports when it runs, in functions too."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if is_type_checking(node):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            base = node.module or ""
            found |= {
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base
                for alias in node.names
            }
        else:
            found |= imports(node)
    return {name for name in found if name.split(".")[0] == "trickbag"}


@pytest.mark.parametrize("module", [name for name in MODULES if name != "trickbag"])
def test_imports_go_one_way(module: str) -> None:
    own = place(module)
    wrong = {
        name
        for name in imports(ast.parse(MODULES[module].read_text()))
        if name != "trickbag" and place(name) > own
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
    [n for n in MODULES if n.startswith(("trickbag.train", "trickbag.models", "trickbag.data"))],
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
