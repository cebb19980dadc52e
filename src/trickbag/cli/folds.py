"""The part of the command `train` that trains a run for each fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from trickbag.cross_validation.result import CrossValidationResult
    from trickbag.recipe import Recipe
    from trickbag.train.folder.fold_runs import FoldsRecord

__all__ = ["add_folds_options", "is_of_folds", "train_folds"]

_OPTIONS = ("executor", "workers", "address", "cpus", "gpus", "devices", "retries")
"""The options that say who trains the folds."""


def add_folds_options(parser: argparse.ArgumentParser) -> None:
    """Add the number of folds, and who trains them."""
    from trickbag.cli.executor_options import add_executor_options

    group = parser.add_argument_group("cross-validation")
    group.add_argument(
        "--folds",
        metavar="K",
        help="divide the training and validation images into K folds, and train a run for each; "
        "the options below are for these runs",
    )
    add_executor_options(group)


def is_of_folds(args: argparse.Namespace) -> bool:
    """Tell whether the arguments describe a cross-validation.

    Raises UserError for an option of one, where there are no folds.
    """
    from pathlib import Path

    from trickbag.errors import UserError
    from trickbag.train.folder.fold_runs import is_cross_validation

    if args.folds is not None:
        return True
    if args.resume and args.out is not None and is_cross_validation(Path(args.out)):
        return True
    for option in _OPTIONS:
        if getattr(args, option) is not None:
            raise UserError(
                f"--{option} is for the runs of folds", "add --folds K, or leave it out"
            )
    return False


def train_folds(args: argparse.Namespace) -> int:
    """Train the folds, and print the metrics of the out-of-fold predictions; return 0."""
    import os
    import shlex
    import sys
    from pathlib import Path

    from trickbag.cli.executor_options import count_from, executor_from
    from trickbag.cli.terminal import print_line
    from trickbag.cli.train import require_folder_to_resume
    from trickbag.cross_validation.cross_validation import CrossValidation
    from trickbag.data.config import MAX_FOLDS
    from trickbag.errors import UserError
    from trickbag.report import cross_validation_page
    from trickbag.study.limits import MAX_RETRIES
    from trickbag.train.folder.caller import COMMAND_LINE
    from trickbag.train.folder.fold_runs import FoldsRecord
    from trickbag.train.folder.log import choose_log

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "--folds: the processes of torchrun train one run together, and folds are runs of "
            "their own",
            "start it without torchrun; --workers N trains N folds at a time",
        )
    require_folder_to_resume(args)
    stored = FoldsRecord.read(Path(args.out)) if args.resume else None
    recipe, seed = _begun(args, stored)
    if args.folds is not None:
        folds = count_from(args.folds, "--folds", MAX_FOLDS, least=2)
    else:
        assert stored is not None  # `is_of_folds`
        folds = stored.folds
    retries = 2
    if args.retries is not None:
        retries = count_from(args.retries, "--retries", MAX_RETRIES, least=0)
    # Called from Python, `sys.argv` is not the command.
    command = shlex.join(["trickbag", *sys.argv[1:]]) if sys.argv[1:2] == ["train"] else ""
    result = CrossValidation(recipe=recipe, folds=folds, seed=seed, retries=retries).run(
        executor_from(args),
        args.out,
        resume=args.resume,
        log=choose_log(sys.stdout),
        command=command,
        caller=COMMAND_LINE,
    )
    for line in _lines(result):
        print_line(line)
    print_line(f"report: {cross_validation_page(Path(result.folder))}")
    return 0


def _begun(args: argparse.Namespace, stored: FoldsRecord | None) -> tuple[Recipe, int]:
    """Return recipe and seed: as the arguments say, else as what is resumed has them."""
    import dataclasses
    from pathlib import Path
    from typing import Annotated

    from trickbag.cli.options import optional
    from trickbag.cli.recipe_options import recipe_from, repeated_recipe
    from trickbag.ranges import Seed
    from trickbag.train.folder.run_folder import RunFolder
    from trickbag.train.folder.run_recipe import RunRecipe

    seed = optional(Annotated[int, Seed], args.seed, "--seed")
    if stored is None:
        return recipe_from(args), seed or 0
    begun = RunRecipe(recipe=stored.recipe)
    recipe = repeated_recipe(args, begun, RunFolder(Path(args.out)))
    # That of all folds: the record has the first one.
    data = dataclasses.replace(recipe.data, folds=None, fold=0)
    return recipe.replace(data=data), stored.seed if seed is None else seed


def _lines(result: CrossValidationResult) -> Iterator[str]:
    """Yield the metrics of all images together, and the spread of the folds."""
    from trickbag.metrics.metric import EVALUATED, interval_decimals

    for name in ("top1", "map", "loss", "macro_f1", "auc", "ece"):
        value, entry = result.metrics.get(name), EVALUATED.get(name)
        if value is None or entry is None:
            continue
        unit = " %" if entry.unit == "%" else ""
        text = f"{entry.symbol or entry.title} {value:.{entry.decimals}f}{unit}"
        if name in result.intervals:
            low, high = result.intervals[name]
            digits = interval_decimals((low, high), entry.decimals)
            text += f" ({low:.{digits}f} to {high:.{digits}f})"
        of_folds = [fold.metrics.get(name) for fold in result.folds]
        known = [each for each in of_folds if each is not None]
        if len(known) == len(of_folds):
            text += f", by fold {min(known):.{entry.decimals}f} to {max(known):.{entry.decimals}f}"
        yield f"{text}, out of fold, {result.images:,} images"
    yield f"predictions of all images: {_out_of_fold(result)}"


def _out_of_fold(result: CrossValidationResult) -> Path:
    from pathlib import Path

    from trickbag.cross_validation.folder import CrossValidationFolder

    return CrossValidationFolder(Path(result.folder)).out_of_fold
