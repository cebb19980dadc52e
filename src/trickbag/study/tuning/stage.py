"""The trials by which the arms of a study are tuned, and what they choose."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.errors import Note, UserError
from trickbag.metrics.metric import EVALUATED, PREFIXES, default_score
from trickbag.study.analysis.notes import named
from trickbag.study.analysis.outcomes import OUTCOMES
from trickbag.study.progress import StudyProgress
from trickbag.study.trial_plan import TrialPlan, seeds_text
from trickbag.study.tuning.layouts import point_label, require_used, tuning_layout, variants
from trickbag.study.tuning.record import TunedArm, TunedPoint, TuningRecord
from trickbag.study.tuning.tuning import FIRST_SEED, Configuration, Tuning
from trickbag.study.units import seed_of

if TYPE_CHECKING:
    from trickbag.recipe import Recipe
    from trickbag.study.designs.layout import Layout
    from trickbag.study.records.result import StoredResult

__all__ = ["TuningStage", "decided", "tuning_metric", "tuning_stage"]


@dataclass(frozen=True, kw_only=True)
class TuningStage:
    """The tuning of a study as it stands: its trials with their results, and the arms."""

    record: TuningRecord
    progress: StudyProgress

    @property
    def finished(self) -> bool:
        """Whether every arm has been tuned."""
        return all(arm.tuned for arm in self.record.arms)

    def notes(self) -> list[Note]:
        """Say how the arms are tuned, and what a reader should know of it."""
        tuning, arms = self.record.tuning, self.record.arms
        seeds = seeds_text(range(FIRST_SEED, FIRST_SEED + tuning.seeds))
        reasons = [
            f"every arm is tuned before the comparison: {'; '.join(tuning.grid)}, on fold 0 of "
            f"{tuning.folds} of the training images, by the mean {self.record.metric} of the seeds "
            f"{seeds}, which are not used again"
        ]
        counts = {len(arm.points) for arm in arms}
        if len(counts) > 1:
            few = [arm.label for arm in arms if len(arm.points) < max(counts)]
            reasons.append(
                f"{named(few)} have fewer configurations than other arms: a setting of a trick is "
                "tuned where the trick is"
            )
        lacking = [arm.label for arm in arms if arm.untuned is None]
        if lacking:
            reasons.append(
                f"the grid lacks the untuned value of {named(lacking)}: whether a trick helps "
                "there alone cannot be told"
            )
        unknown = [arm.label for arm in arms if arm.tuned and arm.chosen is None]
        if unknown:
            reasons.append(f"no tuning trial of {named(unknown)} gave a value: not tuned")
        return [Note("study", None, reason) for reason in reasons]


def tuning_metric(outcome: str, recipe: Recipe) -> str:
    """Return the metric by which configurations are chosen.

    It is the outcome where a run measures it on its validation part; else the task's usual score.
    """
    prefix = next((prefix for prefix in PREFIXES if outcome.startswith(prefix)), "")
    base = outcome.removeprefix(prefix)
    return base if base in EVALUATED else default_score(recipe.data.multi_label, recipe.task.kind)


def tuning_stage(
    layouts: Sequence[Layout],
    tuning: Tuning,
    metric: str,
    fingerprint: str,
    results: Sequence[StoredResult],
    before: TuningRecord | None,
) -> TuningStage:
    """Return the tuning of the variants of layouts, after the results so far.

    What was chosen `before` stays. Raises UserError for a grid that is not for one of the arms, and
    where an arm has a start for each seed.
    """
    points: dict[tuple[str, str], list[Configuration]] = {}
    for variant in variants(layouts):
        if variant.seed_recipes:
            raise UserError(
                f"{variant.label} starts each seed from a run of its own: it cannot be tuned with "
                "other seeds",
                "give it one start for all seeds, or leave --tune out",
            )
        assert variant.recipe is not None
        points[variant.model, variant.label] = tuning.points(variant.recipe)
    require_used(tuning, layouts)
    plan = TrialPlan.of(
        [tuning_layout(layout, points, tuning) for layout in layouts],
        tuning.seeds,
        fingerprint,
        first_seed=FIRST_SEED,
    )
    known = {result.trial for result in results}.intersection(plan.trials)
    progress = StudyProgress(plan, [result for result in results if result.trial in known])
    stored = {(arm.model, arm.label): arm for arm in (before.arms if before else ())}
    arms = []
    for (model, label), of_arm in points.items():
        recipe = next(v.recipe for v in variants(layouts) if (v.model, v.label) == (model, label))
        arm = TunedArm(
            model=model,
            label=label,
            points=tuple(
                TunedPoint(
                    settings=point.settings,
                    trials={
                        seed_of(unit): trial
                        for unit, trial in plan.ids[model, point_label(label, point)].items()
                    },
                )
                for point in of_arm
            ),
            untuned=next((i for i, p in enumerate(of_arm) if p.recipe.id == recipe.id), None)
            if recipe
            else None,
        )
        earlier = stored.get((model, label))
        arms.append(earlier if earlier is not None and _is_same(earlier, arm) else arm)
    record = TuningRecord(tuning=tuning, metric=metric, arms=tuple(arms))
    return TuningStage(record=record, progress=progress)


def decided(stage: TuningStage, retries: int) -> TuningStage:
    """Return the stage with the choice of each arm whose trials have all ended."""
    open_trials = {trial.id for trial in stage.progress.pending(retries)}
    arms = []
    for arm in stage.record.arms:
        trials = {trial for point in arm.points for trial in point.trials.values()}
        if arm.tuned or not open_trials.isdisjoint(trials):
            arms.append(arm)
            continue
        values = [_mean(stage, point) for point in arm.points]
        arms.append(arm.with_values(values, OUTCOMES[stage.record.metric]))
    return dataclasses.replace(stage, record=dataclasses.replace(stage.record, arms=tuple(arms)))


def _is_same(first: TunedArm, second: TunedArm) -> bool:
    return first.tuned and [p.trials for p in first.points] == [p.trials for p in second.points]


def _mean(stage: TuningStage, point: TunedPoint) -> float | None:
    """Return the mean of a configuration's trials; None where one has no value."""
    values = [
        stage.progress.metrics(trial).get(stage.record.metric) for trial in point.trials.values()
    ]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
