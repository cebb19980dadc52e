"""What a study would cost, and the smallest effect that it could see, before anything is spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.study.analysis.power import detectable, standard_deviation
from trickbag.study.durations import about

if TYPE_CHECKING:
    from trickbag.study.executors import Executor
    from trickbag.study.prepare import PreparedStudy
    from trickbag.study.trial import Trial

__all__ = ["Forecast", "forecast", "seeds_within"]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A study's price: `pending` trials on `workers` at a time, `epoch_s` seconds of one epoch for each network.

    `total_s` leaves out what the processes need to start. `comparisons` is the number of effects
    that share the significance, `sd` the standard deviation of a paired difference, stated or from
    the trials so far; `smallest` is the smallest effect that the study detects with a probability
    of 80 %, in units of the outcome, or, where no standard deviation is known, in standard
    deviations; None with fewer than two seeds.
    """

    pending: tuple[Trial, ...]
    workers: int
    epoch_s: dict[str, float]
    total_s: float
    comparisons: int
    sd: float | None
    smallest: float | None


def forecast(work: PreparedStudy, executor: Executor, sd: float | None = None) -> Forecast:
    """Measure an epoch of each network in this process, and work out the rest; `sd` is a stated
    one."""
    pending = tuple(work.progress.pending(work.plan.retries))
    epoch_s = _epochs(work, pending)
    workers = max(1, min(executor.machine.workers, len(pending)))
    total = sum(trial.recipe.training.epochs * epoch_s[trial.model] for trial in pending)
    effects = work.progress.effects(work.plan.outcome)
    comparisons = sum(effect.status != "does_not_apply" for effect in effects)
    known = standard_deviation(effects) if sd is None else sd
    smallest = detectable(
        work.plan.number_of_seeds, 1.0 if known is None else known, comparisons=max(1, comparisons)
    )
    return Forecast(
        pending=pending,
        workers=workers,
        epoch_s=epoch_s,
        total_s=total / workers,
        comparisons=comparisons,
        sd=known,
        smallest=smallest,
    )


def seeds_within(budget_s: float, work: PreparedStudy, executor: Executor) -> int:
    """Return how many seeds of every trial fit into a time; `work` has one seed. UserError where
    not one does."""
    one = forecast(work, executor)
    seeds = int(budget_s // one.total_s) if one.total_s else 1
    if seeds < 1:
        raise UserError(
            f"--budget {about(budget_s)}: one seed of the {len(one.pending)} trials takes about "
            f"{about(one.total_s)}; "
            "give more time, fewer --tricks or fewer --epochs"
        )
    return seeds


def _epochs(work: PreparedStudy, pending: tuple[Trial, ...]) -> dict[str, float]:
    """Measure the trial of each network that has the most tricks."""
    from trickbag.train.pilot import run_seconds

    models = dict.fromkeys(trial.model for trial in pending)
    longest = {
        model: max(
            (t for t in pending if t.model == model), key=lambda trial: len(trial.recipe.tricks)
        )
        for model in models
    }
    return {
        model: run_seconds(trial.recipe, work.dataset) / trial.recipe.training.epochs
        for model, trial in longest.items()
    }
