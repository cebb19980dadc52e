"""The options with which `train`, `show` and `study` change a recipe."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig
    from trickbag.recipe import Recipe
    from trickbag.train.folder.run_folder import RunFolder
    from trickbag.train.folder.run_recipe import RunRecipe

__all__ = [
    "add_recipe_options",
    "add_training_options",
    "assignment",
    "data_settings",
    "recipe_from",
    "repeated_recipe",
    "shared_settings",
]

_PLACES = ("source", "image_root", "val_source", "image_column", "label_column")
"""Where the data of a run are: what another recipe by name leaves as it is."""

DEFAULT = "small"
"""The recipe of a command that names none."""


def add_recipe_options(parser: argparse.ArgumentParser, alternative: str = "") -> None:
    """Add the recipe and the options that change it.

    With an `alternative`, the help names it as what more than one value in the recipe's place is.
    """
    add_recipe(parser, alternative)
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="digits, a folder, a CSV file, an .arrow pack, torchvision:NAME, hf:NAME, or wds:URL",
    )
    add_places(parser)
    parser.add_argument(
        "--model", metavar="NAME", help="a name of `trickbag list models`, or timm:NAME"
    )
    add_training_options(parser)


def add_recipe(parser: argparse.ArgumentParser, alternative: str = "") -> None:
    """Add the recipe."""
    parser.add_argument(
        "recipe",
        nargs="*" if alternative else "?",
        metavar="RECIPE",
        help="a name of `list recipes`, a .json or .yaml file, a run's folder, or FILE.py:FUNCTION "
        "(default: small)" + (f"; or {alternative}" if alternative else ""),
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that change how a recipe trains."""
    parser.add_argument("--epochs", metavar="N")
    parser.add_argument("--image-size", metavar="PX|HxW", help="a side, or height x width")
    parser.add_argument(
        "--batch-size", metavar="N", help="images per update, whatever training.accumulate is"
    )
    _add_trick_options(parser)
    _add_weight_options(parser)
    parser.add_argument("--device", metavar="auto|cpu|cuda|mps")


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where images lie beside the source."""
    parser.add_argument(
        "--image-root",
        metavar="DIR",
        action="append",
        help="where a table's images or a torchvision data set lie; can be given again",
    )
    parser.add_argument(
        "--val-data",
        metavar="SOURCE",
        help="validate on these images, whose classes are joined by name",
    )


def places_of(args: argparse.Namespace) -> dict[str, str]:
    """Return the settings that these options give, as texts by path."""
    roots = args.image_root
    if roots is not None:
        # A list of texts stands in brackets; one folder is a text as it is.
        roots = roots[0] if len(roots) == 1 else json.dumps(roots)
    settings = {"data.image_root": roots, "data.val_source": args.val_data}
    return {path: value for path, value in settings.items() if value is not None}


def _add_trick_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--with",
        # `args.with` would be a syntax error.
        dest="with_",
        metavar="TRICK[:key=value,...]",
        action="append",
        default=[],
        help="add or replace a trick",
    )
    parser.add_argument(
        "--without", metavar="TRICK", action="append", default=[], help="take a trick out"
    )
    parser.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help="change a setting, such as training.lr=0.2; all of them at once, in any order",
    )


def _add_weight_options(parser: argparse.ArgumentParser) -> None:
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        "--init",
        metavar="WEIGHTS",
        help="start from a safetensors file, a run's folder, or an original network's .npz or "
        "TensorFlow checkpoint",
    )
    weights.add_argument(
        "--pretrained", action="store_true", help="start from the weights that timm publishes"
    )


def recipe_from(args: argparse.Namespace, begin_with: Recipe | None = None) -> Recipe:
    """Return the recipe that the arguments describe; UserError if one of them is wrong.

    The options change `begin_with`, by default the RECIPE among the arguments.
    """
    from trickbag import recipes

    return _changed(begin_with or recipes.load(_named(args) or DEFAULT), args)


def repeated_recipe(args: argparse.Namespace, stored: RunRecipe, folder: RunFolder) -> Recipe:
    """Return the recipe that the arguments describe for a run that began with `stored`.

    Without a RECIPE among them, or with the folder as RECIPE, they change the stored recipe, where
    a trick that it lacks counts as taken out: the arguments that gave it give it again. With a
    RECIPE they describe the recipe as in a new run, but a recipe by name leaves the data where they
    are. Raises UserError if an argument is wrong, or if one of the recipes cannot be read.
    """
    from pathlib import Path

    from trickbag import recipes
    from trickbag.errors import UserError
    from trickbag.recipe import Recipe

    name = _named(args)
    begun_with = [path.resolve() for path in (folder.path, folder.recipe)]
    if name is None or Path(name).resolve() in begun_with:
        try:
            recipe = Recipe.from_dict(stored.recipe)
        except UserError as error:  # such as a trick whose module lies elsewhere
            way_out = "give the RECIPE that the run began with"
            raise UserError(f"{folder.recipe}: {error}", way_out) from error
        # A trick that an option takes out and another adds would go to the end.
        return _changed(recipe, args, lacking=True).in_order_of(recipe.to_dict()["tricks"])
    try:
        recipe = recipes.load(name)
    except UserError as error:
        way_out = "leave RECIPE out to go on with the recipe that the run began with"
        raise UserError(error.reason, way_out) from error
    if name in recipes.RECIPES:
        places = {name: getattr(stored.data, name) for name in _PLACES}
        recipe = recipe.replace(data=dataclasses.replace(recipe.data, **places))
    return _changed(recipe, args)


def _named(args: argparse.Namespace) -> str | None:
    """Return the RECIPE among the arguments."""
    source = args.recipe
    if isinstance(source, list):  # of a command with an alternative
        source = source[0] if source else None
    return source or None


def _changed(recipe: Recipe, args: argparse.Namespace, *, lacking: bool = False) -> Recipe:
    """Return the recipe with the changes that the options make.

    With `lacking` a trick to take out need not be there.
    """
    from trickbag.recipe import trick_from_text, trick_name
    from trickbag.tricks import find

    without = args.without
    if lacking:
        for name in set(without) - set(recipe.trick_names):
            find(name)  # raises UserError for a name that is no trick's
        without = [name for name in without if name in recipe.trick_names]
    recipe = recipe.without(*without)
    settings = _settings(args)
    for text in args.with_:
        # The settings of a new trick are checked with it: alone it might not be valid.
        start = f"tricks.{trick_name(text)}."
        parts = {path: value for path, value in settings.items() if path.startswith(start)}
        parts = {path.removeprefix(start): value for path, value in parts.items()}
        recipe = recipe.plus(trick_from_text(text, parts))
    return recipe.set_all(settings)


def _settings(args: argparse.Namespace) -> dict[str, str]:
    """Return the settings that the options give, as texts by path."""
    settings = shared_settings(args)
    if args.batch_size is not None:
        settings["training.batch_size"] = args.batch_size
    # Last, so that it wins over the options above that set the same thing.
    return settings | dict(assignment(text, "training.lr=0.2") for text in args.set)


def shared_settings(args: argparse.Namespace) -> dict[str, str]:
    """Return the settings by path that options give for all recipes of a command.

    They say on which images, on which network, from which weights and for how long is trained.
    """
    settings = {
        "model": args.model,
        "data.source": args.data,
        "data.image_size": args.image_size,
        "training.epochs": args.epochs,
        "training.device": args.device,
    }
    settings |= places_of(args)
    # Both fields: a recipe has at most one of them.
    if args.init is not None:
        settings |= {"training.init": args.init, "training.pretrained": "false"}
    if args.pretrained:
        settings |= {"training.init": "none", "training.pretrained": "true"}
    return {path: value for path, value in settings.items() if value is not None}


def data_settings(args: argparse.Namespace, command: str) -> DataConfig:
    """Return the data settings of a command that has a SOURCE and takes settings of data alone.

    Raises UserError if one of them is wrong.
    """
    from trickbag.errors import UserError
    from trickbag.recipe import Recipe

    # A recipe parses the text of a setting; its defaults are those of a run.
    settings = {"data.source": args.source, **places_of(args)}
    for text in args.set:
        path, value = assignment(text, "data.multi_label=true")
        if not path.startswith("data."):
            raise UserError(
                f"--set {text!r}: {command} looks at data alone",
                "set data.NAME, such as data.multi_label=true",
            )
        settings[path] = value
    return Recipe().set_all(settings).data


def assignment(text: str, example: str) -> tuple[str, str]:
    """Return path and value of a `--set`; UserError if it is no assignment."""
    from trickbag.errors import UserError

    path, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--set {text!r}: must be of the form PATH=VALUE, such as {example}")
    return path.strip(), value.strip()
