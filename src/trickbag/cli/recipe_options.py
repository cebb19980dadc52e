"""The options with which `train`, `show` and `study` change a recipe."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trickbag.recipe import Recipe

__all__ = ["add_recipe_options", "assignment", "recipe_from"]


def add_recipe_options(parser: argparse.ArgumentParser, alternative: str = "") -> None:
    """Add the recipe and the options that change it.

    With an `alternative`, the help names it as what more than one value in the recipe's place is.
    """
    parser.add_argument(
        "recipe",
        nargs="*" if alternative else "?",
        metavar="RECIPE",
        help="a name of `list recipes`, a .json or .yaml file, a run's folder, or FILE.py:FUNCTION "
        "(default: small)" + (f"; or {alternative}" if alternative else ""),
    )
    parser.add_argument(
        "--data", metavar="SOURCE", help="digits, a folder, a CSV file, or torchvision:NAME"
    )
    parser.add_argument(
        "--image-root", metavar="DIR", help="where a CSV's images or a torchvision data set lie"
    )
    parser.add_argument(
        "--model", metavar="NAME", help="a name of `trickbag list models`, or timm:NAME"
    )
    parser.add_argument("--epochs", metavar="N")
    parser.add_argument("--image-size", metavar="PX")
    parser.add_argument(
        "--batch-size", metavar="N", help="images per update, whatever training.accumulate is"
    )
    _add_trick_options(parser)
    _add_weight_options(parser)
    parser.add_argument("--device", metavar="auto|cpu|cuda")


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
        help="change a setting, such as training.lr=0.2",
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


def recipe_from(args: argparse.Namespace, default: str = "small") -> Recipe:
    """Return the recipe that the arguments describe; UserError if one of them is wrong."""
    from trickbag import recipes
    from trickbag.recipe import trick_from_text

    source = args.recipe
    if isinstance(source, list):  # of a command with an alternative
        source = source[0] if source else None
    recipe = recipes.load(source or default)
    if args.model is not None:
        recipe = recipe.on(args.model)
    settings = {
        "data.source": args.data,
        "data.image_root": args.image_root,
        "data.image_size": args.image_size,
        "training.epochs": args.epochs,
        "training.batch_size": args.batch_size,
        "training.device": args.device,
    }
    for path, value in settings.items():
        if value is not None:
            recipe = recipe.set(path, value)
    # Both fields at once: the config refuses a recipe that has the two, even for a moment.
    if args.init is not None:
        recipe = recipe.replace(
            training=dataclasses.replace(recipe.training, init=args.init, pretrained=False)
        )
    if args.pretrained:
        recipe = recipe.replace(
            training=dataclasses.replace(recipe.training, init=None, pretrained=True)
        )
    recipe = recipe.without(*args.without)
    for text in args.with_:
        recipe = recipe.plus(trick_from_text(text))
    # Last, so that it wins over the options above that set the same thing.
    for text in args.set:
        recipe = recipe.set(*assignment(text, "training.lr=0.2"))
    return recipe


def assignment(text: str, example: str) -> tuple[str, str]:
    """Return path and value of a `--set`; UserError if it is no assignment."""
    from trickbag.errors import UserError

    path, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--set {text!r}: must be of the form PATH=VALUE, such as {example}")
    return path.strip(), value.strip()
