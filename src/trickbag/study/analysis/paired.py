"""Estimates: what each seed says about an effect; here by pairs of two variants."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from trickbag.study.analysis.chance import chance_notes
from trickbag.study.analysis.notes import EffectNote, named
from trickbag.study.analysis.outcomes import COSTS
from trickbag.study.analysis.statistics import Summary, geometric_mean, number, summarise

if TYPE_CHECKING:
    from trickbag.errors import Note
    from trickbag.study.analysis.chance import ConstantAnswers
    from trickbag.study.analysis.outcomes import Cells, Cost, Metrics, TrialNotes
    from trickbag.study.designs.layout import Contrast, Layout
    from trickbag.study.units import Unit

__all__ = ["EffectEstimate", "contrasts", "largest", "mean_of", "no_effect_reason", "price"]


@dataclass(frozen=True, kw_only=True)
class EffectEstimate:
    """One difference for each unit (a seed, or a fold and a seed), with minus without, in order.

    `seeds` are the units of the differences, each of which is the sum of the variants' outcomes
    times their `weights`, by label. `scale` is the outcomes' largest magnitude. `shapley` holds the
    trick's Shapley value for each seed, in a full factorial. `level_with` and `level_without` are
    the outcome's means, over the same seeds, of the variants with the trick and without. `notes`
    say what a reader must know, and why there are no differences where there are none. The other
    fields are those of `Effect`.
    """

    label: str
    model: str
    differences: tuple[float, ...] = ()
    seeds: tuple[Unit, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    scale: float = 0.0
    shapley: tuple[float, ...] = ()
    level_with: float | None = None
    level_without: float | None = None
    notes: tuple[EffectNote, ...] = ()
    plus: str | None = None
    minus: str | None = None
    cost: Mapping[str, Cost] = field(default_factory=dict)


def contrasts(
    layout: Layout, cells: Cells, notes: TrialNotes, outcome: str, answers: ConstantAnswers
) -> list[EffectEstimate]:
    """Return the estimates of a layout's contrasts: differences of two variants, seed by seed."""
    estimates = []
    for contrast in layout.contrasts:
        estimate = _contrast(layout, contrast, cells, notes, outcome)
        both = (contrast.plus, contrast.minus)
        chance = chance_notes(both, layout.model, cells, outcome, answers)
        estimates.append(replace(estimate, notes=(*estimate.notes, *chance)))
    return estimates


def _contrast(
    layout: Layout, contrast: Contrast, cells: Cells, notes: TrialNotes, outcome: str
) -> EffectEstimate:
    estimate = EffectEstimate(
        label=contrast.label, model=layout.model, plus=contrast.plus, minus=contrast.minus
    )
    variants = {variant.label: variant for variant in layout.variants}
    for variant in (variants[contrast.plus], variants[contrast.minus]):
        if variant.recipe is None:
            note = EffectNote(kind="does_not_apply", reason=variant.reason)
            return replace(estimate, notes=(note,))
    plus, minus = (
        cells.get((layout.model, label), {}) for label in (contrast.plus, contrast.minus)
    )
    pairs = _pairs(plus, minus, outcome)
    effect_notes = []
    reason = no_effect_reason(contrast.trick, notes.get((layout.model, contrast.plus), {}))
    if reason is not None:
        effect_notes.append(EffectNote(kind="no_effect", reason=reason))
    if not pairs:
        reason = _why_no_pair({contrast.plus: plus, contrast.minus: minus}, outcome)
        effect_notes.append(EffectNote(kind="no_pairs", reason=reason))
    costs = {metric: _cost([*_pairs(plus, minus, metric).values()]) for metric in COSTS}
    return replace(
        estimate,
        differences=tuple(a - b for a, b in pairs.values()),
        seeds=tuple(pairs),
        weights={contrast.plus: 1.0, contrast.minus: -1.0},
        scale=largest(pairs.values()),
        level_with=mean_of([a for a, _ in pairs.values()]),
        level_without=mean_of([b for _, b in pairs.values()]),
        notes=tuple(effect_notes),
        cost={metric: cost for metric, cost in costs.items() if cost["pairs"]},
    )


def _pairs(
    plus: Mapping[Unit, Metrics], minus: Mapping[Unit, Metrics], metric: str
) -> dict[Unit, tuple[float, float]]:
    """Return the metric of both for each seed that has it in both, in the order of seeds."""
    both = {
        s: (number(plus[s].get(metric)), number(minus[s].get(metric)))
        for s in sorted(plus.keys() & minus.keys())
    }
    return {
        s: (a, b)
        for s, (a, b) in both.items()
        if a is not None and b is not None and math.isfinite(a - b)
    }


def _cost(pairs: Sequence[tuple[float, float]]) -> Cost:
    return price(summarise([a - b for a, b in pairs], largest(pairs)), geometric_mean(pairs))


def price(summary: Summary, ratio: float | None) -> Cost:
    """Return the price that a summary of differences and a ratio say."""
    return {
        "delta": summary.mean,
        "low": summary.low,
        "high": summary.high,
        "ratio": ratio,
        "pairs": summary.pairs,
    }


def mean_of(values: Sequence[float]) -> float | None:
    """Return the mean of numbers; None where there are none."""
    return summarise(values, largest([values])).mean


def largest(rows: Iterable[Iterable[float]]) -> float:
    """Return the largest magnitude in rows of numbers; 0 where there is none."""
    return max((abs(value) for row in rows for value in row), default=0.0)


def _why_no_pair(runs: Mapping[str, Mapping[Unit, Metrics]], outcome: str) -> str:
    """Return why two variants, by label with their metrics by seed, have no pair."""
    empty = [label for label in runs if not runs[label]]
    if empty:
        return f"no finished trial of {named(empty)}"
    undefined = [
        label for label in runs if all(number(m.get(outcome)) is None for m in runs[label].values())
    ]
    if undefined:
        return f"{outcome} is not defined in any trial of {named(undefined)}"
    return f"{named(list(runs))} have no seed in common with {outcome} defined in both"


def no_effect_reason(trick: str, notes: Mapping[Unit, Sequence[Note]]) -> str | None:
    """Return why a trick changes nothing in a variant, by the notes of its trials; None if it does.

    Whether a trick changes anything follows from the recipe and the data, not from the seed: what
    one trial notes holds for all trials of the variant.
    """
    return next(
        (
            note.reason
            for trial in notes.values()
            for note in trial
            if note.kind == "no_effect" and note.trick == trick
        ),
        None,
    )
