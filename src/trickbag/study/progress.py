"""How far a study has come: the results of its trials, and the effects that follow from them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

from trickbag.errors import Note
from trickbag.study.analysis.chance import chance_notes
from trickbag.study.analysis.effects import effects
from trickbag.study.analysis.looks import Judgement
from trickbag.study.image_scores import scores_by_image
from trickbag.study.records.study import LayoutRecord, VariantRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trickbag.study.analysis.chance import ConstantAnswers
    from trickbag.study.analysis.effects import Effect
    from trickbag.study.analysis.outcomes import Metrics
    from trickbag.study.designs.layout import Layout, Variant
    from trickbag.study.records.result import Evaluations, StoredResult
    from trickbag.study.trial import Trial
    from trickbag.study.trial_plan import TrialPlan
    from trickbag.study.units import Unit

__all__ = ["StudyProgress"]


class StudyProgress:
    """The results of a study so far.

    Each trial counts once, whatever the order in which its results came: `finished` has the first
    that finished, with the evaluations of later ones, `failed` the last that did not, `failures`
    counts the latter; all by trial id. `answers` are the constant answers of the parts that are
    evaluated, where they are known. `evaluations` are those that each trial is to have.
    """

    def __init__(
        self,
        trial_plan: TrialPlan,
        results: Sequence[StoredResult],
        answers: ConstantAnswers | None = None,
        evaluations: Evaluations | None = None,
    ) -> None:
        self.trial_plan = trial_plan
        self.answers: ConstantAnswers = answers or {}
        self.evaluations: Evaluations = evaluations or {}
        self.finished: dict[str, StoredResult] = {}
        self.failed: dict[str, StoredResult] = {}
        self.failures: Counter[str] = Counter()
        for result in results:
            self.add(result)

    def add(self, result: StoredResult) -> None:
        """Take in one result."""
        if result.status == "finished":
            # Two shards, or two drivers of which one was killed, may have run the same trial; or it
            # has finished before, and was evaluated for another outcome.
            before = self.finished.get(result.trial)
            self.finished[result.trial] = result if before is None else before.joined(result)
        else:
            self.failures[result.trial] += 1
            self.failed[result.trial] = result

    def pending(self, retries: int) -> list[Trial]:
        """Return the trials to run, in order.

        They have not finished or lack an evaluation, their variant applies, and they failed at most
        `retries` times.
        """
        return [
            trial
            for name, trial in self.trial_plan.trials.items()
            if not self.is_complete(name)
            and self.failures[name] <= retries
            and self._inapplicable(trial.model, trial.label) is None
        ]

    def is_complete(self, trial: str) -> bool:
        """Tell whether a trial has finished and had each evaluation."""
        result = self.finished.get(trial)
        return result is not None and not result.lacking(self.evaluations)

    @property
    def completed(self) -> int:
        """The number of trials that have finished and had each evaluation."""
        return sum(map(self.is_complete, self.finished))

    def metrics(self, trial: str) -> Metrics:
        """Return the metrics of a trial; none where it has not finished."""
        result = self.finished.get(trial)
        return {} if result is None else result.metrics_of(self.evaluations)

    def given_up(self) -> list[StoredResult]:
        """Return the last result of each trial that failed and was never complete, in order."""
        results = [
            self.failed[name]
            for name in self.trial_plan.trials
            if name in self.failed and not self.is_complete(name)
        ]
        return [result for result in results if result.status == "failed"]

    def _inapplicable(self, model: str, label: str) -> str | None:
        """Return why a variant turned out not to apply; None where it did not."""
        # A trial with any seed tells: whether a trick applies does not depend on the seed.
        for name in self.trial_plan.ids.get((model, label), {}).values():
            result = self.failed.get(name)
            if result is not None and result.status == "does_not_apply":
                return result.error or ""
        return None

    def layouts(self) -> list[Layout]:
        """Return the layouts, with variants that turned out not to apply without a recipe."""

        def as_known(variant: Variant) -> Variant:
            reason = self._inapplicable(variant.model, variant.label)
            if reason is None:
                return variant
            return dataclasses.replace(variant, recipe=None, reason=reason)

        return [
            dataclasses.replace(layout, variants=tuple(map(as_known, layout.variants)))
            for layout in self.trial_plan.layouts
        ]

    def layout_records(self, *, settled: bool = True) -> tuple[LayoutRecord, ...]:
        """Return the layouts with the ids of their trials, as `study.json` holds them.

        There are no ids where the recipes of the trials are not `settled` yet.
        """
        ids = self.trial_plan.ids if settled else {}
        return tuple(
            LayoutRecord(
                model=layout.model,
                variants=tuple(
                    VariantRecord(
                        label=variant.label,
                        status="does_not_apply" if variant.recipe is None else "applies",
                        reason=variant.reason,
                        trials=ids.get((layout.model, variant.label), {}),
                    )
                    for variant in layout.variants
                ),
                contrasts=layout.contrasts,
                factors=layout.factors,
                generators=layout.generators,
                aliases=layout.aliases,
            )
            for layout in self.layouts()
        )

    def cells(self) -> dict[tuple[str, str], dict[Unit, Metrics]]:
        """Return the metrics of finished trials by (network, variant) and unit."""
        return {
            cell: {seed: self.metrics(result.trial) for seed, result in results.items()}
            for cell, results in self._finished_cells().items()
        }

    def notes(self) -> dict[tuple[str, str], dict[Unit, list[Note]]]:
        """Return the notes of finished trials by (network, variant) and unit."""
        return {
            cell: {
                seed: [Note.from_dict(note) for note in result.notes]
                for seed, result in results.items()
            }
            for cell, results in self._finished_cells().items()
        }

    def _finished_cells(self) -> dict[tuple[str, str], dict[Unit, StoredResult]]:
        return {
            cell: {seed: self.finished[name] for seed, name in ids.items() if name in self.finished}
            for cell, ids in self.trial_plan.ids.items()
        }

    def effects(
        self,
        outcome: str,
        folders: Sequence[Path] = (),
        margin: float | None = None,
        judgement: Judgement | None = None,
    ) -> list[Effect]:
        """Return the effects as far as they are known.

        With the `folders` that hold those of the trials they are about new images too. `judgement`
        says how verdicts are given, by default as at a first look.
        """
        by_image = folders and self.trial_plan.folds is None
        scores = scores_by_image(self.trial_plan.ids, outcome, folders) if by_image else None
        layouts, cells, notes = self.layouts(), self.cells(), self.notes()
        judgement = judgement or Judgement()
        return effects(
            layouts,
            cells,
            notes,
            outcome,
            self.answers,
            scores,
            margin,
            judgement,
            self.trial_plan.folds,
        )

    def chance_notes(self, outcome: str) -> list[Note]:
        """Return notes of the study on variants at chance, network by network."""
        layouts, cells = self.trial_plan.layouts, self.cells()
        notes = []
        for layout in layouts:
            labels = [variant.label for variant in layout.variants]
            where = f"on {layout.model} " if len(layouts) > 1 else ""
            notes += [
                Note("chance", None, where + note.reason)
                for note in chance_notes(labels, layout.model, cells, outcome, self.answers)
            ]
        return notes
