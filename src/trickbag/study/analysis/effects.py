"""Effects of tricks and their prices: differences, intervals, adjusted p-values and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from trickbag.study.analysis.effect import Effect
from trickbag.study.analysis.equivalence import Equivalence, equivalence_p, require_margin
from trickbag.study.analysis.factorial import factorial
from trickbag.study.analysis.fold_means import fold_means, values_by_fold
from trickbag.study.analysis.images import differences_by_image, image_interval
from trickbag.study.analysis.looks import VERDICTS, Judgement, Verdict
from trickbag.study.analysis.notes import (
    EffectNote,
    status_of,
)
from trickbag.study.analysis.outcomes import OUTCOMES, require_outcome
from trickbag.study.analysis.paired import contrasts
from trickbag.study.analysis.statistics import Summary, bootstrap_interval, summarise
from trickbag.study.analysis.verdicts import judged

if TYPE_CHECKING:
    from trickbag.study.analysis.chance import ConstantAnswers
    from trickbag.study.analysis.images import ImageInterval, ScoresByImage
    from trickbag.study.analysis.outcomes import Cells, TrialNotes
    from trickbag.study.analysis.paired import EffectEstimate
    from trickbag.study.designs.layout import Layout
    from trickbag.study.units import Folds

__all__ = ["VERDICTS", "Effect", "Verdict", "effects"]

BOOTSTRAP_PAIRS = 8
"""Fewer pairs than this give too few different resamples."""

_OF_LEVELS = ("at_chance", "constant_loss")
"""The kinds of notes that say nothing of the difference itself."""


def effects(
    layouts: Sequence[Layout],
    cells: Cells,
    notes: TrialNotes,
    outcome: str = "top1",
    answers: ConstantAnswers = MappingProxyType({}),
    scores: ScoresByImage | None = None,
    margin: float | None = None,
    judgement: Judgement = Judgement(),  # noqa: B008  (frozen)
    folds: Folds | None = None,
) -> list[Effect]:
    """Return the effects of a study, in design order, from the metrics and notes of its trials.

    Layout by layout, contrast by contrast; of a factorial the main effects in the order of factors,
    then the two-way interactions, labelled `A*B`. Trials that failed are absent from `cells` and
    `notes`. P-values are adjusted over all effects that have one. With the constant `answers` of
    the evaluated parts, notes name the variants at chance. With the `scores` of the images in the
    outcome, effects have an interval for new images too. With a `margin`, the smallest difference
    that matters, those that are shown to be smaller are `equivalent`. `judgement` says at which
    level verdicts are given, by default at 5 %, and which stay from earlier looks. With `folds`
    the cells are by fold and seed, and effects are those of `Effect.of_folds`. Raises
    UserError for an unknown outcome and for a margin that cannot be.
    """
    require_outcome(outcome)
    require_margin(margin)
    summarised = []
    for layout in layouts:
        estimate = factorial if layout.factors else contrasts
        estimates = estimate(layout, cells, notes, outcome, answers)
        summarised += [_effect(each, scores, margin, folds) for each in estimates]
    return judged(summarised, OUTCOMES[outcome], judgement)


def _effect(
    estimate: EffectEstimate,
    scores: ScoresByImage | None,
    margin: float | None,
    folds: Folds | None,
) -> Effect:
    """Summarise an estimate; the verdicts, which depend on the other effects, are still open."""
    of_folds, overlap, shapley = None, 0.0, estimate.shapley
    differences, known = estimate.differences, estimate.notes
    if folds is not None:
        # Seeds on one fold share its images: they are no further splits of the data.
        of_folds, overlap = fold_means(differences, estimate.seeds, folds), folds.overlap
        differences, known = of_folds.means, (*known, *of_folds.notes())
        shapley = tuple(values_by_fold(shapley, estimate.seeds))
    summary = summarise(differences, estimate.scale, overlap)
    independent = folds is None
    resampled = independent and summary.p is not None and summary.pairs >= BOOTSTRAP_PAIRS
    value = summarise(shapley, estimate.scale, overlap)
    notes = (*known, *_why_no_interval(summary, known))
    images = None
    if scores is not None and independent and summary.low is not None:
        images, note = _images(estimate, scores, margin)
        notes += note
    p_margin = None if margin is None else equivalence_p(summary, margin)
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
        equivalence=None
        if margin is None or p_margin is None
        else Equivalence(
            margin=margin,
            p_raw=p_margin,
            p_images_raw=None if images is None else images.equivalence_p_raw,
        ),
        of_folds=of_folds,
    )


def _images(
    estimate: EffectEstimate, scores: ScoresByImage, margin: float | None
) -> tuple[ImageInterval | None, tuple[EffectNote, ...]]:
    """Return the interval of an estimate for new images, or a note that says why there is none."""
    table_SI = differences_by_image(estimate.weights, estimate.seeds, estimate.model, scores)
    if table_SI is None:
        reason = "a trial has no scores of its images: no interval for new images"
        return None, (EffectNote(kind="no_image_scores", reason=reason),)
    interval = image_interval(table_SI, estimate.scale, margin)
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
