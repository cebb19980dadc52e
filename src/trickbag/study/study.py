"""Studies: what is compared, and the call that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.paths import given_path
from trickbag.study.driver import Driver, tune
from trickbag.study.folder import StudyFolder
from trickbag.study.log import choose_study_log
from trickbag.study.plan import StudyPlan
from trickbag.study.prepare import prepare_study
from trickbag.train.folder.caller import PYTHON
from trickbag.train.machine.signals import StopSignal

if TYPE_CHECKING:
    from trickbag.study.executors import Executor
    from trickbag.study.findings import Findings
    from trickbag.study.log import StudyLog
    from trickbag.study.prepare import PreparedStudy
    from trickbag.train.folder.caller import Caller

__all__ = ["Study"]


@dataclass(frozen=True, kw_only=True)
class Study(StudyPlan):
    """Recipe x design x networks x seeds: what is compared, and on which outcome.

    `models` are names of networks (none: the recipe's network). Seeds are 0, 1, ... `seeds` - 1;
    None stands for those of the study that a folder holds, and in a new one for 5, or for those for
    which the backbones of a design have runs. `outcome` is a metric of `result.json`, by default
    the task's score (`top1`, `map` where images have several labels, `map50` of detection, `miou`
    of segmentation); or one of `evaluate.extra.EXTRA`, for which the kept weights of each trial are
    evaluated, on at most `outcome_images` images, or on those of the folder `localization`.
    `beside` are outcomes that are measured too. `retries` says how many times a trial that failed
    is tried again. `shard` (i, n) runs the i-th of n parts, in a folder of its own; `merge` joins
    them. Every trial keeps the weights of its last epoch, and all its numbers are of these, unless
    `keep` says `best`. `keep_weights` is none, full or all: the trials that keep their files of
    weights once they have finished; None stands for those of the study that a folder holds, and in
    a new one for full where the design has a variant of the full recipe, else none. `margin` is
    the smallest difference in the outcome that matters: effects that are shown to be smaller are
    `equivalent`. `max_seeds`, fixed before the first trial, lets verdicts be given again after
    `add_seeds`; without it those of the first look stay. With `until_settled` seeds are added,
    `seeds` at a time, until every effect is settled or there are `max_seeds`. With `tuning` every
    arm is first tuned on the same grid, on a part of the training images, and then compared. With
    `folds` the training and validation images are divided into so many folds, `splits` times, and
    effects are about new splits of these data: `seeds`, by default 1, are averaged within each
    fold. Raises UserError for values that cannot be.
    """

    def run(
        self,
        executor: Executor | None = None,
        out: str | Path | None = None,
        *,
        add_seeds: int = 0,
        log: StudyLog | None = None,
        command: str = "",
        caller: Caller = PYTHON,
    ) -> Findings:
        """Run the trials that the folder `out` lacks, and return what the study found.

        The same call goes on where another was stopped or killed: it runs at most the trials again
        that were running, from their checkpoints. More tricks, networks, levels or seeds extend a
        study; `add_seeds` adds to those of a finished one. `out` is by default a folder under
        `runs` named by what is studied; `executor` is `Inline()` by default. `log` shows the
        progress: by default on stderr, as a live table in a terminal or a notebook, else as lines;
        `StudyLog()` shows nothing. `command` is what the report names to do the same again,
        `caller` what messages name that say how to go on.

        Raises UserError for a folder of another study or in use by another driver, and Stopped
        after SIGTERM or SIGINT.
        """
        if executor is None:
            from trickbag.study.executors.inline import Inline

            executor = Inline()
        log = log or choose_study_log()
        folder = StudyFolder(
            given_path(out, caller.out) if out is not None else self.default_folder()
        )
        try:
            with StopSignal() as stop, folder.locked(caller) as note:
                if note is not None:
                    log.note(f"note: {note.text}")
                while True:
                    study = prepare_study(
                        self,
                        folder,
                        executor.machine,
                        add_seeds=add_seeds,
                        log=log,
                        caller=caller,
                        stop=stop,
                    )
                    folder.write_study(study.record(command))
                    if study.is_tuning:
                        tune(study, folder, executor, log, caller, stop)
                        continue
                    driver = Driver(
                        study=study,
                        folder=folder,
                        executor=executor,
                        log=log,
                        caller=caller,
                        stop=stop,
                        step=self.number_of_seeds,
                    )
                    findings = driver.run()
                    add_seeds = driver.next_seeds
                    if not add_seeds:
                        return findings
        finally:
            log.stop()

    def prepare(
        self,
        folder: StudyFolder,
        executor: Executor,
        *,
        add_seeds: int = 0,
        log: StudyLog | None = None,
        caller: Caller = PYTHON,
    ) -> PreparedStudy:
        """Read the data and what the folder holds of this study; nothing is written.

        Raises UserError where the folder holds another study, saying what differs.
        """
        return prepare_study(
            self,
            folder,
            executor.machine,
            add_seeds=add_seeds,
            log=log or choose_study_log(),
            caller=caller,
        )
