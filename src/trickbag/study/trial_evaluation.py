"""Evaluations of a trial's kept weights, for outcomes that its run does not have itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from torch import distributed

from trickbag.errors import Note, Stopped
from trickbag.evaluate.extra import EXTRA
from trickbag.evaluate.trained import Trained
from trickbag.study.records.result import StoredResult, TrialEvaluation
from trickbag.train.machine.isolation import isolated
from trickbag.train.machine.signals import StopSignal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trickbag.study.records.result import Evaluations
    from trickbag.study.trial import Trial
    from trickbag.train.folder.result import Result

__all__ = ["evaluate_trial", "is_main_process"]


def is_main_process() -> bool:
    """Tell whether this process alone, or the first of those that train together, is here."""
    together = distributed.is_available() and distributed.is_initialized()
    return not together or distributed.get_rank() == 0


def evaluate_trial(
    trial: Trial, result: Result, folder: Path, evaluations: Evaluations, notes: Sequence[Note] = ()
) -> StoredResult:
    """Evaluate the kept weights in the folder of a trial; return its result with the metrics.

    Each evaluation leaves its record in the folder. `notes` are added to those of the result, as
    are those of the evaluations. Raises Stopped after SIGTERM or SIGINT, and what an evaluation
    raises: the trial stays finished, and the next call evaluates it.
    """
    with StopSignal() as stop:
        try:
            # An evaluation has nothing to save, and can take minutes.
            with stop.interrupting():
                return _evaluate(trial, result, folder, evaluations, notes)
        except KeyboardInterrupt:
            if not stop.name:
                raise
            raise Stopped(
                f"stopped by {stop.name} while the trained weights were evaluated", signal=stop.name
            ) from None


def _evaluate(
    trial: Trial, result: Result, folder: Path, evaluations: Evaluations, notes: Sequence[Note]
) -> StoredResult:
    training = trial.recipe.training
    trained = Trained.load(folder, training.device)
    metrics, facts = dict(result.metrics), list(notes)
    done: dict[str, TrialEvaluation] = {}
    threads = training.threads or 1
    with isolated(threads if trained.plan is None else trained.plan.threads, trained.device.type):
        for name, settings in evaluations.items():
            started = time.perf_counter()
            record = EXTRA[name](trained, settings)
            record.write(folder)
            metrics |= {metric: record.metrics.get(metric) for metric in EXTRA[name].metrics}
            facts += record.notes
            done[name] = TrialEvaluation(
                settings=settings,
                images=record.images,
                seconds=time.perf_counter() - started,
            )
    named = StoredResult.of(result, trial)
    stored = [*named.notes, *(note.to_dict() for note in facts)]
    values = {"metrics": metrics, "evaluations": done, "notes": stored}
    return StoredResult(**(vars(named) | values))
