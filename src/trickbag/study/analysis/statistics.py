"""Statistics of paired differences, on plain numbers.

Student's t intervals, Holm's adjustment, the seeds needed, bootstrap intervals and ratios.
Distributions are scipy's, which is imported when it is first needed. Nothing here returns NaN or an
infinity: what is not defined, or beyond the range of floating-point numbers, is None.
"""

from __future__ import annotations

import bisect
import functools
import inspect
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "ALPHA",
    "ROUNDING",
    "Summary",
    "bootstrap_interval",
    "exponential_mean",
    "geometric_mean",
    "holm",
    "number",
    "power_of_two",
    "seeds_needed",
    "standard_error",
    "summarise",
    "t_quantile",
    "two_sided",
]

ALPHA = 0.05
"""The level of every test, and one minus the confidence of every interval."""

ROUNDING = 1e-12
"""A difference below this part of the numbers that it was computed from is taken for rounding."""

MOST_SEEDS = 1000
"""More seeds than this are not worth naming: nobody trains them."""

RESAMPLES = 9999


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What `pairs` differences say about their mean: t interval and two-sided p.

    A value that is not defined is None. `sd` is exactly 0 where the differences have no spread;
    there is no interval then. `overlap` is that of the training sets, 0 of differences that are
    independent.
    """

    pairs: int
    mean: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    overlap: float = 0.0


def standard_error(sd: float, pairs: int, overlap: float = 0.0) -> float:
    """Return the standard error of the mean of differences with this standard deviation.

    With folds, `overlap` is the number of images that judge a run over that of those that train it:
    runs share training images, and their differences are correlated, so that the variance of the
    mean is taken as (1 / J + overlap) sd^2, not sd^2 / J. Source: Nadeau and Bengio 2003,
    "Inference for the generalization error", section 4.
    """
    return sd * math.sqrt(1 / pairs + overlap) if overlap else sd / math.sqrt(pairs)


def number(value: float | int | None) -> float | None:
    """Return a finite float; None for None, NaN, infinities and integers beyond the range."""
    try:
        return float(value) if value is not None and math.isfinite(value) else None
    except OverflowError:
        return None


@functools.lru_cache(maxsize=256)
def t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution."""
    from scipy import special

    return float(special.stdtrit(freedom, probability))


def two_sided(t: float, freedom: int) -> float:
    """Return the two-sided p of a t statistic."""
    # What scipy.stats.t calls, without its checks, which take forty times as long.
    from scipy import special

    return min(1.0, 2 * float(special.stdtr(freedom, -abs(t))))


def power_of_two(largest: float) -> float:
    """Return the power of two at or below a magnitude, 1 for a magnitude of 0.

    Numbers up to the magnitude, divided by the result, have sums and squares that are finite.
    """
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest else 1.0


def summarise(differences: Sequence[float], scale: float, overlap: float = 0.0) -> Summary:
    """Summarise finite differences of numbers of magnitude `scale`, as `scipy.stats.ttest_rel`.

    Of folds there is a difference for each, with the `overlap` of their training sets
    (`standard_error`).

    Differences that are equal but for rounding (of numbers as large as `scale`) have no spread,
    hence no interval and no p: otherwise one image more in each of two pairs would be significant
    by the last bit of 100 * right / images.
    """
    n, rounding = len(differences), ROUNDING * scale
    if n == 0:
        return Summary(pairs=0, overlap=overlap)
    unit = power_of_two(max(abs(value) for value in differences))
    scaled = [value / unit for value in differences]
    # `fsum` rounds once, at the end: the order of the seeds cannot change the result.
    mean = math.fsum(scaled) / n
    if n == 1:
        return Summary(pairs=1, mean=number(mean * unit), overlap=overlap)
    if max(scaled) - min(scaled) <= rounding / unit:
        value = mean * unit
        mean = 0.0 if abs(value) <= rounding else value
        return Summary(pairs=n, mean=number(mean), sd=0.0, overlap=overlap)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in scaled) / (n - 1))
    error = standard_error(sd, n, overlap)
    half = t_quantile(1 - ALPHA / 2, n - 1) * error
    low, high = number((mean - half) * unit), number((mean + half) * unit)
    return Summary(
        pairs=n,
        mean=number(mean * unit),
        sd=number(sd * unit),
        low=low if high is not None else None,
        high=high if low is not None else None,
        p=two_sided(mean / error, n - 1),
        overlap=overlap,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number: the chance of any false rejection stays below the level.

    The smallest is multiplied by m, the next by m - 1, and so on; none may fall below the one
    before. Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    adjusted, worst = [0.0] * len(p_values), 0.0
    for step, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - step) * p_values[i]))
        adjusted[i] = worst
    return adjusted


def seeds_needed(delta: float, sd: float, pairs: int, comparisons: int) -> int | None:
    """Return the fewest seeds beyond `pairs` with which p * `comparisons` would be below 0.05.

    The mean difference `delta` and the standard deviation `sd` are taken to stay as they are. At
    least 1; None where the difference is zero or 1,000 seeds would not do.
    """
    if delta == 0 or sd <= 0:
        return None

    def settled(more: int) -> bool:
        n = pairs + more
        return two_sided(delta / sd * math.sqrt(n), n - 1) * comparisons < ALPHA

    # With mean and spread fixed p falls with every seed, so that a bisection finds the first.
    more = 1 + bisect.bisect_left(range(1, MOST_SEEDS + 1), True, key=settled)
    return more if more <= MOST_SEEDS else None


@functools.lru_cache(maxsize=1024)  # a live table asks again after every trial
def bootstrap_interval(differences: tuple[float, ...], purpose: str) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of the mean.

    It is the BCa interval, or the percentile interval where BCa is not defined. The draws come from
    the stream of `purpose` alone. Source: Efron 1987, "Better bootstrap confidence intervals".
    """
    import numpy as np
    from scipy import stats

    from trickbag.streams import stream

    unit = power_of_two(max(abs(value) for value in differences))
    # scipy renamed the argument in 1.15.
    generator = "rng" if "rng" in inspect.signature(stats.bootstrap).parameters else "random_state"
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            # A degenerate interval is NaN, which is looked at below.
            warnings.simplefilter("ignore")
            interval = stats.bootstrap(
                (np.array(differences) / unit,),
                np.mean,
                n_resamples=RESAMPLES,
                confidence_level=1 - ALPHA,
                method=method,
                **{generator: stream(0, purpose)},
            ).confidence_interval
        low, high = number(float(interval.low) * unit), number(float(interval.high) * unit)
        if low is not None and high is not None:
            return low, high
    return None


def exponential_mean(logarithms: Sequence[float], scale: float) -> float | None:
    """Return the exponential of the mean of logarithms of magnitude `scale`."""
    mean = summarise(logarithms, scale).mean
    try:
        return None if mean is None else number(math.exp(mean))
    except OverflowError:
        return None


def geometric_mean(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return the geometric mean of first / second over the pairs.

    None where there is no pair, or a number that is not positive.
    """
    if not pairs or any(a <= 0 or b <= 0 for a, b in pairs):
        return None
    logs = [(math.log(a), math.log(b)) for a, b in pairs]
    return exponential_mean([a - b for a, b in logs], max(abs(x) for pair in logs for x in pair))
