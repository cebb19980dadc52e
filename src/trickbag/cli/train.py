"""Train a recipe on your images, and write the run's folder with its report.

Stopped by Ctrl-C or SIGTERM, it saves a checkpoint and exits with 75. The same command with
--resume, or --resume and the run's --out alone, continues it; the result is the same to the bit.
With `torchrun --nproc-per-node N -m trickbag train ...` N processes train one run together.
With --folds K there is a run for each of K folds, and each image is predicted by the network that
was not trained on it.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from trickbag.cli.recipe_options import add_recipe_options, recipe_from, repeated_recipe

if TYPE_CHECKING:
    from trickbag.recipe import Recipe
    from trickbag.train.folder.result import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    from trickbag.cli.folds import add_folds_options

    add_recipe_options(parser)
    add_run_options(parser)
    add_folds_options(parser)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the seed, and the folder of the run."""
    parser.add_argument(
        "--seed", metavar="N", help="default: 0, or that of the run that is resumed"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="the run's folder (default: a fresh one under runs)"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --out from its last checkpoint; what is left out is as it was",
    )


def run(args: argparse.Namespace) -> int:
    """Train; return 0."""
    from trickbag.cli.folds import is_of_folds, train_folds
    from trickbag.train.machine.launch import launched_group

    if is_of_folds(args):
        return train_folds(args)
    with launched_group() as first:
        return _run(args, first)


def _run(args: argparse.Namespace, first: bool) -> int:
    require_folder_to_resume(args)
    recipe, seed = trial_from(args)
    return train(args, recipe, seed, first=first)


def require_folder_to_resume(args: argparse.Namespace) -> None:
    """Raise UserError where a run is to be resumed and no folder is given."""
    from trickbag.errors import UserError

    if args.resume and args.out is None:
        raise UserError("--resume needs the folder of the run to continue: --out DIR")


def train(args: argparse.Namespace, recipe: Recipe, seed: int, *, first: bool) -> int:
    """Train; the first of the processes writes the page and prints the result. Return 0."""
    from trickbag.train.fit import fit
    from trickbag.train.folder.caller import COMMAND_LINE
    from trickbag.train.folder.log import choose_log

    log = choose_log(sys.stdout) if first else None
    result = fit(recipe, seed, args.out, resume=args.resume, log=log, caller=COMMAND_LINE)
    if first:
        _conclude(result)
    return 0


def trial_from(args: argparse.Namespace, begin_with: Recipe | None = None) -> tuple[Recipe, int]:
    """Return recipe and seed: as the arguments say, else as the run that is resumed has them.

    The options change `begin_with`, by default the RECIPE among the arguments.
    """
    from pathlib import Path
    from typing import Annotated

    from trickbag.cli.options import optional
    from trickbag.ranges import Seed
    from trickbag.train.folder.run_folder import RunFolder
    from trickbag.train.folder.run_recipe import RunRecipe

    seed = optional(Annotated[int, Seed], args.seed, "--seed")
    folder = RunFolder(Path(args.out)) if args.resume else None
    stored = RunRecipe.read(folder.recipe) if folder is not None else None
    if folder is None or stored is None:
        return recipe_from(args, begin_with), seed or 0
    if begin_with is not None:
        recipe = recipe_from(args, begin_with)
    else:
        recipe = repeated_recipe(args, stored, folder)
    return recipe, (stored.seed or 0) if seed is None else seed


def _score_line(name: str, result: Result) -> str:
    """Say a score of the kept weights, and what other epochs came to."""
    from trickbag.metrics.metric import EVALUATED

    entry = EVALUATED[name]

    def text(value: float | None) -> str:
        return f"{value or 0:.{entry.decimals}f}{' %' if entry.unit == '%' else ''}"

    metrics, weights = result.metrics, result.weights
    line = f"{entry.symbol or entry.title} {text(metrics[name])}"
    last, best = metrics.get(f"last_{name}"), metrics.get(f"best_{name}")
    if weights is None:  # a finished run of before, whose other epochs are not known
        return line
    line += f" with the weights that are kept, of epoch {weights.epoch} of {weights.epochs}"
    if weights.epoch != weights.epochs and last is not None:
        return f"{line} (the best by {weights.score}; {text(last)} after the last)"
    extreme = "lowest" if entry.better == "lower" else "highest"
    return line if best is None else f"{line} (the {extreme} of all epochs: {text(best)})"


def _conclude(result: Result) -> None:
    """Write the run's page, unless it is there, and print the scores."""
    from pathlib import Path

    from trickbag.cli.terminal import print_line, stopped_at_report
    from trickbag.report import run_page
    from trickbag.report.run.images import pictures_of

    folder = Path(result.folder)
    page = folder / "report.html"
    if not page.exists():
        with stopped_at_report(folder, "run"):
            page = run_page(folder, pictures=pictures_of(folder))
    chosen_by = () if result.weights is None else (result.weights.score,)
    for name in dict.fromkeys(("top1", "miou", "map50", "map", *chosen_by)):
        if result.metrics.get(name) is not None:
            print_line(_score_line(name, result))
    print_line(f"report: {page}")
