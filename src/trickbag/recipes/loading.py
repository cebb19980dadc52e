"""Read a recipe from what a user names: a name, a file, a run's folder, a Python function."""

from __future__ import annotations

import errno
import importlib.util
import inspect
import json
import os
import re
from pathlib import Path

from trickbag.errors import UserError, choices
from trickbag.files import read_text, require_shallow
from trickbag.paths import RECIPE, YAML_RECIPE, FileKind, exists, is_folder, require_regular
from trickbag.recipe import Recipe
from trickbag.recipes.named import RECIPES

__all__ = ["load"]


def load(spec: str) -> Recipe:
    """Read a recipe: a name, a .json or .yaml file, a run's folder, or FILE.py:FUNCTION.

    The names are those of `trickbag list recipes`. Raises UserError if there is no such recipe or
    it cannot be read, naming the line at which a file is damaged.
    """
    if spec in RECIPES:
        return RECIPES[spec]()
    path = Path(spec)
    file, _, function = spec.rpartition(":")
    if file.endswith(".py"):
        return _from_function(Path(file), function)
    if is_folder(path):
        path = path / "recipe.json"
        if not exists(path):
            raise UserError(f"{spec} is no run's folder: it holds no recipe.json")
    if path.suffix not in (".json", ".yaml", ".yml"):
        raise UserError(
            f"no recipe {spec!r}",
            f"there are {choices(RECIPES)}, or give a .json or .yaml file, a run's folder, or "
            "FILE.py:FUNCTION",
        )
    data = _parse_json(path) if path.suffix == ".json" else _parse_yaml(path)
    try:
        return Recipe.from_dict(data, name=path.stem)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _read_text(path: Path, kind: FileKind) -> str:
    text = read_text(path, kind)
    if text is None:
        raise UserError(f"cannot read the recipe {path}: {os.strerror(errno.ENOENT)}")
    return text


def _parse_json(path: Path) -> object:
    text = _read_text(path, RECIPE)
    try:
        data = json.loads(text)
        require_shallow(data)
        return data
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON: line {error.lineno}: {error.msg}") from error
    # A number of too many digits; lists that are nested too deeply.
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from error


def _parse_yaml(path: Path) -> object:
    import yaml

    class Yaml12Loader(yaml.SafeLoader):
        """YAML with numbers such as `1e-3`, as in YAML 1.2; PyYAML reads them as text."""

    Yaml12Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
    )
    text = _read_text(path, YAML_RECIPE)
    try:
        data = yaml.load(text, Yaml12Loader)  # derived from SafeLoader: plain data, no code
        require_shallow(data)
        return data
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise UserError(f"{path} is not YAML: {line}{problem}") from error
    # An impossible date; lists that are nested too deeply.
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as YAML: {error}") from error


def _from_function(file: Path, name: str) -> Recipe:
    try:
        require_regular(file, RECIPE)
    except FileNotFoundError as error:
        raise UserError(f"no file {file} to take the recipe {name!r} from") from error
    module_spec = importlib.util.spec_from_file_location(file.stem, file)
    if module_spec is None or module_spec.loader is None:
        raise UserError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
        function = getattr(module, name, None)
        if not callable(function):
            functions = [key for key, value in vars(module).items() if inspect.isfunction(value)]
            raise UserError(
                f"{file} has no function {name!r}; it has: {choices(functions) or 'none'}"
            )
        recipe = function()
    except UserError:
        raise
    # The user's own code can raise anything; it is reported in one line, with its place.
    except Exception as error:
        raise UserError(f"{file}:{name} failed: {type(error).__name__}: {error}") from error
    if not isinstance(recipe, Recipe):
        raise UserError(f"{file}:{name} returned {type(recipe).__name__}, not a Recipe")
    return recipe
