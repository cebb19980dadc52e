"""The driver of a study: one call that hands out trials and stores what comes back.

It alone writes the study's folder, and can be killed at any time.
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.errors import Note, Stopped
from trickbag.study.analysis.looks import Look, judgement, settled_at, unfinished, with_look
from trickbag.study.findings import Findings
from trickbag.study.kept_weights import TrialWeights, kept_trials
from trickbag.study.outcome_evaluations import evaluation_lines, with_differences
from trickbag.study.prepare import stop_before_trials
from trickbag.study.records.result import StoredResult
from trickbag.study.shared_images import shared_images
from trickbag.study.task import TrainTrial
from trickbag.study.trial import trial_name
from trickbag.study.tuning.effects import with_tuning_notes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trickbag.data.dataset import Dataset
    from trickbag.study.analysis.effects import Effect
    from trickbag.study.executors import Executor
    from trickbag.study.folder import StudyFolder
    from trickbag.study.log import StudyLog
    from trickbag.study.prepare import PreparedStudy
    from trickbag.study.result_lines import Appender
    from trickbag.study.trial import Trial
    from trickbag.train.folder.caller import Caller
    from trickbag.train.folder.result import Result
    from trickbag.train.machine.signals import StopSignal

__all__ = ["Driver", "tune"]


@dataclass(kw_only=True)
class Driver:
    """Runs the pending trials of a study with an executor.

    A study that goes on until it is settled has a look every `step` seeds. `decoded` is the folder
    of images that trials share, by default that of the study.
    """

    study: PreparedStudy
    folder: StudyFolder
    executor: Executor
    log: StudyLog
    caller: Caller
    stop: StopSignal
    step: int = 1
    decoded: Path | None = None

    def run(self) -> Findings:
        """Run the pending trials; return the findings.

        The effects so far are written whatever stops the run. Raises Stopped after SIGTERM or
        SIGINT.
        """
        self.run_trials()
        return self._finish()

    def run_trials(self) -> None:
        """Run the pending trials and store their results; as `run`."""
        plan, progress = self.study.plan, self.study.progress
        pending = progress.pending(plan.retries)
        untrained = [trial for trial in pending if trial.id not in self.study.trained]
        task = TrainTrial(
            folder=self.folder.trials,
            dataset=self._shared_dataset(untrained),
            evaluations=plan.evaluations,
        )
        stop_before_trials(self.stop, self.caller)
        # What a driver that was killed could not delete any more.
        for note in self._weights.free_finished(progress.finished.keys() - self.study.trained):
            self.log.note(note)
        ids = [trial.id for trial in pending]
        for note in evaluation_lines(ids, progress, self.study.trained):
            self.log.note(note)
        self.log.start(progress, plan.outcome, len(pending))
        for fact in self.study.notes if pending else ():
            if fact.kind == "study":
                self.log.note(f"note: {fact.text}")
        try:
            with self.folder.appending(self.study.kept, self.study.torn) as append:
                for result in self.executor.run(task, pending):
                    self._store(result, append)
        except Stopped as stopped:
            # Before the error is printed: a live table would be drawn over it.
            self.log.stop()
            self.folder.write_effects(self._effects(finished=False)[0])
            left = len(progress.pending(plan.retries))
            raise Stopped(
                f"{stopped}; {progress.completed} trials are finished, {left} are left",
                f"the same {self.caller.call} goes on in {self.folder.path}",
                signal=stopped.signal,
            ) from stopped
        self.log.stop()

    @property
    def next_seeds(self) -> int:
        """How many seeds to add next, of a study that goes on until it is settled; 0 for none."""
        plan = self.study.plan
        if not plan.until_settled or plan.max_seeds is None:
            return 0
        settled = settled_at(self.study.looks, plan.outcome)
        is_open = any(
            effect.status in ("measured", "partly_no_effect")
            and (effect.model, effect.label) not in settled
            for effect in self._effects(finished=False)[0]
        )
        return min(self.step, plan.max_seeds - plan.number_of_seeds) if is_open else 0

    @functools.cached_property
    def _weights(self) -> TrialWeights:
        plan = self.study.plan
        return TrialWeights(
            folder=self.folder.trials,
            keep=plan.weights_kept,
            trials=kept_trials(plan.weights_kept, self.study.progress.trial_plan, plan.design.full),
        )

    def _shared_dataset(self, pending: Sequence[Trial]) -> Dataset | None:
        """Decode the images once for all trials, where that is possible and worth it.

        Return the data set that holds them; None where each process prepares its data set.
        """
        # One trial decodes its images itself; the file would be written to be read once. Each fold
        # has other images to train and to validate.
        if len(pending) < 2 or not self.executor.machine.shares_memory or self.study.plan.folds:
            return None
        return shared_images(
            self.study.dataset,
            [trial.recipe.data for trial in pending],
            self.folder.path,
            self.decoded or self.folder.decoded,
            self.log,
            lambda: stop_before_trials(self.stop, self.caller),
        )

    def _store(self, result: Result, append: Appender) -> None:
        trial = self.study.progress.trial_plan.trials[result.trial]
        stored = StoredResult.of(result, trial)
        finished = stored.status == "finished"
        before = self.study.progress.finished.get(stored.trial)
        if finished and before is not None:
            stored = with_differences(stored, before)
        # Weights that an earlier setting has kept stay.
        if finished and stored.trial not in self.study.trained:
            self._weights.mark(stored)
        # On the disk before anything is deleted: from here on the trial is never lost.
        append(stored)
        self.study.progress.add(stored)
        if finished:
            self._weights.free(stored.trial)
        for note in map(Note.from_dict, stored.notes):
            if note.kind == "damage":
                self.log.note(f"note: {trial_name(vars(stored))}: {note.text}")
        self.log.result(stored)

    def _effects(self, *, finished: bool) -> tuple[list[Effect], Look]:
        """Return the effects so far, and the look that they are."""
        plan, progress = self.study.plan, self.study.progress
        seeds = plan.number_of_seeds
        judged = judgement(
            self.study.looks,
            plan.outcome,
            seeds,
            plan.max_seeds,
            plan.margin,
            stops=plan.until_settled,
            on_folds=plan.folds is not None,
        )
        if not finished:
            judged = unfinished(judged)
        effects = progress.effects(plan.outcome, [self.folder.trials], plan.margin, judged)
        if self.study.tuning is not None and finished:
            effects = with_tuning_notes(effects, self.study.tuning)
        return effects, Look(
            outcome=plan.outcome,
            seeds=seeds,
            level=judged.level,
            margin=plan.margin,
            verdicts={(e.model, e.label): (e.verdict, e.verdict_images) for e in effects},
        )

    def _finish(self) -> Findings:
        # What one shard has is no look: the effects are those of all shards.
        finished = self.study.plan.shard is None
        effects, look = self._effects(finished=finished)
        if finished:
            self.study = dataclasses.replace(self.study, looks=with_look(self.study.looks, look))
        started = self.folder.read_study()
        command = started.command if started is not None else ""
        # Once more, with the reasons of variants that turned out not to apply; and before the
        # effects, so that a look which anybody can have seen is recorded.
        record = self.study.record(command)
        if started is not None:
            # That of before the first trial.
            record = dataclasses.replace(record, registration=started.registration)
        self.folder.write_study(record)
        self.folder.write_effects(effects)
        shutil.rmtree(self.folder.decoded, ignore_errors=True)
        return Findings.of(self.study.progress, effects, self.folder.path)


def tune(
    study: PreparedStudy,
    folder: StudyFolder,
    executor: Executor,
    log: StudyLog,
    caller: Caller,
    stop: StopSignal,
) -> None:
    """Run the trials by which the arms of a study are tuned, which is prepared again afterwards.

    Raises Stopped after SIGTERM or SIGINT.
    """
    log.note("the arms are tuned first; their comparison follows")
    tuning = study.tuning_study()
    Driver(
        study=tuning,
        folder=folder,
        executor=executor,
        log=log,
        caller=caller,
        stop=stop,
        decoded=folder.decoded_for_tuning,
    ).run_trials()
    shutil.rmtree(folder.decoded_for_tuning, ignore_errors=True)
