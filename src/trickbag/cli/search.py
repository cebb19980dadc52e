"""Search on your own data: for an augmentation policy, or for how to scale a network.

The trials see the training images alone, and are judged on a part of them that is held back. The
same command continues a search that was stopped or killed; with more time or more trials it goes on
where one ended. Stopped by Ctrl-C or SIGTERM, it exits with 75.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.cli.executor_options import add_executor_options, count_from, executor_from
from trickbag.cli.recipe_options import add_recipe_options, recipe_from

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from trickbag.search.search import Search, SearchResult
    from trickbag.study.executors import Executor

KINDS = ("autoaugment", "scaling")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("kind", metavar="|".join(KINDS), help="what to search for")
    add_recipe_options(parser)
    group = parser.add_argument_group("what is searched")
    group.add_argument(
        "--budget", metavar="TIME", help="the time of the whole search, such as 1h or 90min"
    )
    group.add_argument(
        "--trials", metavar="N", help="the number of suggestions that are tried, in place of a time"
    )
    group.add_argument(
        "--controller",
        metavar="density|ppo|random",
        help="autoaugment: what suggests policies (default: density)",
    )
    group.add_argument(
        "--folds",
        metavar="K",
        help="a trial is trained without one of K parts of the training images, and judged on it "
        "(default: 5)",
    )
    group.add_argument(
        "--trial-epochs",
        metavar="N",
        help="the epochs of a trial (default: the recipe's, fewer in a small budget)",
    )
    group.add_argument("--seed", metavar="N", help="default: 0")
    group.add_argument(
        "--compare",
        action="store_true",
        help="then, beyond the budget, study the result against what one would have without it",
    )
    group.add_argument("--seeds", metavar="N", help="the seeds of that study (default: 5)")
    run = parser.add_argument_group("how it runs")
    add_executor_options(run)
    run.add_argument(
        "--dry-run", action="store_true", help="print the trials and their time, and try nothing"
    )
    run.add_argument(
        "--out",
        metavar="DIR",
        help="the search's folder (default: one under runs, the same each time)",
    )


def run(args: argparse.Namespace) -> int:
    """Search; return 0."""
    import shlex
    import sys

    from trickbag.cli.terminal import print_line
    from trickbag.errors import UserError
    from trickbag.search.log import choose_search_log
    from trickbag.study.limits import MAX_SEEDS
    from trickbag.train.folder.caller import COMMAND_LINE

    search = search_from(args)
    if args.seeds is not None and not args.compare:
        raise UserError("--seeds is for --compare: a search has one seed, --seed")
    seeds = 5 if args.seeds is None else count_from(args.seeds, "--seeds", MAX_SEEDS)
    executor = executor_from(args)
    log = choose_search_log(sys.stdout)
    if args.dry_run:
        for line in search.dry_run(executor, args.out, log=log, caller=COMMAND_LINE):
            print_line(line)
        return 0
    # Called from Python, `sys.argv` is not the command.
    command = shlex.join(["trickbag", *sys.argv[1:]]) if sys.argv[1:2] == ["search"] else ""
    result = search.run(executor, args.out, log=log, command=command, caller=COMMAND_LINE)
    for line in result.lines:
        print_line(line)
    _say_how_to_go_on(args.kind, result)
    if args.compare:
        _compare(search, result, executor, seeds, command)
    print_line(f"report: {write_page(result.folder.path)}")
    return 0


def _say_how_to_go_on(kind: str, result: SearchResult) -> None:
    """Say how to use what was found, and how to repeat the search."""
    from trickbag.cli.terminal import print_line
    from trickbag.durations import about

    record = result.record
    if kind == "autoaugment":
        print_line(f"use it: --with auto_augment:policy={result.folder.policy}")
    print_line(
        f"the same search anywhere: --trials {record.trials} --trial-epochs {record.epochs} "
        f"in the place of --budget ({about(record.spent_s)})"
    )


def _compare(
    search: Search, result: SearchResult, executor: Executor, seeds: int, command: str
) -> None:
    """Study what was found; print the effects and the answer."""
    import sys

    from trickbag.cli.terminal import aligned, print_line
    from trickbag.report import answers, read_study, study_page, study_rows
    from trickbag.search.comparison import compare_recipes
    from trickbag.search.log import choose_search_log
    from trickbag.study.log import choose_study_log
    from trickbag.train.folder.caller import COMMAND_LINE

    log = choose_search_log(sys.stdout)
    arms = search.arms(result, executor, log=log, caller=COMMAND_LINE)
    study_log = choose_study_log(sys.stdout)
    try:
        findings = compare_recipes(
            arms,
            result.folder,
            executor,
            seeds=seeds,
            log=study_log,
            command=command,
            caller=COMMAND_LINE,
        )
    finally:
        study_log.stop()
    study_page(findings.folder)
    study = read_study(findings.folder)
    for line in aligned(study_rows(study)):
        print_line(line)
    for answer in answers(study):
        print_line(answer)


def write_page(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a search, with the policy that it found on images of its data."""
    from trickbag.report import search_page
    from trickbag.report.search.images import policy_images

    return search_page(folder, out, policy_images(folder))


def search_from(args: argparse.Namespace) -> Search:
    """Return the search that the arguments describe."""
    from typing import Annotated

    from trickbag.cli.options import optional
    from trickbag.durations import parse_time
    from trickbag.errors import UserError, choices
    from trickbag.parsing import parse
    from trickbag.ranges import MAX_EPOCHS, Seed
    from trickbag.search.record import MAX_TRIALS
    from trickbag.study.limits import MAX_RETRIES

    if args.kind not in KINDS:
        raise UserError(f"no search {args.kind!r}", f"it must be one of {choices(KINDS)}")
    if (args.budget is None) == (args.trials is None):
        raise UserError(
            f"search {args.kind} ends after a time or a number of trials",
            "give one of --budget 1h and --trials 100",
        )
    settings: dict[str, Any] = {}
    if args.budget is not None:
        settings["budget_s"] = parse_time(args.budget, "--budget")
    if args.trials is not None:
        settings["trials"] = count_from(args.trials, "--trials", MAX_TRIALS)
    if args.folds is not None:
        settings["folds"] = count_from(args.folds, "--folds", 100, least=2)
    if args.trial_epochs is not None:
        settings["epochs"] = count_from(args.trial_epochs, "--trial-epochs", MAX_EPOCHS)
    if args.retries is not None:
        settings["retries"] = count_from(args.retries, "--retries", MAX_RETRIES, least=0)
    settings["seed"] = optional(Annotated[int, Seed], args.seed, "--seed") or 0
    recipe = recipe_from(args)
    if args.kind == "autoaugment":
        from trickbag.search.autoaugment.controllers import ControllerName
        from trickbag.search.autoaugment.search import AutoAugmentSearch

        if args.controller is not None:
            settings["controller"] = parse(ControllerName, args.controller, "--controller")
        return AutoAugmentSearch(recipe=recipe, **settings)
    from trickbag.search.scaling.search import ScalingSearch

    if args.controller is not None:
        raise UserError("--controller is for search autoaugment: scaling goes through a grid")
    return ScalingSearch(recipe=recipe, **settings)
