"""Measure which trick helps: a recipe becomes a study with paired seeds, intervals and costs.

The same command continues a study that was stopped or killed. Stopped by Ctrl-C or SIGTERM, it
exits with 75. Several folders of one study (see --shard) in the place of RECIPE are merged into
--out.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trickbag.cli.executor_options import count_from, executor_from
from trickbag.cli.recipe_options import add_recipe_options
from trickbag.cli.study_designs import arm_notes
from trickbag.cli.study_options import add_execution_options, add_study_options, study_from

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from trickbag.study.executors import Executor
    from trickbag.study.findings import Findings
    from trickbag.study.prepare import PreparedStudy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_recipe_options(
        parser, alternative="folders of the shards of one study, to merge into --out"
    )
    add_study_options(parser.add_argument_group("what is studied"))
    add_execution_options(parser.add_argument_group("how it runs"))


def run(args: argparse.Namespace) -> int:
    """Run the study; return 0, or 1 if trials failed for want of which an effect is missing."""
    import dataclasses
    import shlex
    import sys
    from pathlib import Path
    from typing import Annotated

    from trickbag.cli.options import optional
    from trickbag.durations import about, parse_time
    from trickbag.errors import UserError
    from trickbag.ranges import AtLeast
    from trickbag.study.folder import StudyFolder
    from trickbag.study.forecast import forecast, seeds_within
    from trickbag.study.limits import MAX_SEEDS
    from trickbag.study.log import choose_study_log
    from trickbag.train.folder.caller import COMMAND_LINE

    if len(args.recipe) > 1:
        return _merge(args)
    if args.seeds is not None and args.budget is not None:
        raise UserError("--seeds and --budget both choose the number of seeds; give one of them")
    if args.until_settled and args.add_seeds is not None:
        raise UserError("--until-settled adds seeds by itself: leave --add-seeds out")
    add_seeds = (
        0 if args.add_seeds is None else count_from(args.add_seeds, "--add-seeds", MAX_SEEDS)
    )
    budget_s = None if args.budget is None else parse_time(args.budget, "--budget")
    sd = optional(Annotated[float, AtLeast(0, 1e9)], args.sd, "--sd")
    study = study_from(args)
    executor = executor_from(args)
    out = Path(args.out) if args.out is not None else study.default_folder()
    folder = StudyFolder(out)
    log = choose_study_log(sys.stdout)
    try:
        for text in arm_notes(args):
            log.note(f"note: {text}")
        if budget_s is not None and not folder.holds_study:
            single = dataclasses.replace(study, seeds=1)
            prepared = single.prepare(folder, executor, log=log, caller=COMMAND_LINE)
            expected = forecast(prepared, executor)
            seeds = seeds_within(budget_s, prepared, executor, expected)
            most = study.design.most_seeds or seeds
            most = min(most, study.max_seeds or most)
            study = dataclasses.replace(study, seeds=min(seeds, most))
            log.note(f"the budget of {about(budget_s)} allows {study.seeds} seeds of every trial")
            if expected.load_text:
                log.note(f"note: {expected.load_text}")
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
    registration = study.record().registration
    registered = [f"design: {registration.hash}"] if registration is not None else []
    lines = (*rows, *notes, *disk_lines(disk), *forecast_lines(study, expected), *registered)
    for line in lines:
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
