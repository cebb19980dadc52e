"""Factorial studies: main effects, interactions and Shapley values, a number for each seed."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trickbag.study.analysis.chance import chance_notes
from trickbag.study.analysis.least_squares import Model, Term, shapley, signs_of, terms_of
from trickbag.study.analysis.notes import EffectNote, named
from trickbag.study.analysis.outcomes import COSTS
from trickbag.study.analysis.paired import (
    EffectEstimate,
    largest,
    mean_of,
    no_effect_reason,
    price,
)
from trickbag.study.analysis.statistics import exponential_mean, number, power_of_two, summarise
from trickbag.study.units import FoldSeed, Unit

if TYPE_CHECKING:
    from trickbag.study.analysis.chance import ConstantAnswers
    from trickbag.study.analysis.outcomes import Cells, Cost, Metrics, TrialNotes
    from trickbag.study.designs.layout import Layout

__all__ = ["factorial"]

Runs = Mapping[str, Mapping[Unit, "Metrics"]]
"""The metrics of the variants that apply: variant's label -> seed -> metrics."""

Rows = list[list[float]]
"""A metric of every variant that applies, for each seed that has it in all: (seeds, cells)."""


def factorial(
    layout: Layout, cells: Cells, notes: TrialNotes, outcome: str, answers: ConstantAnswers
) -> list[EffectEstimate]:
    """Return the estimates of a factorial: main effects by factor, then interactions `A*B`.

    Of effects that the variants cannot tell apart the first is estimated, and notes name the
    others.
    """
    factors = layout.factors
    present = [variant for variant in layout.variants if variant.recipe is not None]
    signs = tuple(signs_of(variant.label, factors) for variant in present)
    runs = {variant.label: cells.get((layout.model, variant.label), {}) for variant in present}
    model = Model.of(signs, len(factors))
    seeds, rows = _rows(runs, outcome)
    weights = _weights(model, list(runs)) if rows else {}
    shared = _shared_notes(runs, outcome, len(rows))
    differences = _differences(model, rows)
    full = len(set(signs)) == len(signs) == 2 ** len(factors)
    values = _shapley(signs, rows) if rows and full else {}
    costs = _costs(model, runs)
    levels = _levels(signs, rows)
    chance = chance_notes(list(runs), layout.model, cells, outcome, answers)
    estimates = []
    for term in terms_of(len(factors)):
        estimate = EffectEstimate(label=_text(term, layout), model=layout.model)
        if term not in model.kept:
            note = _why_left_out(term, layout, model)
            estimates.append(dataclasses.replace(estimate, notes=(note,)))
            continue
        estimates.append(
            dataclasses.replace(
                estimate,
                differences=tuple(differences.get(term, ())),
                seeds=seeds,
                weights=weights.get(term, {}),
                scale=largest(rows),
                shapley=tuple(values.get(term, ())),
                level_with=levels.get((term, 1)),
                level_without=levels.get((term, -1)),
                notes=(
                    *_no_effect_notes(term, layout, model, runs, notes),
                    *_confounding_notes(term, layout, model),
                    *shared,
                    *(chance if len(term) == 1 else ()),
                ),
                cost=costs.get(term, {}),
            )
        )
    return estimates


def _rows(runs: Runs, metric: str) -> tuple[tuple[Unit, ...], Rows]:
    """Return the seeds that have a metric in every variant, with its values."""
    # Least squares need every cell: a seed that lacks a variant is left out.
    seeds = sorted(set.intersection(*(set(run) for run in runs.values()))) if runs else []
    rows = {seed: [number(run[seed].get(metric)) for run in runs.values()] for seed in seeds}
    complete = {
        seed: [value for value in row if value is not None]
        for seed, row in rows.items()
        if None not in row
    }
    return tuple(complete), [*complete.values()]


def _shared_notes(runs: Runs, outcome: str, used: int) -> list[EffectNote]:
    """Say how many seeds are left out; where all are, say why."""
    seeds = {seed for run in runs.values() for seed in run}
    unit = "seed of a fold" if any(isinstance(seed, FoldSeed) for seed in seeds) else "seed"
    if used:
        left_out = len(seeds) - used
        plural = unit.replace("seed", "seeds") if left_out > 1 else unit
        reason = f"{left_out} {plural} left out as incomplete"
        return [EffectNote(kind="incomplete", reason=reason)] if left_out else []
    empty = [label for label, run in runs.items() if not run]
    if empty:
        reason = f"no finished trial of {named(empty)}"
    elif not any(all(seed in run for run in runs.values()) for seed in seeds):
        reason = f"no {unit} is finished in every variant: {len(seeds)} left out as incomplete"
    else:
        reason = f"no {unit} has {outcome} defined in every variant"
    return [EffectNote(kind="no_pairs", reason=reason)]


def _differences(model: Model, rows: Rows) -> dict[Term, list[float]]:
    """Return each estimated term's effect for each seed, without those that are out of range."""
    if not rows:
        return {}
    import numpy as np

    # Outcomes near the largest float have no sum: least squares are on numbers of magnitude 1.
    unit = power_of_two(largest(rows))
    return {
        term: [v * unit for v in values if math.isfinite(v * unit)]
        for term, values in model.effects(np.array(rows).T / unit).items()
    }


def _weights(model: Model, labels: Sequence[str]) -> dict[Term, dict[str, float]]:
    """Return what each variant's outcome counts in each estimated term's effect, by label."""
    import numpy as np

    return {
        term: dict(zip(labels, row, strict=True))
        for term, row in model.effects(np.eye(len(labels))).items()
    }


def _shapley(signs: Sequence[tuple[int, ...]], rows: Rows) -> dict[Term, list[float]]:
    import numpy as np

    unit = power_of_two(largest(rows))
    return {
        (i,): [v * unit for v in values if math.isfinite(v * unit)]
        for i, values in enumerate(shapley(signs, np.array(rows).T / unit))
    }


def _levels(signs: Sequence[tuple[int, ...]], rows: Rows) -> dict[tuple[Term, int], float | None]:
    """Return the outcome's mean over the variants with each trick (1), and without it (-1)."""
    return {
        ((i,), sign): mean_of(
            [v for row in rows for v, cell in zip(row, signs, strict=True) if cell[i] == sign]
        )
        for i in range(len(signs[0]) if signs else 0)
        for sign in (1, -1)
    }


def _costs(model: Model, runs: Runs) -> dict[Term, dict[str, Cost]]:
    """Return the price of each trick in each metric that was measured.

    The difference is the main effect on the metric, the ratio that on its logarithm.
    """
    costs: dict[Term, dict[str, Cost]] = {term: {} for term in model.kept if len(term) == 1}
    for metric in COSTS:
        _, rows = _rows(runs, metric)
        if not rows:
            continue
        positive = all(value > 0 for row in rows for value in row)
        logs = [[math.log(value) for value in row] for row in rows] if positive else []
        differences, ratios = _differences(model, rows), _differences(model, logs)
        for term, prices in costs.items():
            ratio = exponential_mean(ratios[term], largest(logs)) if positive else None
            prices[metric] = price(summarise(differences[term], largest(rows)), ratio)
    return costs


def _text(term: Term, layout: Layout) -> str:
    return "*".join(layout.factors[i] for i in term)


def _impossible(term: Term, model: Model) -> bool:
    """Return whether no variant that applies has all tricks of the term."""
    return not any(all(row[i] > 0 for i in term) for row in model.signs)


def _why_left_out(term: Term, layout: Layout, model: Model) -> EffectNote:
    if _impossible(term, model):
        # The reason that most variants with these tricks share is what keeps the tricks out; the
        # other reasons are of tricks that some of these variants have besides.
        rows = [(signs_of(v.label, layout.factors), v.reason) for v in layout.variants]
        reasons = Counter(reason for row, reason in rows if all(row[i] > 0 for i in term))
        if reasons:
            return EffectNote(kind="does_not_apply", reason=reasons.most_common(1)[0][0])
        return EffectNote(kind="not_estimable", reason="no variant has it")
    if model.aliases[term]:
        return _aliased(model.aliases[term], layout)
    reason = f"no variant that applies is without {_text(term, layout)}"
    return EffectNote(kind="not_estimable", reason=reason)


def _aliased(others: Sequence[Term], layout: Layout) -> EffectNote:
    names = ", ".join(_text(other, layout) for other in others)
    return EffectNote(kind="aliased", reason=f"aliased with {names}")


def _confounding_notes(term: Term, layout: Layout, model: Model) -> list[EffectNote]:
    """Say what an estimate cannot be told from, and which tricks were never beside the term's."""
    others = [other for other in model.aliases[term] if not _impossible(other, model)]
    notes = [_aliased(others, layout)] if others else []
    if len(term) == 1:
        absent = [
            layout.factors[i]
            for other in model.aliases[term]
            if _impossible(other, model) and set(term) < set(other)
            for i in other
            if i not in term
        ]
        if absent:
            reason = f"without {named(absent)}: no variant that applies has both"
            notes.append(EffectNote(kind="never_together", reason=reason))
    return notes


def _no_effect_notes(
    term: Term, layout: Layout, model: Model, runs: Runs, notes: TrialNotes
) -> list[EffectNote]:
    """Say why a trick changes nothing, and in how many of the finished variants that have it."""
    if len(term) > 1:
        return []
    trick = layout.factors[term[0]]
    with_trick = [
        label
        for (label, run), row in zip(runs.items(), model.signs, strict=True)
        if run and row[term[0]] > 0
    ]
    reasons = [
        reason
        for label in with_trick
        if (reason := no_effect_reason(trick, notes.get((layout.model, label), {}))) is not None
    ]
    if not reasons:
        return []
    if len(reasons) == len(with_trick):
        return [EffectNote(kind="no_effect", reason=reasons[0])]
    variants = (len(reasons), len(with_trick))
    return [EffectNote(kind="partly_no_effect", reason=reasons[0], variants=variants)]
