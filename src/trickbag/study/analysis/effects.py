"""Effects of tricks: paired differences over seeds, with intervals, adjusted p-values and verdicts;
and prices."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from trickbag.study.analysis.factorial import factorial
from trickbag.study.analysis.outcomes import (
    COSTS,
    OUTCOMES,
    Cells,
    Cost,
    Metrics,
    Warnings,
    require_outcome,
)
from trickbag.study.analysis.paired import EffectEstimate, contrasts
from trickbag.study.analysis.statistics import (
    ALPHA,
    Summary,
    bootstrap_interval,
    holm,
    seeds_needed,
    summarise,
)

if TYPE_CHECKING:
    from trickbag.study.designs.design import Layout

__all__ = [
    "COSTS",
    "OUTCOMES",
    "Cells",
    "Cost",
    "Effect",
    "Metrics",
    "Warnings",
    "effects",
    "require_outcome",
    "to_dict",
]

BOOTSTRAP_PAIRS = 8
"""Fewer pairs than this give too few different resamples."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The effect of a trick on the outcome, with minus without: an entry of `effects.json`.

    `delta` is the mean paired difference over the `pairs` seeds that have both, in units of the
    outcome; `sd` the standard deviation of the differences, `low` and `high` the unadjusted 95 % t
    interval, `p_raw` its two-sided p and `p` Holm's adjusted one. All are None where they are not
    defined, and `note` says why. `more_seeds` are the seeds beyond those that would settle an
    undetermined effect, if the whole study got them and every effect stayed as it is. `bootstrap`
    is the 95 % interval of the resampled mean where there are at least 8 pairs. `shapley` is the
    same as `delta`, `low`, `high` for a trick's Shapley value in a full factorial. `plus` and
    `minus` are the labels of the variants compared; None in a factorial, where a pair is a seed and
    its difference a least-squares estimate. `cost` holds the trick's price in each metric of
    `COSTS` that was measured; an interaction has none.
    """

    label: str
    model: str
    delta: float | None
    low: float | None
    high: float | None
    p: float | None
    p_raw: float | None
    sd: float | None
    pairs: int
    verdict: Literal["helps", "hurts", "undetermined"]
    more_seeds: int | None = None
    bootstrap: tuple[float, float] | None = None
    shapley: tuple[float, float | None, float | None] | None = None
    note: str | None = None
    plus: str | None = None
    minus: str | None = None
    cost: Mapping[str, Cost] = field(default_factory=dict)


def effects(
    layouts: Sequence[Layout], cells: Cells, warnings: Warnings, outcome: str = "top1"
) -> list[Effect]:
    """Return the effects of a study, in design order, from the metrics of its finished trials.

    Layout by layout, contrast by contrast; of a factorial the main effects in the order of factors,
    then the two-way interactions, labelled `A*B`. Trials that failed are absent from `cells`.
    P-values are adjusted over all effects that have one. Raises UserError for an unknown outcome.
    """
    require_outcome(outcome)
    found = []
    for layout in layouts:
        estimate = factorial if layout.factors else contrasts
        found += [_effect(one) for one in estimate(layout, cells, warnings, outcome)]
    return _judged(found, OUTCOMES[outcome])


def to_dict(effect: Effect) -> dict[str, Any]:
    """Return an effect as the plain data of `effects.json`, the contract's keys first."""
    data = vars(effect) | {"cost": {metric: dict(cost) for metric, cost in effect.cost.items()}}
    data |= {key: list(data[key]) for key in ("bootstrap", "shapley") if data[key] is not None}
    first = ("label", "model", "delta", "low", "high", "p", "pairs", "verdict", "cost")
    return {key: data[key] for key in first} | data


def _effect(estimate: EffectEstimate) -> Effect:
    """Summarise an estimate; the verdict, which depends on the other effects, is still open."""
    found = summarise(estimate.differences, estimate.scale)
    resampled = found.p is not None and found.pairs >= BOOTSTRAP_PAIRS
    value = summarise(estimate.shapley, estimate.scale)
    return Effect(
        label=estimate.label,
        model=estimate.model,
        delta=found.mean,
        low=found.low,
        high=found.high,
        p=None,
        p_raw=found.p,
        sd=found.sd,
        pairs=found.pairs,
        verdict="undetermined",
        bootstrap=bootstrap_interval(estimate.differences, f"bootstrap:{estimate.label}")
        if resampled
        else None,
        shapley=(value.mean, value.low, value.high) if value.mean is not None else None,
        note="; ".join([*estimate.notes, *_why_no_interval(found, estimate.notes)]) or None,
        plus=estimate.plus,
        minus=estimate.minus,
        cost=estimate.cost,
    )


def _why_no_interval(found: Summary, notes: Sequence[str]) -> list[str]:
    if found.pairs == 0 and not notes:
        return ["every difference is beyond the range of numbers"]
    if found.pairs == 1:
        return ["one pair: an interval needs at least two"]
    if (
        found.pairs > 1
        and found.p is None
        and not any(note.startswith("no effect: ") for note in notes)
    ):
        return ["no spread: every pair differs by the same amount"]
    if found.p is not None and found.low is None:
        return ["the interval is beyond the range of numbers"]
    return []


def _judged(found: Sequence[Effect], better: str) -> list[Effect]:
    """Adjust the p-values for their number; give each effect its verdict, or the seeds that would settle it.

    Holm's procedure goes on to an effect when those with a smaller p are settled; so does the count
    of seeds.
    """
    tested = [(effect.p_raw, i) for i, effect in enumerate(found) if effect.p_raw is not None]
    adjusted = holm([p for p, _ in tested])
    judged: list[Effect] = list(found)
    needed: int | None = 0
    for step, ((_, i), p) in enumerate(sorted(zip(tested, adjusted, strict=True))):
        effect = found[i]
        delta, sd = effect.delta or 0.0, effect.sd or 0.0
        if p < ALPHA:
            verdict: Literal["helps", "hurts"] = (
                "helps" if (delta > 0) == (better == "higher") else "hurts"
            )
            judged[i] = dataclasses.replace(effect, p=p, verdict=verdict)
            continue
        own = seeds_needed(delta, sd, effect.pairs, len(tested) - step)
        needed = None if needed is None or own is None else max(needed, own)
        judged[i] = dataclasses.replace(effect, p=p, more_seeds=needed)
    return judged
