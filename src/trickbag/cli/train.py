"""Train a recipe on your images, and write the run's folder with its report.

Stopped by Ctrl-C or SIGTERM, it saves a checkpoint and exits with 75; the same command with
--resume and the run's --out goes on bit for bit. With `torchrun --nproc-per-node N -m trickbag
train ...` N processes train one run together.
"""

from __future__ import annotations

import argparse
import sys

from trickbag.cli.recipe_options import add_recipe_options, recipe_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_recipe_options(parser)
    parser.add_argument(
        "--seed", metavar="N", help="default: 0, or that of the run that is resumed"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="the run's folder (default: a fresh one under runs)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in --out"
    )


def run(args: argparse.Namespace) -> int:
    """Train; return 0."""
    from trickbag.train.machine.launch import launched_group

    with launched_group() as first:
        return _run(args, first)


def _run(args: argparse.Namespace, first: bool) -> int:
    """Train; then, in the first of the processes that train together, write the page and say what
    came out."""
    from pathlib import Path

    from trickbag.errors import UserError
    from trickbag.settings import parse

    seed = None if args.seed is None else parse(int, args.seed, "--seed")
    if args.resume and args.out is None:
        raise UserError("--resume needs the folder of the run to continue: --out DIR")
    stored = None
    if args.resume and Path(args.out, "recipe.json").is_file():
        # What the arguments leave open is as the run had it.
        from trickbag.train.folder.run_folder import RunFolder
        from trickbag.train.folder.run_recipe import RunRecipe

        stored = RunRecipe.read(RunFolder(Path(args.out)).recipe)
    recipe = recipe_from(args, default=args.out if stored else "small")
    if seed is None:
        seed = (stored.seed if stored is not None else None) or 0

    from trickbag.report import run_page
    from trickbag.report.run.images import pictures_of
    from trickbag.train.fit import fit
    from trickbag.train.folder.caller import COMMAND_LINE
    from trickbag.train.folder.log import choose_log

    log = choose_log(sys.stdout) if first else None
    result = fit(recipe, seed, args.out, resume=args.resume, log=log, caller=COMMAND_LINE)
    if not first:
        return 0
    page = Path(result.folder, "report.html")
    if not page.exists():
        page = run_page(Path(result.folder), pictures=pictures_of(Path(result.folder)))
    for name, title in (("top1", "top-1"), ("map", "mAP")):
        last, best = result.metrics.get(name), result.metrics.get(f"best_{name}")
        if last is not None and best is not None:
            epoch = result.metrics["best_epoch"]
            print(
                f"{title} {last:.2f} % after the last epoch, {best:.2f} % after the best ({epoch})"
            )
    print(f"report: {page}")
    return 0
