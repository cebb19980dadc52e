"""The words of a dry run: the trials of a study, their price in time and disk, what they see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.durations import about
from trickbag.evaluate.extra import EXTRA
from trickbag.study.analysis.notes import named
from trickbag.study.designs.backbones import Backbones
from trickbag.study.trial_plan import seeds_text
from trickbag.study.units import SEEDS_OF_FOLD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.study.disk import DiskUse
    from trickbag.study.forecast import CostGroup, Forecast
    from trickbag.study.prepare import PreparedStudy
    from trickbag.study.trial import Trial
    from trickbag.study.units import Folds

__all__ = ["disk_lines", "disk_warning", "forecast_lines", "size_text", "trial_rows"]

_BYTE_UNITS = ("bytes", "KB", "MB", "GB", "TB")


def trial_rows(study: PreparedStudy, pending: Sequence[Trial]) -> list[tuple[str, ...]]:
    """Return a table of the variants with the seeds to be run; the first row is its head."""
    trials: dict[tuple[str, str], list[Trial]] = {}
    for trial in pending:
        trials.setdefault((trial.model, trial.label), []).append(trial)
    # The arms of a study of backbones have the same tricks.
    backbones = dict(design.arms) if isinstance(design := study.plan.design, Backbones) else {}
    last = "starts from" if backbones else "tricks"
    folds = study.plan.division
    head = "seeds" if folds is None else f"on {folds.count * folds.splits} folds"
    rows: list[tuple[str, ...]] = [("network", "variant", head, last)]
    for layout in study.progress.trial_plan.layouts:
        for variant in layout.variants:
            if variant.recipe is None:
                cells = ("-", f"does not apply: {variant.reason}")
            else:
                cells = (
                    _open_seeds(trials.get((variant.model, variant.label)), folds),
                    ", ".join(backbones.get(variant.label, variant.recipe.trick_names)) or "none",
                )
            rows.append((variant.model, variant.label, *cells))
        rows += [(layout.model, "generator", "", generator) for generator in layout.generators]
        rows += [(layout.model, "aliases", "", " = ".join(group)) for group in layout.aliases]
    return rows


def _open_seeds(trials: Sequence[Trial] | None, folds: Folds | None) -> str:
    """Write the seeds of trials to be run; on folds, how many trials where some have ended."""
    if trials is None:
        return "done"
    if folds is None:
        return seeds_text([*{trial.seed for trial in trials}])
    seeds = len({trial.seed % SEEDS_OF_FOLD for trial in trials})
    each = f"{seeds} seed{'s' * (seeds != 1)} of each"
    if len(trials) == seeds * folds.count * folds.splits:
        return each
    return f"{len(trials)} trials, {each}"


def forecast_lines(study: PreparedStudy, forecast: Forecast) -> list[str]:
    """Return the lines that say what the trials cost, and the smallest effect that they can see."""
    trials = f"{len(forecast.pending)} trials to run, {forecast.workers} at a time"
    if forecast.trained:
        trials += f" ({forecast.trained} have trained, and are evaluated alone)"
    lines = [
        *_cost_lines(forecast.costs),
        *(
            f"{cost.model}, {EXTRA[cost.evaluation].description}: {about(cost.seconds)} a trial, "
            "by a few images"
            for cost in forecast.evaluations
        ),
        *([forecast.load_text] if forecast.load_text else []),
        *_tuning_lines(study, forecast),
        f"{trials}: about {about(forecast.total_s)}",
        *_most_lines(study, forecast),
    ]
    seeds, outcome = forecast.most_seeds or study.plan.number_of_seeds, study.plan.outcome
    share = f"{forecast.comparisons} effects share the 5 %"
    units = f"{seeds} seeds see"
    difference = "a paired difference"
    if (folds := study.plan.division) is not None:
        units = f"{folds.count * folds.splits} folds, whose training images overlap, see"
        difference = "a fold's mean difference"
    if forecast.smallest is None:
        return [*lines, "with one seed no effect has an interval; two is the least, five are usual"]
    if forecast.sd is None:
        return [
            *lines,
            f"{units} an effect of {forecast.smallest:.2f} standard deviations of {difference} in "
            f"4 of 5 studies ({share}); --sd S gives it in units of {outcome}",
        ]
    return [
        *lines,
        f"{units} an effect of {forecast.smallest:.3g} on {outcome} in 4 of 5 studies "
        f"(standard deviation of {difference} {forecast.sd:.3g}; {share})",
    ]


def _tuning_lines(study: PreparedStudy, forecast: Forecast) -> list[str]:
    """Say how each arm is tuned, and what that costs."""
    if study.tuning is None or not forecast.tuning:
        return []
    record = study.tuning.record
    lines = []
    for arm in record.arms:
        if not arm.tuned:
            shown = ["; ".join(f"{k}={v}" for k, v in p.settings.items()) for p in arm.points]
            lines.append(f"tuning {arm.label}: {len(shown)} configurations, {named(shown, most=6)}")
    return [
        *lines,
        f"tuning: {forecast.tuning} trials first, {record.tuning.seeds} seeds of each "
        f"configuration, counted as trials of its arm: about {about(forecast.tuning_s)}",
    ]


def _most_lines(study: PreparedStudy, forecast: Forecast) -> list[str]:
    """Say what a study costs at most that goes on until it is settled."""
    if forecast.most_seeds is None:
        return []
    return [
        f"this is the look at {study.plan.number_of_seeds} seeds; at most, with "
        f"{forecast.most_seeds} seeds of every arm, {forecast.most_trials} trials to run: about "
        f"{about(forecast.most_s)}" + (" with the tuning" if forecast.tuning else "")
    ]


def disk_lines(disk: DiskUse) -> list[str]:
    """Return the lines that say what disk the trials take, and whether there is as much."""
    if not disk.trials:
        return []
    parts = (
        (f"weights of {disk.kept} of {disk.trials} trials", disk.weights),
        ("results", disk.other),
        ("trials that run", disk.running),
        ("decoded images", disk.decoded),
    )
    named_parts = ", ".join(f"{name} {size_text(size)}" for name, size in parts if size)
    lines = [
        f"disk: about {size_text(disk.end)} in the end, at most {size_text(disk.peak)} while it "
        f"runs ({named_parts}); {size_text(disk.free)} are free at {disk.folder}"
    ]
    if disk.teacher_logits:
        lines.append(
            f"disk: about {size_text(disk.teacher_logits)} of teachers' logits, in the user's "
            "cache folder unless the recipe names a file"
        )
    return lines


def disk_warning(disk: DiskUse) -> str | None:
    """Return what a person should know where the disk has less free than the trials take."""
    if disk.peak <= disk.free:
        return None
    return (
        f"the disk of {disk.folder} has {size_text(disk.free)} free, and the study takes at most "
        f"{size_text(disk.peak)}: choose another --out, --keep-weights none, or fewer --workers"
    )


def size_text(size: int) -> str:
    """Write a number of bytes in two or three digits: `4.2 GB`, `36 MB`, `512 bytes`."""
    value, unit = float(size), 0
    # Rounded first: 999,999 bytes are 1.0 MB, not 1000 KB.
    while round(value) >= 1000 and unit < len(_BYTE_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 1 if unit and value < 10 else 0
    return f"{value:.{digits}f} {_BYTE_UNITS[unit]}"


def _cost_lines(costs: Sequence[CostGroup]) -> list[str]:
    """Return a line for each cost that was timed, and one a network for those that were not."""
    lines = []
    for model in dict.fromkeys(cost.model for cost in costs):
        groups = [cost for cost in costs if cost.model == model]
        lines += [
            f"{model}, {named(cost.labels)}: {cost.run_s / cost.epochs:.1f} s an epoch, measured"
            for cost in groups
            if cost.timed
        ]
        others = sum(len(cost.labels) for cost in groups if not cost.timed)
        if others:
            lines.append(f"{model}, {others} other variants: counted as the slowest of these")
    return lines
