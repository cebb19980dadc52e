"""An effect of a trick, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trickbag.study.analysis.notes import EffectNote, EffectStatus, note_text

if TYPE_CHECKING:
    from trickbag.study.analysis.equivalence import Equivalence
    from trickbag.study.analysis.fold_means import FoldDifferences
    from trickbag.study.analysis.images import ImageInterval
    from trickbag.study.analysis.looks import Verdict
    from trickbag.study.analysis.outcomes import Cost

__all__ = ["Effect"]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The effect of a trick on the outcome, with minus without: an entry of `effects.json`.

    `delta` is the mean paired difference over the `pairs` seeds that have both, in units of the
    outcome; `sd` the standard deviation of the differences, `low` and `high` the unadjusted 95 % t
    interval, `p_raw` its two-sided p and `p` Holm's adjusted one. All are None where they are not
    defined, and `notes` say why. `more_seeds` are the seeds beyond those with which a new
    study would settle an undetermined effect, if every effect stayed as it is. `bootstrap`
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
    `verdict_images` follows from it. It is never surer than `verdict`. `equivalence` is there where
    the study has a margin.

    On folds all of this is about new splits of the data: `pairs` are the folds, of each of which
    there is one difference, the mean over its seeds, under `of_folds`. `sd` is that of these means,
    and the interval and its p take into account that the training images of two folds overlap.
    There is no interval for new images then, and no bootstrap.
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
    equivalence: Equivalence | None = None
    of_folds: FoldDifferences | None = None

    @property
    def exploratory(self) -> bool:
        """Whether the interval is of more seeds than the verdict may use."""
        return any(note.kind == "exploratory" for note in self.notes)

    @property
    def untuned_only(self) -> bool:
        """Whether it helps at the untuned value, and is not shown to where both arms are tuned."""
        return any(note.kind == "untuned_only" for note in self.notes)

    @property
    def note(self) -> str | None:
        """The notes in words; None where there are none."""
        return note_text(self.notes)
