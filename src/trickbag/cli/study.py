"""Measure which trick helps: a recipe becomes a study with paired seeds, intervals and costs.

The same command continues a study that was stopped or killed. Stopped by Ctrl-C or SIGTERM, it
exits with 75. Several folders of one study (see --shard) in the place of RECIPE are merged into
--out.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from trickbag.cli.recipe_options import add_recipe_options, recipe_from
from trickbag.metrics.metric import EVALUATED, MEASURED_APART, PREFIXES

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from trickbag.study.designs.design import Design
    from trickbag.study.executors import Executor
    from trickbag.study.findings import Findings
    from trickbag.study.prepare import PreparedStudy
    from trickbag.study.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_recipe_options(
        parser, alternative="folders of the shards of one study, to merge into --out"
    )
    _add_study_options(parser.add_argument_group("what is studied"))
    _add_execution_options(parser.add_argument_group("how it runs"))


def _add_study_options(group: argparse._ArgumentGroup) -> None:
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
        "--levels",
        metavar="TRICK.FIELD=V,V...",
        action="append",
        default=[],
        help="study settings of a trick too",
    )
    group.add_argument(
        "--resolution", metavar="3|4|5", help="a fraction of a factorial, with this resolution"
    )
    group.add_argument("--seeds", metavar="N", help="default: 5")
    group.add_argument("--add-seeds", metavar="N", help="add seeds to a finished study")
    group.add_argument(
        "--budget", metavar="TIME", help="choose as many seeds as fit, such as 2h or 90min"
    )
    group.add_argument(
        "--outcome",
        metavar="METRIC[,METRIC]",
        help=f"what is compared (default: top1, or map where images have several labels): "
        f"{', '.join(EVALUATED)}; of these also {', '.join(f'{p}NAME' for p in PREFIXES)}; "
        f"another metric of result.json; or {', '.join(MEASURED_APART)}, for which the weights of "
        "each trial are evaluated. More names are measured in each trial too",
    )
    group.add_argument(
        "--outcome-images",
        metavar="N",
        help="the most images of these evaluations (default: the whole validation part)",
    )
    group.add_argument(
        "--localization", metavar="DIR", help="a folder of images with boxes, for max_box_acc"
    )


def _add_execution_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--executor", metavar="local|ray", help="default: local, worker processes of this machine"
    )
    group.add_argument(
        "--workers",
        metavar="N",
        help="trials at a time (default: one a GPU, or as many as have cores for their threads; "
        "on Ray as many as fit)",
    )
    group.add_argument(
        "--address",
        metavar="A",
        help="of a Ray cluster: auto or HOST (default: a Ray of this machine)",
    )
    group.add_argument("--cpus", metavar="N", help="cores of a trial on Ray (default: 1)")
    group.add_argument(
        "--gpus",
        metavar="N",
        help="devices of a trial on Ray, a fraction shares one (default: 1, if any)",
    )
    group.add_argument(
        "--devices", metavar="N", help="train each trial on N devices together, on Ray (default: 1)"
    )
    group.add_argument(
        "--retries", metavar="N", help="how often a trial that failed is tried again (default: 2)"
    )
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


def run(args: argparse.Namespace) -> int:
    """Run the study; return 0, or 1 if trials failed for want of which an effect is missing."""
    import dataclasses
    import shlex
    import sys
    from pathlib import Path
    from typing import Annotated

    from trickbag.cli.options import optional
    from trickbag.errors import UserError
    from trickbag.ranges import AtLeast
    from trickbag.study.durations import about, parse_time
    from trickbag.study.folder import StudyFolder
    from trickbag.study.forecast import seeds_within
    from trickbag.study.limits import MAX_SEEDS
    from trickbag.study.log import choose_study_log
    from trickbag.train.folder.caller import COMMAND_LINE

    if len(args.recipe) > 1:
        return _merge(args)
    if args.seeds is not None and args.budget is not None:
        raise UserError("--seeds and --budget both choose the number of seeds; give one of them")
    add_seeds = 0 if args.add_seeds is None else _count(args.add_seeds, "--add-seeds", MAX_SEEDS)
    budget_s = None if args.budget is None else parse_time(args.budget, "--budget")
    sd = optional(Annotated[float, AtLeast(0, 1e9)], args.sd, "--sd")
    study = _study(args)
    executor = _executor(args)
    out = Path(args.out) if args.out is not None else study.default_folder()
    folder = StudyFolder(out)
    log = choose_study_log(sys.stdout)
    try:
        if budget_s is not None and not folder.holds_study:
            single = dataclasses.replace(study, seeds=1)
            prepared = single.prepare(folder, executor, log=log, caller=COMMAND_LINE)
            study = dataclasses.replace(study, seeds=seeds_within(budget_s, prepared, executor))
            log.note(f"the budget of {about(budget_s)} allows {study.seeds} seeds of every trial")
        if args.dry_run:
            prepared = study.prepare(
                folder, executor, add_seeds=add_seeds, log=log, caller=COMMAND_LINE
            )
            return _dry_run(prepared, executor, sd, out)
        # Called from Python, `sys.argv` is not the command.
        command = shlex.join(["trickbag", *sys.argv[1:]]) if sys.argv[1:2] == ["study"] else ""
        with _started(executor, out, add_seeds) as executor:
            findings = study.run(
                executor,
                out,
                add_seeds=add_seeds,
                log=log,
                command=command,
                caller=COMMAND_LINE,
            )
    finally:
        log.stop()
    _conclude(findings.folder)
    return _warn_of_failures(findings, sharded=study.shard is not None)


def _warn_of_failures(findings: Findings, *, sharded: bool) -> int:
    """Name a trial that failed, if one did; return the exit code.

    It is 1 if an effect cannot be given for want of trials. What a shard lacks is known only when
    all are merged: it is 1 there if any trial failed.
    """
    from trickbag.cli.terminal import name_some, warn
    from trickbag.study.trial import trial_name

    failed = [row for row in findings.results if row["error"] is not None]
    if not failed:
        return 0
    first = failed[0]
    missing = [] if sharded else findings.missing
    left_open = f"; too few are left for the effects of {name_some(missing)}" if missing else ""
    warn(
        "study",
        f"{len(failed)} trials failed, such as {trial_name(first)}: {first['error']}{left_open}; "
        "the same command tries them again",
    )
    return 1 if sharded or missing or len(failed) == len(findings.results) else 0


def _conclude(folder: Path) -> None:
    """Write the page; print the effects and the answer."""
    from trickbag.cli.terminal import aligned, print_line, stopped_at_report
    from trickbag.report import answers, read_study, study_page, study_rows

    with stopped_at_report(folder, "study"):
        page = study_page(folder)
    study = read_study(folder)
    for line in aligned(study_rows(study)):
        print_line(line)
    for answer in answers(study):
        print_line(answer)
    print_line(f"report: {page}")


def _dry_run(study: PreparedStudy, executor: Executor, sd: float | None, out: Path) -> int:
    """Print the trials, their time and disk, and the smallest effect that the study can show."""
    from trickbag.cli.terminal import aligned, print_line, warn
    from trickbag.study.disk import disk_use
    from trickbag.study.dry_run import disk_lines, disk_warning, forecast_lines, trial_rows
    from trickbag.study.forecast import forecast

    expected = forecast(study, executor, sd)
    disk = disk_use(study, executor.machine, out)
    rows = aligned(trial_rows(study, expected.pending))
    notes = (f"note: {note.text}" for note in study.notes)
    for line in (*rows, *notes, *disk_lines(disk), *forecast_lines(study, expected)):
        print_line(line)
    if (warning := disk_warning(disk)) is not None:
        warn("study", warning)
    return 0


def _merge(args: argparse.Namespace) -> int:
    """Merge the folders of shards into --out."""
    from pathlib import Path

    from trickbag.errors import UserError
    from trickbag.study.merge import merge
    from trickbag.train.folder.caller import COMMAND_LINE

    if args.out is None:
        raise UserError("several folders are merged into a new one: name it with --out DIR")
    folders = [Path(folder) for folder in args.recipe]
    _conclude(merge(folders, Path(args.out), caller=COMMAND_LINE).folder)
    return 0


def _study(args: argparse.Namespace) -> Study:
    """Return the study that the arguments describe."""
    from trickbag.errors import UserError
    from trickbag.parsing import parse
    from trickbag.study.kept_weights import KeepWeights
    from trickbag.study.limits import MAX_RETRIES, MAX_SEEDS
    from trickbag.study.study import Study

    design = _design(args)
    settings: dict[str, Any] = {}
    if args.seeds is not None:
        settings["seeds"] = _count(args.seeds, "--seeds", MAX_SEEDS)
    if args.retries is not None:
        settings["retries"] = _count(args.retries, "--retries", MAX_RETRIES, least=0)
    if args.keep_weights is not None:
        settings["keep_weights"] = parse(KeepWeights, args.keep_weights, "--keep-weights")
    if args.models is not None:
        settings["models"] = _names(args.models, "--models")
    if args.shard is not None:
        shard = re.fullmatch(r"(\d{1,9})/(\d{1,9})", args.shard)
        if shard is None or not 1 <= int(shard[1]) <= int(shard[2]):
            raise UserError(f"--shard {args.shard!r}: must be I/N with I from 1 to N, such as 1/4")
        settings["shard"] = (int(shard[1]), int(shard[2]))
    settings |= _outcomes(args)
    recipe = recipe_from(args)
    # What the recipe says is overruled in a study; what the command says is not.
    if any(text.partition("=")[0].strip() == "training.keep" for text in args.set or ()):
        settings["keep"] = recipe.training.keep
    return Study(recipe=recipe, design=design, **settings)


def _design(args: argparse.Namespace) -> Design:
    """Return the design that the arguments describe."""
    from typing import Literal

    from trickbag.errors import UserError, choices
    from trickbag.parsing import parse
    from trickbag.study.designs.named import DESIGNS

    kind = args.design or "leave-one-out"
    if kind not in DESIGNS:
        raise UserError(f"--design {kind!r}: must be one of {choices(DESIGNS)}")
    fields: dict[str, Any] = {}
    if args.tricks is not None:
        fields["tricks"] = _names(args.tricks, "--tricks")
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


def _outcomes(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of what is measured in each trial."""
    from trickbag.evaluate.extra import MAX_IMAGES

    settings: dict[str, Any] = {"localization": args.localization}
    if args.outcome is not None:
        outcome, *beside = _names(args.outcome, "--outcome")
        settings |= {"outcome": outcome, "beside": tuple(beside)}
    if args.outcome_images is not None:
        settings["outcome_images"] = _count(args.outcome_images, "--outcome-images", MAX_IMAGES)
    return settings


def _executor(args: argparse.Namespace) -> Executor:
    """Return the executor that the arguments describe."""
    from typing import Annotated

    from trickbag.cli.options import optional
    from trickbag.errors import UserError
    from trickbag.ranges import Above, AtLeast
    from trickbag.study.limits import MAX_PROCESSES, MAX_RETRIES

    workers = None if args.workers is None else _count(args.workers, "--workers", MAX_PROCESSES)
    if workers is None and args.device == "mps":
        workers = 1  # a Mac has one GPU
    retries = 2 if args.retries is None else _count(args.retries, "--retries", MAX_RETRIES, least=0)
    if args.executor in (None, "local"):
        for option in ("address", "cpus", "gpus", "devices"):
            if getattr(args, option) is not None:
                raise UserError(f"--{option} is for --executor ray")
        from trickbag.study.executors.local import Local

        return Local(workers=workers, retries=retries)
    if args.executor != "ray":
        raise UserError(f"--executor {args.executor!r}: must be one of local, ray")
    from trickbag.study.executors.ray import Ray

    return Ray(
        address=args.address,
        workers=workers,
        cpus=optional(Annotated[float, Above(0, MAX_PROCESSES)], args.cpus, "--cpus") or 1.0,
        gpus=optional(Annotated[float, AtLeast(0, MAX_PROCESSES)], args.gpus, "--gpus"),
        devices=1 if args.devices is None else _count(args.devices, "--devices", MAX_PROCESSES),
        retries=retries,
    )


def _started(executor: Executor, out: Path, add_seeds: int) -> AbstractContextManager[Executor]:
    """Start worker processes of this machine while the driver reads the data.

    They are not started if the study seems finished. Whether the arguments add trials to it is
    known only when the data have been read; the processes are then started as they are needed.
    """
    import contextlib

    from trickbag.errors import UserError
    from trickbag.report import read_study
    from trickbag.study.executors.local import Local
    from trickbag.study.task import warm_up

    if not isinstance(executor, Local):
        return contextlib.nullcontext(executor)
    # There may be no study yet, or a damaged one, which the run itself reports.
    with contextlib.suppress(UserError):
        if not add_seeds and read_study(out).counts.keys() <= {"finished"}:
            return contextlib.nullcontext(executor)
    return executor.started(warm_up)


def _names(text: str, option: str) -> tuple[str, ...]:
    from trickbag.errors import UserError

    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UserError(f"{option} {text!r}: must be names with commas between them")
    return names


def _count(text: str, option: str, most: int, least: int = 1) -> int:
    from typing import Annotated

    from trickbag.parsing import parse
    from trickbag.ranges import AtLeast

    return int(parse(Annotated[int, AtLeast(least, most)], text, option))
