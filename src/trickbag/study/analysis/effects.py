"""Effects of tricks and their prices: differences, intervals, adjusted p-values and verdicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from trickbag.study.analysis.factorial import factorial
from trickbag.study.analysis.images import differences_by_image, image_interval
from trickbag.study.analysis.notes import (
    EffectNote,
    EffectStatus,
    note_text,
    status_of,
)
from trickbag.study.analysis.outcomes import OUTCOMES, Cost, require_outcome
from trickbag.study.analysis.paired import contrasts
from trickbag.study.analysis.statistics import (
    ALPHA,
    Summary,
    bootstrap_interval,
    holm,
    seeds_needed,
    summarise,
)

if TYPE_CHECKING:
    from trickbag.study.analysis.chance import ConstantAnswers
    from trickbag.study.analysis.images import ImageInterval, ScoresByImage
    from trickbag.study.analysis.outcomes import Cells, TrialNotes
    from trickbag.study.analysis.paired import EffectEstimate
    from trickbag.study.designs.layout import Layout

__all__ = ["VERDICTS", "Effect", "Verdict", "effects"]

BOOTSTRAP_PAIRS = 8
"""Fewer pairs than this give too few different resamples."""

_OF_LEVELS = ("at_chance", "constant_loss")
"""The kinds of notes that say nothing of the difference itself."""

Verdict = Literal["helps", "hurts", "undetermined"]
VERDICTS: tuple[Verdict, ...] = ("helps", "hurts", "undetermined")


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The effect of a trick on the outcome, with minus without: an entry of `effects.json`.

    `delta` is the mean paired difference over the `pairs` seeds that have both, in units of the
    outcome; `sd` the standard deviation of the differences, `low` and `high` the unadjusted 95 % t
    interval, `p_raw` its two-sided p and `p` Holm's adjusted one. All are None where they are not
    defined, and `notes` say why. `more_seeds` are the seeds beyond those that would settle an
    undetermined effect, if the whole study got them and every effect stayed as it is. `bootstrap`
    is the 95 % interval of the resampled mean where there are at least 8 pairs. `shapley` is the
    same as `delta`, `low`, `high` for a trick's Shapley value in a full factorial. `plus` and
    `minus` are the labels of the variants compared; None in a factorial, where a pair is a seed and
    its difference a least-squares estimate. `cost` holds the trick's price in each metric of
    `COSTS` that was measured; an interaction has none. `status` says whether the effect was
    measured, and if not, what kept it. `level_with` and `level_without` are the outcome itself: its
    mean over the same pairs with the trick and without, in a factorial over all variants with it
    and without; None for an interaction.

    All of this is about new seeds on these images. `images` is the interval for new seeds and new
    images, where each trial has the scores of its images; `p_images` is Holm's adjusted p, and
    `verdict_images` follows from it. It is never surer than `verdict`.
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
    verdict: Verdict
    more_seeds: int | None = None
    bootstrap: tuple[float, float] | None = None
    shapley: tuple[float, float | None, float | None] | None = None
    plus: str | None = None
    minus: str | None = None
    level_with: float | None = None
    level_without: float | None = None
    cost: Mapping[str, Cost] = field(default_factory=dict)
    status: EffectStatus = "measured"
    notes: tuple[EffectNote, ...] = ()
    images: ImageInterval | None = None
    p_images: float | None = None
    verdict_images: Verdict | None = None

    @property
    def note(self) -> str | None:
        """The notes in words; None where there are none."""
        return note_text(self.notes)


def effects(
    layouts: Sequence[Layout],
    cells: Cells,
    notes: TrialNotes,
    outcome: str = "top1",
    answers: ConstantAnswers = MappingProxyType({}),
    scores: ScoresByImage | None = None,
) -> list[Effect]:
    """Return the effects of a study, in design order, from the metrics and notes of its trials.

    Layout by layout, contrast by contrast; of a factorial the main effects in the order of factors,
    then the two-way interactions, labelled `A*B`. Trials that failed are absent from `cells` and
    `notes`. P-values are adjusted over all effects that have one. With the constant `answers` of
    the evaluated parts, notes name the variants at chance. With the `scores` of the images in the
    outcome, effects have an interval for new images too. Raises UserError for an unknown outcome.
    """
    require_outcome(outcome)
    summarised = []
    for layout in layouts:
        estimate = factorial if layout.factors else contrasts
        estimates = estimate(layout, cells, notes, outcome, answers)
        summarised += [_effect(each, scores) for each in estimates]
    return _judged(summarised, OUTCOMES[outcome])


def _effect(estimate: EffectEstimate, scores: ScoresByImage | None) -> Effect:
    """Summarise an estimate; the verdicts, which depend on the other effects, are still open."""
    summary = summarise(estimate.differences, estimate.scale)
    resampled = summary.p is not None and summary.pairs >= BOOTSTRAP_PAIRS
    value = summarise(estimate.shapley, estimate.scale)
    notes = (*estimate.notes, *_why_no_interval(summary, estimate.notes))
    images = None
    if scores is not None and summary.low is not None:
        images, note = _images(estimate, scores)
        notes += note
    return Effect(
        label=estimate.label,
        model=estimate.model,
        delta=summary.mean,
        low=summary.low,
        high=summary.high,
        p=None,
        p_raw=summary.p,
        sd=summary.sd,
        pairs=summary.pairs,
        verdict="undetermined",
        # The draws follow from the label: more effects or networks leave them as they are.
        bootstrap=bootstrap_interval(estimate.differences, f"bootstrap:{estimate.label}")
        if resampled
        else None,
        shapley=(value.mean, value.low, value.high) if value.mean is not None else None,
        plus=estimate.plus,
        minus=estimate.minus,
        level_with=estimate.level_with,
        level_without=estimate.level_without,
        cost=estimate.cost,
        status=status_of(notes, summary.pairs),
        notes=notes,
        images=images,
    )


def _images(
    estimate: EffectEstimate, scores: ScoresByImage
) -> tuple[ImageInterval | None, tuple[EffectNote, ...]]:
    """Return the interval of an estimate for new images, or a note that says why there is none."""
    table_SI = differences_by_image(estimate.weights, estimate.seeds, estimate.model, scores)
    if table_SI is None:
        reason = "a trial has no scores of its images: no interval for new images"
        return None, (EffectNote(kind="no_image_scores", reason=reason),)
    interval = image_interval(table_SI, estimate.scale)
    if interval is not None:
        return interval, ()
    reason = f"{table_SI.shape[1]} images with a score: no interval for new images"
    return None, (EffectNote(kind="no_image_scores", reason=reason),)


def _why_no_interval(summary: Summary, notes: Sequence[EffectNote]) -> list[EffectNote]:
    """Say why a summary has no difference or no interval, unless the notes have said it."""
    if summary.pairs == 0 and all(note.kind in _OF_LEVELS for note in notes):
        reason = "every difference is beyond the range of numbers"
        return [EffectNote(kind="no_pairs", reason=reason)]
    reason = ""
    if summary.pairs == 1:
        reason = "one pair: an interval needs at least two"
    elif summary.pairs > 1 and summary.p is None:
        # Equal differences need no words where the trick is known to change nothing.
        if not any(note.kind == "no_effect" for note in notes):
            reason = "no spread: every pair differs by the same amount"
    elif summary.p is not None and summary.low is None:
        reason = "the interval is beyond the range of numbers"
    return [EffectNote(kind="no_interval", reason=reason)] if reason else []


def _judged(summarised: Sequence[Effect], better: str) -> list[Effect]:
    """Adjust the p-values for their number, and give each effect its verdicts.

    An undetermined effect gets the seeds that would settle it. Holm's procedure goes on to an
    effect when those with a smaller p are settled; so does the count of seeds.
    """
    tested = [(effect.p_raw, i) for i, effect in enumerate(summarised) if effect.p_raw is not None]
    adjusted = holm([p for p, _ in tested])
    judged: list[Effect] = list(summarised)
    needed: int | None = 0
    for step, ((_, i), p) in enumerate(sorted(zip(tested, adjusted, strict=True))):
        effect = summarised[i]
        delta, sd = effect.delta or 0.0, effect.sd or 0.0
        if p < ALPHA:
            judged[i] = dataclasses.replace(effect, p=p, verdict=_direction(delta, better))
            continue
        alone = seeds_needed(delta, sd, effect.pairs, len(tested) - step)
        needed = None if needed is None or alone is None else max(needed, alone)
        judged[i] = dataclasses.replace(effect, p=p, more_seeds=needed)
    return _judged_by_images(judged, better)


def _judged_by_images(judged: Sequence[Effect], better: str) -> list[Effect]:
    """Give effects with an interval for new images the verdict about these.

    Where some effects lack one, the family is smaller; still no p is below that of the seeds.
    """
    intervals = [(i, each.images) for i, each in enumerate(judged) if each.images is not None]
    adjusted = holm([interval.p_raw for _, interval in intervals])
    effects = list(judged)
    for (i, _), p_of_images in zip(intervals, adjusted, strict=True):
        p = max(p_of_images, judged[i].p or 0.0)
        verdict = _direction(judged[i].delta or 0.0, better) if p < ALPHA else "undetermined"
        effects[i] = dataclasses.replace(judged[i], p_images=p, verdict_images=verdict)
    return effects


def _direction(delta: float, better: str) -> Verdict:
    return "helps" if (delta > 0) == (better == "higher") else "hurts"
