"""Power: the smallest effect that a study of so many seeds can be expected to see."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from trickbag.study.analysis.statistics import ALPHA, number, standard_error, t_quantile

if TYPE_CHECKING:
    from trickbag.study.analysis.effects import Effect

__all__ = ["detectable", "standard_deviation"]


def detectable(
    pairs: int, sd: float, comparisons: int = 1, power: float = 0.8, overlap: float = 0.0
) -> float | None:
    """Return the smallest true difference that a study finds with this power, in the unit of `sd`.

    The test is the two-sided paired t test at 0.05 / `comparisons`, which is Holm's first and
    strictest step; `sd` is the standard deviation of the paired differences, `overlap` that of
    `standard_error`. None for fewer than 2 pairs. Raises ValueError where a number makes no sense:
    a negative `sd`, no comparison, a power that is not between the level and 1.
    """
    if pairs < 2:
        return None
    level = ALPHA / max(comparisons, 1)
    if comparisons < 1 or not 0 <= sd < math.inf or not level < power < 1:
        raise ValueError(
            f"sd = {sd}, comparisons = {comparisons}, power = {power}: no test is like this"
        )
    from scipy import optimize, stats

    freedom = pairs - 1
    critical = t_quantile(1 - level / 2, freedom)

    def surplus(shift: float) -> float:
        """Return the power at a true shift, in standard errors, beyond the power that is wanted."""
        right = float(stats.nct.sf(critical, freedom, shift))
        # The chance of a verdict in the wrong direction; scipy gives NaN where it is next to none.
        wrong = float(stats.nct.cdf(-critical, freedom, shift))
        return right + (0.0 if math.isnan(wrong) else wrong) - power

    most = critical + 1.0
    while surplus(most) < 0:
        most *= 2
    shift = float(optimize.brentq(surplus, 0.0, most))
    if overlap:
        return number(shift * standard_error(sd, pairs, overlap))
    return number(shift / math.sqrt(pairs) * sd)


def standard_deviation(effects: Iterable[Effect]) -> float | None:
    """Return the standard deviation of paired differences, pooled over all effects that have one.

    The root of their mean square, weighted by degrees of freedom; in the unit of the outcome. None
    where no effect has one.
    """
    spreads = [
        (effect.sd, effect.pairs - 1)
        for effect in effects
        if effect.sd is not None and effect.pairs > 1
    ]
    freedom = sum(degrees for _, degrees in spreads)
    if not freedom:
        return None
    return number(math.hypot(*(sd * math.sqrt(degrees / freedom) for sd, degrees in spreads)))
