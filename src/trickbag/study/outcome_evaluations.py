"""What a person should know of outcomes for which a study evaluates the weights of its trials."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from trickbag.errors import Note
from trickbag.evaluate.extra import EXTRA
from trickbag.metrics.metric import EVALUATED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from trickbag.data.dataset import Dataset
    from trickbag.study.plan import StudyPlan
    from trickbag.study.progress import StudyProgress
    from trickbag.study.records.result import StoredResult

__all__ = ["evaluation_lines", "evaluation_notes", "with_differences"]


def evaluation_notes(plan: StudyPlan, dataset: Dataset) -> list[Note]:
    """Say of how many images the outcomes are that the runs do not have themselves."""
    notes = []
    for name, settings in plan.evaluations.items():
        measured = [outcome for outcome in plan.outcomes if outcome in EXTRA[name].metrics]
        if settings.directory is not None:
            most = "" if settings.limit is None else f"at most {settings.limit:,} "
            images = f"{most}images of {settings.directory}"
        else:
            number = min(settings.limit or len(dataset.val), len(dataset.val))
            images = f"{number:,} of {len(dataset.val):,} validation images, seed {settings.seed}"
        reason = f"{' and '.join(measured)}: {EXTRA[name].description}, on {images}"
        notes.append(Note("study", None, reason))
    return notes


def evaluation_lines(
    pending: Iterable[str], progress: StudyProgress, trained: Collection[str]
) -> list[str]:
    """Say how many finished trials are evaluated from their weights, and how many train anew.

    `pending` are the ids of the trials to be run, of which the weights of the `trained` are there.
    """
    again = [trial for trial in pending if trial in progress.finished]
    names = " and ".join(progress.evaluations)
    anew = sum(trial not in trained for trial in again)
    lines = []
    if evaluated := len(again) - anew:
        verb = "trial is" if evaluated == 1 else "trials are"
        lines.append(
            f"{evaluated} finished {verb} evaluated ({names}) from the weights, without training"
        )
    if anew:
        verb, whose = ("trial is", "its") if anew == 1 else ("trials are", "their")
        lines.append(
            f"{anew} finished {verb} trained anew, to be evaluated ({names}): {whose} weights are "
            "deleted (--keep-weights all keeps those of the trials to come)"
        )
    return lines


def with_differences(result: StoredResult, before: StoredResult) -> StoredResult:
    """Add a note to the result of a trial that trained anew and came to other numbers.

    The study keeps those of the first training, and has the new evaluations beside them.
    """
    changed = [
        f"{name} {result.metrics[name]:.6g}, not {before.metrics[name]:.6g}"
        for name in EVALUATED
        if None not in (result.metrics.get(name), before.metrics.get(name))
        and result.metrics[name] != before.metrics[name]
    ]
    if not changed:
        return result
    reason = f"trained anew it has {'; '.join(changed)}: on another machine, or with other versions"
    note = Note("weights", None, f"{reason}; the evaluations are of the new weights")
    return dataclasses.replace(result, notes=[*result.notes, note.to_dict()])
