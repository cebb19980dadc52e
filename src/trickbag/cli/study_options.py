"""The options of `study`, and the study that they describe."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from trickbag.cli.executor_options import add_executor_options, count_from
from trickbag.cli.recipe_options import recipe_from
from trickbag.cli.study_designs import add_design_options, design_from, names_of
from trickbag.metrics.metric import EVALUATED, MEASURED_APART, PREFIXES

if TYPE_CHECKING:
    from trickbag.study.study import Study
    from trickbag.study.tuning.tuning import Tuning

__all__ = ["add_execution_options", "add_study_options", "study_from"]


def add_study_options(group: argparse._ArgumentGroup) -> None:
    """Add what says what is studied."""
    add_design_options(group)
    group.add_argument("--seeds", metavar="N", help="default: 5")
    group.add_argument(
        "--folds",
        metavar="K",
        help="divide the training and validation images into K folds, and train every arm for each "
        "fold with each seed (default: 1): effects are then about new splits of the data",
    )
    group.add_argument(
        "--splits", metavar="S", help="divide the images into folds S times (default: 1)"
    )
    group.add_argument("--add-seeds", metavar="N", help="add seeds to a finished study")
    group.add_argument(
        "--max-seeds",
        metavar="N",
        help="the most seeds, fixed before the first trial: verdicts may then be given again after "
        "--add-seeds, and share the 5 %%",
    )
    group.add_argument(
        "--until-settled",
        action="store_true",
        help="add seeds, --seeds at a time, until all effects are settled or there are "
        "--max-seeds; arms that are settled are stopped",
    )
    group.add_argument(
        "--tune",
        metavar="NAME.FIELD=V,V...",
        action="append",
        default=[],
        help="tune every arm on the same grid before the comparison, on a part of the training "
        "images; 3x is three times the recipe's own value: training.lr=0.3x,1x,3x",
    )
    group.add_argument(
        "--tune-seeds",
        metavar="N",
        help="the seeds of each configuration, which are not used again (default: 2)",
    )
    group.add_argument(
        "--budget", metavar="TIME", help="choose as many seeds as fit, such as 2h or 90min"
    )
    group.add_argument(
        "--outcome",
        metavar="METRIC[,METRIC]",
        help=f"what is compared (default: top1, map where images have several labels, map50 of "
        f"boxes, miou of masks): "
        f"{', '.join(EVALUATED)}; of these also {', '.join(f'{p}NAME' for p in PREFIXES)}; "
        f"another metric of result.json; or {', '.join(MEASURED_APART)}, for which the weights of "
        "each trial are evaluated. More names are measured in each trial too",
    )
    group.add_argument(
        "--margin",
        metavar="D",
        help="the smallest difference in the outcome that matters: effects that are shown to be "
        "smaller have the verdict equivalent",
    )
    group.add_argument(
        "--outcome-images",
        metavar="N",
        help="the most images of these evaluations (default: the whole validation part)",
    )
    group.add_argument(
        "--localization", metavar="DIR", help="a folder of images with boxes, for max_box_acc"
    )


def add_execution_options(group: argparse._ArgumentGroup) -> None:
    """Add what says how a study runs."""
    add_executor_options(group)
    group.add_argument(
        "--keep-weights",
        metavar="none|full|all",
        help="the trials whose weights stay (default: those of full; none in a design without it)",
    )
    group.add_argument(
        "--shard", metavar="I/N", help="run the I-th of N parts, in a folder of its own"
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="print the trials, their time and disk, and the smallest effect seen",
    )
    group.add_argument(
        "--sd", metavar="S", help="standard deviation of a paired difference, for --dry-run"
    )
    group.add_argument(
        "--out",
        metavar="DIR",
        help="the study's folder (default: one under runs, the same each time)",
    )


def study_from(args: argparse.Namespace) -> Study:
    """Return the study that the arguments describe."""
    from typing import Annotated

    from trickbag.data.config import MAX_FOLDS
    from trickbag.errors import UserError
    from trickbag.parsing import parse
    from trickbag.ranges import Between
    from trickbag.study.analysis.equivalence import MAX_MARGIN
    from trickbag.study.kept_weights import KeepWeights
    from trickbag.study.limits import MAX_RETRIES, MAX_SEEDS
    from trickbag.study.study import Study
    from trickbag.study.units import MAX_SPLITS

    recipe = recipe_from(args)
    design = design_from(args, recipe)
    settings: dict[str, Any] = {}
    if args.seeds is not None:
        settings["seeds"] = count_from(args.seeds, "--seeds", MAX_SEEDS)
    if args.retries is not None:
        settings["retries"] = count_from(args.retries, "--retries", MAX_RETRIES, least=0)
    if args.keep_weights is not None:
        settings["keep_weights"] = parse(KeepWeights, args.keep_weights, "--keep-weights")
    if args.models is not None:
        settings["models"] = names_of(args.models, "--models")
    if args.shard is not None:
        shard = re.fullmatch(r"(\d{1,9})/(\d{1,9})", args.shard)
        if shard is None or not 1 <= int(shard[1]) <= int(shard[2]):
            raise UserError(f"--shard {args.shard!r}: must be I/N with I from 1 to N, such as 1/4")
        settings["shard"] = (int(shard[1]), int(shard[2]))
    if args.max_seeds is not None:
        settings["max_seeds"] = count_from(args.max_seeds, "--max-seeds", MAX_SEEDS, least=2)
    if args.folds is not None:
        settings["folds"] = count_from(args.folds, "--folds", MAX_FOLDS, least=2)
    if args.splits is not None:
        settings["splits"] = count_from(args.splits, "--splits", MAX_SPLITS)
    if args.until_settled:
        settings["until_settled"] = True
    if args.margin is not None:
        margin = Annotated[float, Between(0, MAX_MARGIN, open_low=True)]
        settings["margin"] = parse(margin, args.margin, "--margin")
    settings |= {**_outcomes(args), "tuning": _tuning(args)}
    # What the recipe says is overruled in a study; what the command says is not.
    if any(text.partition("=")[0].strip() == "training.keep" for text in args.set or ()):
        settings["keep"] = recipe.training.keep
    return Study(recipe=recipe, design=design, **settings)


def _tuning(args: argparse.Namespace) -> Tuning | None:
    """Return how the arms are tuned; None if they are not."""
    from trickbag.errors import UserError
    from trickbag.study.tuning.tuning import MAX_TUNING_SEEDS, Tuning

    if args.tune_seeds is not None and not args.tune:
        raise UserError("--tune-seeds is for --tune", "say what is tuned: --tune training.lr=1x,3x")
    if not args.tune:
        return None
    grid = tuple(args.tune)
    if args.tune_seeds is None:
        return Tuning(grid=grid)
    seeds = count_from(args.tune_seeds, "--tune-seeds", MAX_TUNING_SEEDS)
    return Tuning(grid=grid, seeds=seeds)


def _outcomes(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of what is measured in each trial."""
    from trickbag.evaluate.extra import MAX_IMAGES

    settings: dict[str, Any] = {"localization": args.localization}
    if args.outcome is not None:
        outcome, *beside = names_of(args.outcome, "--outcome")
        settings |= {"outcome": outcome, "beside": tuple(beside)}
    if args.outcome_images is not None:
        settings["outcome_images"] = count_from(args.outcome_images, "--outcome-images", MAX_IMAGES)
    return settings
