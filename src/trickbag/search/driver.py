"""The driver of a search: batches of suggestions, their trials, and what the controller is told.

It alone writes the search's folder, and can be killed at any time: the next call tells a new
controller the stored rewards, and goes on where this one was.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from trickbag.durations import about
from trickbag.errors import RunFailed, Stopped
from trickbag.files import write_json
from trickbag.search.budget import trials_within
from trickbag.search.objective import SearchCandidate, ranked
from trickbag.search.record import MAX_TRIALS
from trickbag.study.kept_weights import TrialWeights, has_weights
from trickbag.study.prepare import stop_before_trials
from trickbag.study.records.result import StoredResult
from trickbag.study.result_lines import appending
from trickbag.study.shared_images import shared_images
from trickbag.study.task import TrainTrial

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.search.budget import Budget
    from trickbag.search.folder import SearchFolder
    from trickbag.search.log import SearchLog
    from trickbag.search.objective import Objective
    from trickbag.search.record import SearchRecord
    from trickbag.study.executors import Executor, Task
    from trickbag.study.result_lines import Appender
    from trickbag.study.trial import Trial
    from trickbag.train.folder.caller import Caller
    from trickbag.train.folder.result import Result
    from trickbag.train.machine.signals import StopSignal

__all__ = ["SearchDriver"]

Suggestion = TypeVar("Suggestion")

_MOST_OLD = 20
"""So many batches in a row without a new trial end a search: no time would."""


@dataclass(kw_only=True)
class SearchDriver(Generic[Suggestion]):
    """Tries suggestions until their number or the time is reached.

    `dataset` are the data of every trial, None where trials differ in them. `kept` are the results
    so far; `torn` tells whether a torn line was left out. `retries` says how many times a trial
    that failed is tried again. `trial_s` is what a trial is thought to take, until some have run.
    """

    objective: Objective[Suggestion]
    record: SearchRecord
    folder: SearchFolder
    executor: Executor
    budget: Budget
    dataset: Dataset | None
    kept: Sequence[StoredResult]
    torn: bool
    retries: int
    log: SearchLog
    caller: Caller
    stop: StopSignal
    trial_s: float
    _results: dict[str, list[StoredResult]] = field(default_factory=dict, init=False)
    _candidates: list[SearchCandidate[Suggestion]] = field(default_factory=list, init=False)
    _decoded: Dataset | None = field(default=None, init=False)
    _ran: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._trial_s = self.trial_s
        # The record is written again while the search runs, and then has not ended.
        self._ended_at = self.record.trials

    def run(self) -> list[SearchCandidate[Suggestion]]:
        """Prepare and try; return all candidates.

        The best so far is on the disk after every batch, and the time with it. Raises Stopped after
        SIGTERM or SIGINT, and RunFailed where nothing could be tried.
        """
        for result in self.kept:
            self._results.setdefault(result.trial, []).append(result)
        try:
            with appending(self.folder.results, self.kept, self.torn) as append:
                self._prepare(append)
                self.log.start(self.objective.reward, self.record.planned)
                self._search(append)
        except Stopped as stopped:
            # Before the error is printed: a live table would be drawn over it.
            self.log.stop()
            self._write_record()
            raise Stopped(
                f"{stopped}; {len(self._candidates)} of about {self.record.planned} suggestions "
                "are tried",
                f"the same {self.caller.call} goes on in {self.folder.path}",
                signal=stopped.signal,
            ) from stopped
        self.log.stop()
        if not ranked(self._candidates):
            self._write_record()
            raise self._nothing_found()
        self.objective.finish(self.folder, self._candidates)
        self._write_record(len(self._candidates))
        shutil.rmtree(self.folder.decoded, ignore_errors=True)
        return self._candidates

    def _write_record(self, trials: int | None = None) -> None:
        """Write how far the search has come; a call that ran no trial has taken no time of it."""
        spent_s = self.budget.spent_s if self._ran else self.budget.before_s
        self.record = self.record.after(spent_s, self._trial_s, trials)
        self.folder.write_search(self.record)

    def _prepare(self, append: Appender) -> None:
        trials = self.objective.preparation
        pending = [
            trial
            for trial in trials
            # The weights are what the preparation is for.
            if self._is_open(trial) or not has_weights(self.folder.trials / trial.id)
        ]
        done = len(trials) - len(pending)
        for trial in self._run(TrainTrial(folder=self.folder.trials), pending, append):
            done += 1
            self.log.prepared(trial, done, len(trials))
        for trial in trials:
            if self._finished(trial) is None:
                error = self._results[trial.id][-1].error
                raise RunFailed(
                    f"{trial.label} failed, which the search needs: {error}",
                    f"the same {self.caller.call} tries it again",
                )

    def _search(self, append: Appender) -> None:
        controller = self.objective.controller()
        seen: set[str] = set()
        old = 0
        while (first := len(self._candidates)) < self._most and old < _MOST_OLD:
            suggestions = controller.suggest()[: self._most - first]
            trials = [self.objective.trial(first + i, s) for i, s in enumerate(suggestions)]
            old = 0 if any(trial.id not in seen for trial in trials) else old + 1
            seen.update(trial.id for trial in trials)
            pending = list({trial.id: trial for trial in trials if self._is_open(trial)}.values())
            pending = pending[: self._room(len(pending))]
            judged = self._judge(suggestions, trials, pending, append)
            self._write_record()
            if judged < len(suggestions):
                return
            controller.tell([c.reward for c in self._candidates[first:]])
        if old:
            self.log.note(f"note: the search ends: {old} times in a row nothing new was suggested")

    def _write_candidates(self) -> None:
        rows = [
            {
                "number": candidate.number,
                "label": candidate.trial.label,
                "trial": candidate.trial.id,
                "reward": candidate.reward,
                **self.objective.describe(candidate.suggestion),
            }
            for candidate in self._candidates
        ]
        write_json(self.folder.candidates, {"reward": self.objective.reward, "candidates": rows})
        if ranked(self._candidates):
            self.objective.write_best(self.folder, self._candidates)

    @property
    def _most(self) -> int:
        """The number of suggestions after which the search ends, whatever time is left."""
        limits = [self.objective.most, self._ended_at]
        if self.budget.limit_s is None:
            limits.append(self.record.planned)
        given = [limit for limit in limits if limit is not None]
        return min(given, default=MAX_TRIALS)

    def _room(self, pending: int) -> int:
        """Return how many of so many trials fit into the time that is left.

        The first trial of a search is run in any case: its time was asked for.
        """
        if self.budget.limit_s is None:
            return pending
        workers = self.executor.machine.workers
        fit = trials_within(self.budget.left_s, self._trial_s, workers)
        return min(pending, max(fit, 0 if self._candidates else 1))

    def _judge(
        self,
        suggestions: Sequence[Suggestion],
        trials: Sequence[Trial],
        pending: Sequence[Trial],
        append: Appender,
    ) -> int:
        """Run the pending trials of a batch; return how many of its suggestions are judged.

        They are the first ones: those behind one that is open are left to the next call.
        """
        first = len(self._candidates)
        self._accept(suggestions, trials, first)
        task = self.objective.task(self.folder.trials, self._shared(pending))
        while pending := [trial for trial in pending if self._is_open(trial)]:
            with contextlib.closing(self._run(task, pending, append)) as run:
                for _ in run:
                    self._accept(suggestions, trials, first)
                    # Trials can take longer than they were thought to.
                    if not self.budget.left_s:
                        return len(self._candidates) - first
        return len(self._candidates) - first

    def _accept(
        self, suggestions: Sequence[Suggestion], trials: Sequence[Trial], first: int
    ) -> None:
        """Make candidates of the suggestions of a batch that are judged, in their order."""
        before = len(self._candidates)
        for place in range(before - first, len(trials)):
            trial = trials[place]
            if self._is_open(trial):
                break
            finished = self._finished(trial)
            self._candidates.append(
                SearchCandidate(
                    number=first + place,
                    suggestion=suggestions[place],
                    trial=trial,
                    reward=None if finished is None else self.objective.reward_of(finished),
                )
            )
        if new := len(self._candidates) - before:
            self._write_candidates()
            left_s = self.budget.left_s
            if self.budget.limit_s is None:
                workers = self.executor.machine.workers
                left_s = (self._most - len(self._candidates)) * self._trial_s / workers
            self.log.tried(self._candidates, new, left_s)

    def _run(self, task: Task, trials: Sequence[Trial], append: Appender) -> Generator[Trial]:
        """Run trials, and store each result; yields the trials as they end."""
        by_id = {trial.id: trial for trial in trials}
        started = self.budget.now()
        for done, result in enumerate(self.executor.run(task, trials), 1):
            trial = by_id[result.trial]
            self._store(result, trial, append)
            workers = min(self.executor.machine.workers, len(trials))
            if trial not in self.objective.preparation:
                # By the last trials alone: controllers can come to like what is slow, or fast.
                self._trial_s = (self.budget.now() - started) * workers / done
            yield trial

    def _store(self, result: Result, trial: Trial, append: Appender) -> None:
        stored = StoredResult.of(result, trial)
        finished = stored.status == "finished"
        if finished:
            self._weights.mark(stored)
        # On the disk before anything is deleted: from here on the trial is never lost.
        append(stored)
        self._results.setdefault(stored.trial, []).append(stored)
        self._ran = True
        if finished:
            self._weights.free(stored.trial)
        elif stored.error is not None:
            self.log.note(f"{trial.label}: {stored.error}")

    @functools.cached_property
    def _weights(self) -> TrialWeights:
        kept = frozenset(trial.id for trial in self.objective.preparation)
        return TrialWeights(folder=self.folder.trials, keep="none", trials=kept)

    def _shared(self, pending: Sequence[Trial]) -> Dataset | None:
        """Return the data set of all trials with its images decoded, where that is worth it."""
        if self.dataset is None or not pending or not self.executor.machine.shares_memory:
            return None
        if self._decoded is None:
            self._decoded = shared_images(
                self.dataset,
                [trial.recipe.data for trial in pending],
                self.folder.path,
                self.folder.decoded,
                self.log,
                self._checked,
            )
        return self._decoded

    def _checked(self) -> None:
        stop_before_trials(self.stop, self.caller)

    def _finished(self, trial: Trial) -> StoredResult | None:
        results = self._results.get(trial.id, ())
        return next((result for result in results if result.status == "finished"), None)

    def _is_open(self, trial: Trial) -> bool:
        """Whether a trial is still to be run: it did not finish, nor fail too often."""
        results = self._results.get(trial.id, [])
        ended = any(result.status in ("finished", "does_not_apply") for result in results)
        return not ended and len(results) <= self.retries

    def _nothing_found(self) -> RunFailed:
        errors = [row.error for rows in self._results.values() for row in rows if row.error]
        if not errors:
            return RunFailed(
                f"no suggestion was tried in {about(self.budget.spent_s)}", "give more time"
            )
        return RunFailed(
            f"all {len(self._candidates)} trials failed, the last one: {errors[-1]}",
            f"the same {self.caller.call} tries them again with more --retries",
        )
