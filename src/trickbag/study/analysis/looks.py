"""Looks at a study that grows: what each may spend of the 5 %, and verdicts that stay.

A look is a number of seeds at which the verdicts on an outcome were written. Without a largest
number of seeds that was fixed before, the first look spends all; with one, each look spends what a
spending function grants for the seeds since the look before. The sum over the looks is 5 %,
whatever the looks have in common.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from trickbag.study.analysis.statistics import ALPHA

if TYPE_CHECKING:
    from trickbag.study.designs.layout import Layout

__all__ = [
    "VERDICTS",
    "Judgement",
    "Look",
    "Verdict",
    "Verdicts",
    "judgement",
    "settled_at",
    "spent",
    "stopped_cells",
    "unfinished",
    "with_look",
]

Verdict = Literal["helps", "hurts", "equivalent", "undetermined"]
VERDICTS: tuple[Verdict, ...] = ("helps", "hurts", "equivalent", "undetermined")
"""What is known of an effect; equivalent: that it is smaller than the margin."""

Verdicts = Mapping[tuple[str, str], tuple[Verdict, Verdict | None]]
"""The verdicts on effects, by (network, label): for new seeds, and for new images where known."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """The verdicts that were written on an outcome at a number of seeds.

    `level` is what the look had of the 5 %, `margin` that of its tests of equivalence.
    """

    outcome: str
    seeds: int
    level: float
    verdicts: Verdicts = field(default_factory=dict)
    margin: float | None = None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How effects get their verdicts: at which level, and which verdicts of earlier looks stay.

    `kind` and `reason` say why there are no new verdicts, where the level is 0. In a study that
    stops arms once they are settled, `stops_below` is the largest number of seeds, `seeds` that of
    this look, and `settled_at` that of the look that settled an effect.
    """

    level: float = ALPHA
    earlier: Verdicts = field(default_factory=dict)
    kind: Literal["exploratory", "unfinished"] | None = None
    reason: str = ""
    seeds: int = 0
    stops_below: int | None = None
    settled_at: Mapping[tuple[str, str], int] = field(default_factory=dict)


def spent(share: float) -> float:
    """Return how much of the 5 % may be spent once a share of the seeds, from 0 to 1, is there.

    It is the function that resembles O'Brien and Fleming's bounds: little at first, so that the
    last look keeps most. Source: Lan and DeMets 1983, "Discrete sequential boundaries for clinical
    trials".
    """
    if share <= 0:
        return 0.0
    if share >= 1:
        return ALPHA
    normal = NormalDist()
    return 2 * (1 - normal.cdf(normal.inv_cdf(1 - ALPHA / 2) / math.sqrt(share)))


def judgement(
    looks: Sequence[Look],
    outcome: str,
    seeds: int,
    max_seeds: int | None,
    margin: float | None,
    *,
    stops: bool = False,
    on_folds: bool = False,
) -> Judgement:
    """Return how a look at so many seeds judges, after the earlier `looks` of a study.

    A look at the same number of seeds takes the place of the one before. The study `stops` arms
    that are settled, or not. On folds no further look can be planned.
    """
    before = [look for look in looks if look.outcome == outcome and look.seeds < seeds]
    earlier: dict[tuple[str, str], tuple[Verdict, Verdict | None]] = {}
    for look in sorted(before, key=lambda look: look.seeds):
        for name, (verdict, of_images) in look.verdicts.items():
            first, first_of_images = earlier.get(name, ("undetermined", None))
            # Smaller than another margin is another finding.
            verdict = _of_margin(verdict, look, margin)
            of_images = None if of_images is None else _of_margin(of_images, look, margin)
            earlier[name] = (
                verdict if first == "undetermined" else first,
                of_images if first_of_images in (None, "undetermined") else first_of_images,
            )
    if max_seeds is not None:
        least = spent(max((look.seeds for look in before), default=0) / max_seeds)
        level = spent(seeds / max_seeds) - least
        return Judgement(
            level=max(0.0, level),
            earlier=earlier,
            seeds=seeds,
            stops_below=max_seeds if stops else None,
            settled_at=settled_at(before, outcome),
        )
    if not before:
        return Judgement()
    first_seeds = min(look.seeds for look in before)
    reason = (
        f"exploratory: the verdict is that of the first look, at {first_seeds} seeds, which has "
        "spent the 5 %"
    )
    if not on_folds:
        reason += "; fix --max-seeds before the first trial to look again"
    return Judgement(level=0.0, earlier=earlier, kind="exploratory", reason=reason)


def unfinished(judged: Judgement) -> Judgement:
    """Return how effects are judged while trials are left: by the earlier looks alone."""
    reason = "no verdict yet: it is given when the trials of all seeds have ended"
    return replace(judged, level=0.0, kind="unfinished", reason=reason)


def settled_at(looks: Sequence[Look], outcome: str) -> dict[tuple[str, str], int]:
    """Return the seeds of the look that settled an effect, by (network, label)."""
    first: dict[tuple[str, str], int] = {}
    for look in sorted(looks, key=lambda look: look.seeds):
        if look.outcome == outcome:
            for name, (verdict, _) in look.verdicts.items():
                if verdict != "undetermined":
                    first.setdefault(name, look.seeds)
    return first


def stopped_cells(
    layouts: Sequence[Layout], looks: Sequence[Look], outcome: str
) -> dict[tuple[str, str], int]:
    """Return the seeds after which variants are trained no more, by (network, label).

    A variant goes on while any of its effects is open. In a factorial every variant has a part in
    every effect: none is stopped by itself.
    """
    settled = settled_at(looks, outcome)
    needed: dict[tuple[str, str], list[int | None]] = {}
    for layout in layouts:
        unfit = {variant.label for variant in layout.variants if variant.recipe is None}
        for contrast in layout.contrasts:
            both = (contrast.plus, contrast.minus)
            if unfit.isdisjoint(both):
                for label in both:
                    seeds = settled.get((layout.model, contrast.label))
                    needed.setdefault((layout.model, label), []).append(seeds)
    return {
        cell: max(seeds for seeds in each if seeds is not None)
        for cell, each in needed.items()
        if None not in each
    }


def with_look(looks: Sequence[Look], look: Look) -> tuple[Look, ...]:
    """Return the looks with another, which takes the place of one at the same number of seeds."""
    place = (look.outcome, look.seeds)
    kept = [each for each in looks if (each.outcome, each.seeds) != place]
    return tuple(sorted([*kept, look], key=lambda each: each.seeds))


def _of_margin(verdict: Verdict, look: Look, margin: float | None) -> Verdict:
    return "undetermined" if verdict == "equivalent" and look.margin != margin else verdict
