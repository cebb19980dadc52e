"""Factorial studies: main effects, interactions and Shapley values, a number for each seed."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trickbag.study.analysis.least_squares import Model, Term, shapley, signs_of, terms_of
from trickbag.study.analysis.outcomes import COSTS, Cells, Cost, Metrics, Warnings
from trickbag.study.analysis.paired import (
    EffectEstimate,
    does_not_apply,
    largest,
    named,
    no_effect,
    price,
)
from trickbag.study.analysis.statistics import exponential_mean, number, power_of_two, summarise

if TYPE_CHECKING:
    from trickbag.study.designs.design import Layout

__all__ = ["factorial"]

Rows = list[list[float]]
"""A metric of every variant that applies, for each seed that has it in all of them: (seeds,
cells)."""


def factorial(
    layout: Layout, cells: Cells, warnings: Warnings, outcome: str
) -> list[EffectEstimate]:
    """Return the estimates of a factorial: main effects in the order of factors, then interactions `A*B`.

    Of effects that the variants cannot tell apart the first is estimated, and notes name the
    others.
    """
    factors = layout.factors
    present = [variant for variant in layout.variants if variant.recipe is not None]
    signs = tuple(signs_of(variant.label, factors) for variant in present)
    runs = {variant.label: cells.get((layout.model, variant.label), {}) for variant in present}
    model = Model.of(signs, len(factors))
    rows = _rows(runs, outcome)
    shared = _shared_notes(runs, outcome, len(rows))
    differences = _differences(model, rows)
    values = (
        _shapley(signs, rows) if rows and len(set(signs)) == len(signs) == 2 ** len(factors) else {}
    )
    costs = _costs(model, runs)
    found = []
    for term in terms_of(len(factors)):
        estimate = EffectEstimate(label="*".join(factors[i] for i in term), model=layout.model)
        if term not in model.kept:
            found.append(dataclasses.replace(estimate, notes=(_why_left_out(term, layout, model),)))
            continue
        notes = _notes(term, layout, model) + shared
        if len(term) == 1:
            own = {
                label: warnings.get((layout.model, label), ())
                for label, row in zip(runs, signs, strict=True)
                if row[term[0]] > 0 and runs[label]
            }
            notes = _no_effect(factors[term[0]], own) + notes
        found.append(
            dataclasses.replace(
                estimate,
                differences=tuple(differences.get(term, ())),
                scale=largest(rows),
                shapley=tuple(values.get(term, ())),
                notes=tuple(notes),
                cost=costs.get(term, {}),
            )
        )
    return found


def _rows(runs: Mapping[str, Mapping[int, Metrics]], metric: str) -> Rows:
    seeds = sorted(set.intersection(*(set(run) for run in runs.values()))) if runs else []
    rows = [[number(run[seed].get(metric)) for run in runs.values()] for seed in seeds]
    return [[value for value in row if value is not None] for row in rows if None not in row]


def _shared_notes(runs: Mapping[str, Mapping[int, Metrics]], outcome: str, used: int) -> list[str]:
    """Say which seeds are left out, and why, where none is left."""
    seeds = {seed for run in runs.values() for seed in run}
    if used:
        left_out = len(seeds) - used
        return [f"{left_out} seed{'s' * (left_out > 1)} left out as incomplete"] if left_out else []
    empty = [label for label, run in runs.items() if not run]
    if empty:
        return [f"no finished trial of {named(empty)}"]
    if not any(all(seed in run for run in runs.values()) for seed in seeds):
        return [f"no seed is finished in every variant: {len(seeds)} left out as incomplete"]
    return [f"no seed has {outcome} defined in every variant"]


def _differences(model: Model, rows: Rows) -> dict[Term, list[float]]:
    """Return each estimated term's effect for each seed; seeds in which one is out of range are
    left out of it."""
    if not rows:
        return {}
    import numpy as np

    unit = power_of_two(largest(rows))
    found = model.effects(np.array(rows).T / unit)
    return {
        term: [v * unit for v in values if math.isfinite(v * unit)]
        for term, values in found.items()
    }


def _shapley(signs: Sequence[tuple[int, ...]], rows: Rows) -> dict[Term, list[float]]:
    import numpy as np

    unit = power_of_two(largest(rows))
    found = shapley(signs, np.array(rows).T / unit)
    return {
        (i,): [v * unit for v in values if math.isfinite(v * unit)]
        for i, values in enumerate(found)
    }


def _costs(model: Model, runs: Mapping[str, Mapping[int, Metrics]]) -> dict[Term, dict[str, Cost]]:
    """Return the price of each trick: the main effect on the metric, and of its logarithm for the
    ratio."""
    found: dict[Term, dict[str, Cost]] = {term: {} for term in model.kept if len(term) == 1}
    for metric in COSTS:
        rows = _rows(runs, metric)
        if not rows:
            continue
        positive = all(value > 0 for row in rows for value in row)
        logs = [[math.log(value) for value in row] for row in rows] if positive else []
        differences, ratios = _differences(model, rows), _differences(model, logs)
        for term, costs in found.items():
            ratio = exponential_mean(ratios[term], largest(logs)) if positive else None
            costs[metric] = price(summarise(differences[term], largest(rows)), ratio)
    return found


def _text(term: Term, layout: Layout) -> str:
    return "*".join(layout.factors[i] for i in term)


def _impossible(term: Term, model: Model) -> bool:
    """Return whether no variant that applies has all tricks of the term."""
    return not any(all(row[i] > 0 for i in term) for row in model.signs)


def _why_left_out(term: Term, layout: Layout, model: Model) -> str:
    if _impossible(term, model):
        # What keeps these tricks out is what the variants with them have in common, whatever else
        # some of them meet.
        rows = [
            (signs_of(variant.label, layout.factors), variant.reason) for variant in layout.variants
        ]
        reasons = Counter(reason for row, reason in rows if all(row[i] > 0 for i in term))
        return does_not_apply(reasons.most_common(1)[0][0]) if reasons else "no variant has it"
    if model.aliases[term]:
        return f"aliased with {', '.join(_text(other, layout) for other in model.aliases[term])}"
    return f"no variant that applies is without {_text(term, layout)}"


def _notes(term: Term, layout: Layout, model: Model) -> list[str]:
    """Say what an estimate cannot be told from, and which tricks were never there when it was
    measured."""
    others = [other for other in model.aliases[term] if not _impossible(other, model)]
    apart = [
        i
        for other in model.aliases[term]
        if _impossible(other, model) and set(term) < set(other)
        for i in other
    ]
    notes = (
        [f"aliased with {', '.join(_text(other, layout) for other in others)}"] if others else []
    )
    if len(term) == 1 and (without := [layout.factors[i] for i in apart if i not in term]):
        notes.append(f"without {named(without)}: no variant that applies has both")
    return notes


def _no_effect(trick: str, texts: Mapping[str, Sequence[str]]) -> list[str]:
    """Say why a trick changed nothing, and in how many of the variants with it where not in all."""
    reasons = [reason for own in texts.values() if (reason := no_effect(trick, own)) is not None]
    if not reasons:
        return []
    some = "" if len(reasons) == len(texts) else f" in {len(reasons)} of {len(texts)} variants"
    return [f"no effect{some}: {reasons[0]}"]
