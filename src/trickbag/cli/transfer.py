"""Train a detector or a segmenter on the network of a run, or on one by name.

The run's folder is that of `train`: the same command with --resume continues it, and `evaluate`,
`predict`, `report` and `export` take it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.cli.recipe_options import add_training_options
from trickbag.cli.train import add_run_options

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from trickbag.recipe import Recipe

TASKS = ("detection", "segmentation")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("task", metavar="|".join(TASKS), help="what to train the network for")
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="boxes: Pascal VOC's or COCO's; masks: images/ and masks/, VOC2012's or ADE20K's",
    )
    parser.add_argument(
        "--backbone",
        metavar="RUN|NAME",
        help="a run's folder, with its weights; or a network's name, which starts anew unless "
        "--init or --pretrained says otherwise (default: resnet50_d)",
    )
    parser.add_argument(
        "--ignore-index",
        metavar="N",
        help="segmentation: the number of pixels in masks that have no class, besides 255 and a "
        "class called void",
    )
    add_training_options(parser)
    add_run_options(parser)
    # Options of `train` that mean nothing here.
    parser.set_defaults(recipe=None, model=None, image_root=None, val_data=None)


def run(args: argparse.Namespace) -> int:
    """Train; return 0."""
    from trickbag.cli.train import require_folder_to_resume, train, trial_from
    from trickbag.errors import UserError, choices
    from trickbag.train.machine.launch import launched_group

    if args.task not in TASKS:
        raise UserError(f"no task {args.task!r}", f"it must be one of {choices(TASKS)}")
    if args.ignore_index is not None:
        if args.task != "segmentation":
            raise UserError(f"--ignore-index is of masks: transfer {args.task} has boxes")
        # First, so that a `--set` of the same setting wins, as over other options.
        args.set = [f"data.ignore_index={args.ignore_index}", *args.set]
    with launched_group() as first:
        require_folder_to_resume(args)
        recipe, seed = trial_from(args, _recipe_of(args))
        return train(args, recipe, seed, first=first)


def _recipe_of(args: argparse.Namespace) -> Recipe | None:
    """Return the task's recipe on the backbone; None where a run that is resumed has it."""
    from pathlib import Path

    from trickbag.errors import UserError
    from trickbag.recipes import RECIPES
    from trickbag.recipes.backbone import with_backbone

    recipe = RECIPES[args.task]()
    if args.data is None and not args.resume:
        raise UserError(f"transfer {args.task} needs images: --data FOLDER")
    if args.resume:
        _require_same_task(Path(args.out), args.task)
    if args.backbone is None:
        return None if args.resume and args.data is None else recipe
    return with_backbone(recipe, args.backbone)


def _require_same_task(folder: Path, task: str) -> None:
    """Raise UserError for a folder that holds a run of another task."""
    from trickbag.errors import UserError
    from trickbag.train.folder.run_folder import RunFolder
    from trickbag.train.folder.run_recipe import RunRecipe

    stored = RunRecipe.read(RunFolder(folder).recipe)
    kind = task if stored is None else stored.task
    if kind != task:
        raise UserError(f"{folder} holds a run of {kind}, not of {task}", "choose another --out")
