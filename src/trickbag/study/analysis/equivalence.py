"""Equivalence: two one-sided tests of a difference against a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.study.analysis.statistics import standard_error, two_sided

if TYPE_CHECKING:
    from trickbag.study.analysis.statistics import Summary

__all__ = ["MAX_MARGIN", "Equivalence", "equivalence_p", "require_margin"]

MAX_MARGIN = 1e9


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """What is known of a difference being smaller than a margin, in units of the outcome.

    `p_raw` is the larger p of the two one-sided tests: below 0.05 the 90 % interval lies within the
    margin. `p` is Holm's adjusted one. `p_images_raw` and `p_images` are the same for new seeds and
    new images; None where there is no interval for these.
    """

    margin: float
    p_raw: float
    p: float = 1.0
    p_images_raw: float | None = None
    p_images: float | None = None


def require_margin(margin: float | None) -> None:
    """Raise UserError for a margin that no difference can be compared with."""
    if margin is not None and not 0 < margin <= MAX_MARGIN:
        raise UserError(
            f"margin = {margin}: must be more than 0 and at most {MAX_MARGIN:.0e}",
            "give the smallest difference that matters, in units of the outcome",
        )


def equivalence_p(summary: Summary, margin: float) -> float | None:
    """Return the larger p of the tests that a mean is above -`margin` and below `margin`.

    None where the differences have no spread. Source: Schuirmann 1987, "A comparison of the two
    one-sided tests procedure and the power approach".
    """
    if summary.p is None or summary.mean is None or not summary.sd:
        return None
    error = standard_error(summary.sd, summary.pairs, summary.overlap)
    inside = (margin - abs(summary.mean)) / error
    if not math.isfinite(inside):
        return 0.0 if inside > 0 else 1.0
    half = two_sided(inside, summary.pairs - 1) / 2
    return half if inside > 0 else 1 - half
