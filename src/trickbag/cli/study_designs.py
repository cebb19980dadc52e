"""The options of `study` that say what its arms are, and the design that they describe."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from trickbag.cli.recipe_options import assignment, shared_settings

if TYPE_CHECKING:
    from trickbag.recipe import Recipe
    from trickbag.study.designs.design import Design

__all__ = ["add_design_options", "arm_notes", "design_from", "names_of"]

_TRICK_OPTIONS = ("design", "tricks", "levels", "resolution", "models")
"""The options of designs whose arms differ in tricks and settings."""


def add_design_options(group: argparse._ArgumentGroup) -> None:
    """Add what says which variants or arms there are."""
    group.add_argument(
        "--design",
        metavar="leave-one-out|one-at-a-time|cumulative|factorial",
        help="default: leave-one-out",
    )
    group.add_argument(
        "--tricks", metavar="A,B,...", help="the tricks to study (default: those of the recipe)"
    )
    group.add_argument("--models", metavar="M,...", help="study several networks")
    group.add_argument(
        "--backbone",
        metavar="[LABEL=]START[,START...]",
        action="append",
        default=[],
        help="an arm that starts from a backbone, compared with the first such arm: a run's "
        "folder, one for all seeds or one for each; a pattern of runs; STUDY:VARIANT, or STUDY for "
        "all its variants; a network's name; scratch",
    )
    group.add_argument(
        "--against",
        metavar="[LABEL=]RECIPE",
        action="append",
        default=[],
        help="an arm that is a whole recipe, compared with the study's: what RECIPE can be; it "
        "reads the study's images, and --model, --init, --pretrained, --image-size and --epochs "
        "hold for every arm",
    )
    group.add_argument(
        "--levels",
        metavar="NAME.FIELD=V,V...",
        action="append",
        default=[],
        help="study settings of a trick too, or of the recipe, such as training.lr=0.01,0.1 or "
        "model=resnet50_d",
    )
    group.add_argument(
        "--resolution", metavar="3|4|5", help="a fraction of a factorial, with this resolution"
    )


def design_from(args: argparse.Namespace, recipe: Recipe) -> Design:
    """Return the design that the arguments describe, of which `recipe` is the first arm."""
    from typing import Literal

    from trickbag.errors import UserError, choices
    from trickbag.parsing import parse
    from trickbag.study.designs.named import DESIGNS

    if args.against:
        return _against(args, recipe)
    if args.backbone:
        return _backbones(args)
    kind = args.design or "leave-one-out"
    if kind not in DESIGNS:
        raise UserError(f"--design {kind!r}: must be one of {choices(DESIGNS)}")
    fields: dict[str, Any] = {}
    if args.tricks is not None:
        fields["tricks"] = names_of(args.tricks, "--tricks")
    if args.levels:
        if kind == "factorial":
            raise UserError(
                "--levels: a factorial has tricks on and off alone; use another --design"
            )
        fields["levels"] = tuple(args.levels)
    if args.resolution is not None:
        if kind != "factorial":
            raise UserError(f"--resolution is for --design factorial, not {kind}")
        fields["resolution"] = parse(Literal[3, 4, 5], args.resolution, "--resolution")
    return DESIGNS[kind](**fields)


def _backbones(args: argparse.Namespace) -> Design:
    """Return the design whose arms are backbones."""
    from trickbag.errors import UserError
    from trickbag.study.backbones import backbones

    for option in ("design", "tricks", "levels", "resolution", "models", "model", "init"):
        if getattr(args, option):
            raise UserError(
                f"--{option} and --backbone exclude each other",
                "a study of backbones compares networks and their weights, each an arm",
            )
    if args.pretrained:
        raise UserError(
            "--pretrained and --backbone exclude each other",
            "an arm with published weights is --backbone pretrained:NAME",
        )
    for text in args.set:
        path, _ = assignment(text, "training.lr=0.2")
        if path.partition(".")[0] == "model" or path in ("training.init", "training.pretrained"):
            raise UserError(
                f"--set {path} and --backbone exclude each other",
                "an arm has the network of its run, or one by name",
            )
    return backbones(args.backbone)


def _against(args: argparse.Namespace, recipe: Recipe) -> Design:
    """Return the design whose arms are whole recipes."""
    from trickbag.errors import UserError
    from trickbag.study.designs.recipes import Recipes

    for option in (*_TRICK_OPTIONS, "backbone"):
        if getattr(args, option):
            raise UserError(
                f"--{option} and --against exclude each other",
                "a study of recipes compares each as a whole with that of the study",
            )
    return Recipes(others=tuple(_arm(text, args, recipe) for text in args.against))


def _arm(text: str, args: argparse.Namespace, recipe: Recipe) -> Recipe:
    """Return the recipe of an arm, `[LABEL=]RECIPE`, on the images of the study's `recipe`."""
    from trickbag import recipes
    from trickbag.errors import UserError
    from trickbag.study.designs.recipes import on_open_data_of

    label, spec = _split_arm(text)
    try:
        other = recipes.load(spec)
    except UserError as error:
        raise UserError(f"--against {text!r}: {error.reason}", error.way_out) from error
    settings = shared_settings(args)
    if other.training.probe is not None:
        settings.pop("training.epochs", None)  # it is fitted once
    if label:
        other = other.replace(name=label)
    other = other.set_all(settings)
    return on_open_data_of(other, recipe, all_settings=spec in recipes.RECIPES or _is_run(spec))


def _split_arm(text: str) -> tuple[str, str]:
    """Split `[LABEL=]RECIPE`; the label is empty where there is none."""
    from pathlib import Path

    from trickbag.errors import UserError
    from trickbag.paths import exists

    label, equals, spec = text.partition("=")
    if not equals or exists(Path(text)):  # a path can hold an equals sign
        return "", text
    if not label.strip() or not spec.strip():
        raise UserError(
            f"--against {text!r}: nothing stands on one side of the =", "write LABEL=RECIPE"
        )
    return label.strip(), spec.strip()


def _is_run(spec: str) -> bool:
    from pathlib import Path

    from trickbag.paths import is_folder

    return is_folder(Path(spec))


def arm_notes(args: argparse.Namespace) -> list[str]:
    """Say which options hold for every arm of a study of whole recipes."""
    if not args.against:
        return []
    given = {
        "--model": args.model,
        "--init": args.init,
        "--pretrained": args.pretrained,
        "--image-size": args.image_size,
        "--epochs": args.epochs,
    }
    of_all = " ".join(option for option, value in given.items() if value)
    of_first = " ".join(
        option
        for option, value in (
            ("--batch-size", args.batch_size),
            ("--with", args.with_),
            ("--without", args.without),
            ("--set", args.set),
        )
        if value
    )
    notes = []
    if of_all:
        notes.append(f"{of_all}: for every arm")
    if of_first:
        notes.append(f"{of_first}: for the study's own recipe alone, not for those of --against")
    return notes


def names_of(text: str, option: str) -> tuple[str, ...]:
    """Return names with commas between them; UserError where one is empty."""
    from trickbag.errors import UserError

    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UserError(f"{option} {text!r}: must be names with commas between them")
    return names
