"""The verdicts on effects: adjusted p-values, levels, margins, and what stays of earlier looks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trickbag.study.analysis.notes import EffectNote
from trickbag.study.analysis.statistics import ALPHA, holm, seeds_needed

if TYPE_CHECKING:
    from trickbag.study.analysis.effect import Effect
    from trickbag.study.analysis.equivalence import Equivalence
    from trickbag.study.analysis.looks import Judgement, Verdict

__all__ = ["judged"]


def judged(summarised: Sequence[Effect], better: str, judgement: Judgement) -> list[Effect]:
    """Adjust the p-values for their number, and give each effect its verdicts.

    `better` is the direction in which the outcome is. A verdict of an earlier look stays.
    """
    level = judgement.level
    effects = _judged(summarised, better, level)
    effects = _judged_by_images(effects, better, level)
    effects = _judged_by_margin(effects, level)
    return [_with_earlier(effect, judgement) for effect in effects]


def _with_earlier(effect: Effect, judgement: Judgement) -> Effect:
    """Return an effect with the verdicts that stay, and a note where there are no new ones."""
    verdict, of_images = judgement.earlier.get((effect.model, effect.label), ("undetermined", None))
    verdict = _joined(verdict, effect.verdict)
    if effect.verdict_images is not None:
        of_images = _joined(of_images or "undetermined", effect.verdict_images)
    notes = effect.notes
    if judgement.kind is not None and effect.p_raw is not None:
        notes = (*notes, EffectNote(kind=judgement.kind, reason=judgement.reason))
    most = judgement.stops_below
    stopped = judgement.settled_at.get((effect.model, effect.label), judgement.seeds)
    if most is not None and verdict != "undetermined" and stopped < most:
        reason = (
            f"stopped at {stopped} of at most {most} seeds, once it was settled: such an estimate "
            "is biased outwards"
        )
        notes = (*notes, EffectNote(kind="stopped_early", reason=reason))
    # Seeds beyond a first look settle nothing, and those of a plan are known.
    keeps = judgement.level == ALPHA and verdict == "undetermined"
    return dataclasses.replace(
        effect,
        verdict=verdict,
        verdict_images=of_images,
        notes=notes,
        more_seeds=effect.more_seeds if keeps else None,
    )


def _joined(earlier: Verdict, now: Verdict) -> Verdict:
    """Return the verdict of an earlier look, unless it was none, or is one that gives way."""
    gives_way = earlier == "equivalent" and now in ("helps", "hurts")
    return now if earlier == "undetermined" or gives_way else earlier


def _judged(summarised: Sequence[Effect], better: str, level: float) -> list[Effect]:
    """Adjust the p-values for their number, and give each effect its verdicts.

    An undetermined effect gets the seeds that would settle it. Holm's procedure goes on to an
    effect when those with a smaller p are settled; so does the count of seeds.
    """
    tested = [(effect.p_raw, i) for i, effect in enumerate(summarised) if effect.p_raw is not None]
    adjusted = holm([p for p, _ in tested])
    effects: list[Effect] = list(summarised)
    needed: int | None = 0
    for step, ((_, i), p) in enumerate(sorted(zip(tested, adjusted, strict=True))):
        effect = summarised[i]
        delta, sd = effect.delta or 0.0, effect.sd or 0.0
        if p < level:
            effects[i] = dataclasses.replace(effect, p=p, verdict=_direction(delta, better))
            continue
        # Of folds more seeds settle nothing: they are on the same images.
        of_seeds = effect.of_folds is None
        alone = seeds_needed(delta, sd, effect.pairs, len(tested) - step) if of_seeds else None
        needed = None if needed is None or alone is None else max(needed, alone)
        effects[i] = dataclasses.replace(effect, p=p, more_seeds=needed)
    return effects


def _judged_by_images(judged: Sequence[Effect], better: str, level: float) -> list[Effect]:
    """Give effects with an interval for new images the verdict about these.

    Where some effects lack one, the family is smaller; still no p is below that of the seeds.
    """
    intervals = [(i, each.images) for i, each in enumerate(judged) if each.images is not None]
    adjusted = holm([interval.p_raw for _, interval in intervals])
    effects = list(judged)
    for (i, _), p_of_images in zip(intervals, adjusted, strict=True):
        p = max(p_of_images, judged[i].p or 0.0)
        verdict = _direction(judged[i].delta or 0.0, better) if p < level else "undetermined"
        effects[i] = dataclasses.replace(judged[i], p_images=p, verdict_images=verdict)
    return effects


def _judged_by_margin(judged: Sequence[Effect], level: float) -> list[Effect]:
    """Name the effects that are shown to be smaller than the margin.

    The family of these tests is adjusted by itself. `helps` and `hurts` stay, with a note.
    """
    tested = [(i, e.equivalence) for i, e in enumerate(judged) if e.equivalence is not None]
    of_images = [(i, test.p_images_raw) for i, test in tested if test.p_images_raw is not None]
    p_images = dict(zip([i for i, _ in of_images], holm([p for _, p in of_images]), strict=True))
    effects = list(judged)
    for (i, test), p in zip(tested, holm([test.p_raw for _, test in tested]), strict=True):
        for_images = max(p_images[i], p) if i in p_images else None
        tested_effect = dataclasses.replace(test, p=p, p_images=for_images)
        effects[i] = _with_margin(judged[i], tested_effect, level)
    return effects


def _with_margin(effect: Effect, test: Equivalence, level: float) -> Effect:
    """Return an effect with the result of its tests against the margin."""
    verdict, of_images, notes = effect.verdict, effect.verdict_images, effect.notes
    if test.p < level and verdict == "undetermined":
        verdict = "equivalent"
    elif test.p < level:
        reason = f"smaller than the margin of {test.margin:g}"
        notes = (*notes, EffectNote(kind="within_margin", reason=reason))
    if of_images == "undetermined" and test.p_images is not None and test.p_images < level:
        of_images = "equivalent"
    more_seeds = None if verdict == "equivalent" else effect.more_seeds
    return dataclasses.replace(
        effect,
        verdict=verdict,
        verdict_images=of_images,
        notes=notes,
        equivalence=test,
        more_seeds=more_seeds,
    )


def _direction(delta: float, better: str) -> Verdict:
    return "helps" if (delta > 0) == (better == "higher") else "hurts"
