"""A study on folds, fold by fold, as plain data for the template of its page."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

from trickbag.report.format import ABSENT, number, signed
from trickbag.report.study.answer import effect_label
from trickbag.study.units import by_fold

if TYPE_CHECKING:
    from trickbag.report.study.records import ReportedStudy, StudyVariant
    from trickbag.study.analysis.effects import Effect

__all__ = ["folds"]


def folds(study: ReportedStudy) -> dict[str, Any] | None:
    """List the difference of each effect and the outcome of each arm by fold; None without folds.

    Outcomes are means over the seeds of a fold that have finished.
    """
    count, splits = study.record.folds, study.record.splits
    if count is None:
        return None
    places = [(split, fold) for split in range(splits) for fold in range(count)]
    return {
        "words": study.on_folds,
        "seeds": study.record.seeds,
        "correction": f"1/{count * splits} + 1/{count - 1}",
        "freedom": count * splits - 1,
        "heads": [
            f"split {split}, fold {fold}" if splits > 1 else f"fold {fold}"
            for split, fold in places
        ],
        "many_networks": len(study.layouts) > 1,
        "effects": [
            (effect_label(effect), effect.model, _differences(effect, places, study.outcome))
            for effect in study.effects or ()
            if effect.of_folds is not None and effect.of_folds.differences
        ],
        "arms": [
            (variant.label, variant.model, _outcomes(variant, places, study.outcome))
            for variant in study.variants
            if not variant.reason
        ],
    }


def _differences(effect: Effect, places: list[tuple[int, int]], outcome: str) -> list[str]:
    assert effect.of_folds is not None
    known = {(each.split, each.fold): each.delta for each in effect.of_folds.differences}
    return [signed(outcome, known[place]) if place in known else ABSENT for place in places]


def _outcomes(variant: StudyVariant, places: list[tuple[int, int]], outcome: str) -> list[str]:
    units = sorted(variant.trials)
    values = [variant.trials[unit].metrics.get(outcome) for unit in units]
    of_place = {
        place: [value for i in rows if (value := values[i]) is not None]
        for place, rows in by_fold(units).items()
    }
    means = {place: fmean(known) for place, known in of_place.items() if known}
    return [number(outcome, means.get(place)) or ABSENT for place in places]
