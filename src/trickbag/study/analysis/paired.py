"""Estimates: what each seed says about an effect, and where it can say nothing, why; here by pairs
of two variants."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from trickbag.study.analysis.outcomes import COSTS, Cells, Cost, Metrics, Warnings
from trickbag.study.analysis.statistics import Summary, geometric_mean, number, summarise

if TYPE_CHECKING:
    from trickbag.study.designs.design import Layout

__all__ = [
    "EffectEstimate",
    "contrasts",
    "does_not_apply",
    "largest",
    "named",
    "no_effect",
    "price",
]


@dataclass(frozen=True, kw_only=True)
class EffectEstimate:
    """One number for each seed, in the order of seeds, with minus without; `scale` is the outcomes' largest magnitude.

    `shapley` holds the trick's Shapley value for each seed, in a full factorial. `notes` say what a
    reader must know, and why there are no differences where there are none. The other fields are
    those of `Effect`.
    """

    label: str
    model: str
    differences: tuple[float, ...] = ()
    scale: float = 0.0
    shapley: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    plus: str | None = None
    minus: str | None = None
    cost: Mapping[str, Cost] = field(default_factory=dict)


def contrasts(
    layout: Layout, cells: Cells, warnings: Warnings, outcome: str
) -> list[EffectEstimate]:
    """Return the estimates of a layout's contrasts: the differences of its two variants, seed by
    seed."""
    variants = {variant.label: variant for variant in layout.variants}
    found = []
    for contrast in layout.contrasts:
        estimate = EffectEstimate(
            label=contrast.label, model=layout.model, plus=contrast.plus, minus=contrast.minus
        )
        absent = [
            v for v in (variants[contrast.plus], variants[contrast.minus]) if v.recipe is None
        ]
        if absent:
            found.append(replace(estimate, notes=(does_not_apply(absent[0].reason),)))
            continue
        plus, minus = (
            cells.get((layout.model, label), {}) for label in (contrast.plus, contrast.minus)
        )
        pairs = _pairs(plus, minus, outcome)
        reason = no_effect(contrast.trick, warnings.get((layout.model, contrast.plus), ()))
        notes = [f"no effect: {reason}"] if reason is not None else []
        if not pairs:
            notes.append(_why_no_pair({contrast.plus: plus, contrast.minus: minus}, outcome))
        costs = {metric: _cost(_pairs(plus, minus, metric)) for metric in COSTS}
        found.append(
            replace(
                estimate,
                differences=tuple(a - b for a, b in pairs),
                scale=largest(pairs),
                notes=tuple(notes),
                cost={metric: cost for metric, cost in costs.items() if cost["pairs"]},
            )
        )
    return found


def _pairs(
    plus: Mapping[int, Metrics], minus: Mapping[int, Metrics], metric: str
) -> list[tuple[float, float]]:
    """Return the metric of both for each seed that has it in both, in the order of seeds."""
    both = [
        (number(plus[s].get(metric)), number(minus[s].get(metric)))
        for s in sorted(plus.keys() & minus.keys())
    ]
    return [(a, b) for a, b in both if a is not None and b is not None and math.isfinite(a - b)]


def _cost(pairs: Sequence[tuple[float, float]]) -> Cost:
    found = summarise([a - b for a, b in pairs], largest(pairs))
    return price(found, geometric_mean(pairs))


def price(found: Summary, ratio: float | None) -> Cost:
    """Return the price that a summary of differences and a ratio say."""
    return {
        "delta": found.mean,
        "low": found.low,
        "high": found.high,
        "ratio": ratio,
        "pairs": found.pairs,
    }


def largest(rows: Iterable[Iterable[float]]) -> float:
    """Return the largest magnitude in rows of numbers; 0 where there is none."""
    return max((abs(value) for row in rows for value in row), default=0.0)


def _why_no_pair(runs: Mapping[str, Mapping[int, Metrics]], outcome: str) -> str:
    empty = [label for label in runs if not runs[label]]
    if empty:
        return f"no finished trial of {named(empty)}"
    undefined = [
        label for label in runs if all(number(m.get(outcome)) is None for m in runs[label].values())
    ]
    if undefined:
        return f"{outcome} is not defined in any trial of {named(undefined)}"
    return f"{named(list(runs))} have no seed in common with {outcome} defined in both"


def does_not_apply(reason: str) -> str:
    """Write the note of an effect that cannot be measured because of a variant that cannot be."""
    return f"does not apply: {reason}"


def no_effect(trick: str, texts: Sequence[str]) -> str | None:
    """Return why a trick changed nothing, if trials warned that it has no effect."""
    start = f"{trick} has no effect"
    return next(
        (text[len(start) :].removeprefix(":").strip() for text in texts if text.startswith(start)),
        None,
    )


def named(labels: Sequence[str], most: int = 3) -> str:
    """Write labels as `a`, `a and b`, or `a, b, c and 5 more`."""
    if len(labels) > most:
        return f"{', '.join(labels[:most])} and {len(labels) - most} more"
    return " and ".join([*([", ".join(labels[:-1])] if labels[1:] else []), *labels[-1:]])
