"""Read a recipe from what a user names: a name, a file, a run's folder, a Python function."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from pathlib import Path

from trickbag.errors import UserError, choices
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
    if path.is_dir():
        path = path / "recipe.json"
        if not path.is_file():
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


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the recipe {path}: {getattr(error, 'strerror', None) or error}"
        ) from error


def _parse_json(path: Path) -> object:
    text = _read_text(path)
    try:
        return json.loads(text)
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
    text = _read_text(path)
    try:
        return yaml.load(text, Yaml12Loader)  # derived from SafeLoader: plain data, no code
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise UserError(f"{path} is not YAML: {line}{problem}") from error
    # An impossible date; lists that are nested too deeply.
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as YAML: {error}") from error


def _from_function(file: Path, name: str) -> Recipe:
    if not file.is_file():
        raise UserError(f"no file {file} to take the recipe {name!r} from")
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
