"""Intervals over images by the bootstrap: how far a number varies with other images of the kind.

Shapes: N images, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from trickbag.metrics.proportion import clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "Interval",
    "Statistic",
    "bootstrap_intervals",
    "linear",
    "mean_intervals",
    "mean_of",
]

Interval = tuple[float, float]
"""The low and the high end of a 95 % interval."""

_TAIL = 0.025
_MOST_RESAMPLES, _FEWEST_RESAMPLES = 1000, 200
_MOST_LEFT_OUT = 500
_CELLS = 20_000_000
"""Weights that are drawn in all: with more images there are fewer resamples."""

_BLOCK = 2**21
"""Weights at a time."""

_MOST_UNDEFINED = 0.05
"""The share of resamples in which a number may be undefined, as where a class has few images."""


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A number of N images that can be computed anew with other weights of them.

    `values` returns it (R,) for weights (R, N): how often each image is there. NaN is undefined.
    `low` and `high` are the ends of its scale. `share_of` is the number of images that it is a
    share of, for a share that also depends on other images.
    """

    values: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    low: float = 0.0
    high: float = 1.0
    share_of: int | None = None


def mean_of(values_N: NDArray[np.float64], high: float = np.inf) -> Statistic:
    """Return the statistic of the mean of a value of each image, such as its loss, from 0 up."""
    return Statistic(values=partial(_moved, value=0.0, influence_N=values_N), high=high)


def linear(value: float, influence_N: NDArray[np.float64]) -> Statistic:
    """Return the statistic of a value in [0, 1] that each image moves by its influence."""
    return Statistic(values=partial(_moved, value=value, influence_N=influence_N))


def _moved(
    weights_RN: NDArray[np.float64], value: float, influence_N: NDArray[np.float64]
) -> NDArray[np.float64]:
    moved_R: NDArray[np.float64] = value + weights_RN @ influence_N / weights_RN.sum(axis=1)
    return moved_R


def bootstrap_intervals(
    statistics: Mapping[str, Statistic], images: int, seed: int = 0
) -> dict[str, Interval | None]:
    """Return the 95 % intervals of statistics of `images` images.

    Images are drawn with replacement, the same for every statistic, from `seed`: 1,000 times, with
    more than 20,000 images less often, and no fewer than 200 times. The interval is that of Efron
    1987, "Better bootstrap confidence intervals" (BCa), of which the acceleration is estimated by
    leaving out up to 500 single images. That of a share is the exact interval of as many images as
    have the variance of the resamples (Korn and Graubard 1998, "Confidence intervals for
    proportions with small expected number of positive counts"). None where the resamples do not
    vary, as where every image is predicted rightly: nothing says then how rare the other ones are;
    and where more than 5 % of the resamples leave the number undefined.
    """
    if images < 2 or not statistics:
        return dict.fromkeys(statistics)
    rng = np.random.default_rng(seed)
    number = int(np.clip(_CELLS // images, _FEWEST_RESAMPLES, _MOST_RESAMPLES))
    resampled = _values(statistics, _resamples(rng, images, number))
    left_out = _values(statistics, _without_each(rng, images, min(number, _MOST_LEFT_OUT)))
    estimates = _values(statistics, iter([np.ones((1, images))]))
    return {
        name: _interval(
            statistic, float(estimates[name][0]), resampled[name], left_out[name], images
        )
        for name, statistic in statistics.items()
    }


def mean_intervals(values: Mapping[str, NDArray[np.float64]]) -> dict[str, Interval]:
    """Return the 95 % intervals of means over the same images, of values (N,) of any size.

    A mean that has none (`bootstrap_intervals`) is left out.
    """
    images = len(next(iter(values.values()), ()))
    statistics = {
        name: Statistic(
            values=partial(_moved, value=0.0, influence_N=values_N), low=-np.inf, high=np.inf
        )
        for name, values_N in values.items()
    }
    intervals = bootstrap_intervals(statistics, images)
    return {name: interval for name, interval in intervals.items() if interval is not None}


def _values(
    statistics: Mapping[str, Statistic], blocks: Iterator[NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """Return every statistic (R,) for the weights of all blocks."""
    rows: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    for weights_RN in blocks:
        for name, statistic in statistics.items():
            rows[name].append(statistic.values(weights_RN))
    return {name: np.concatenate(values) for name, values in rows.items()}


def _blocks(images: int, number: int) -> Iterator[tuple[int, int]]:
    rows = max(1, _BLOCK // images)
    for start in range(0, number, rows):
        yield start, min(rows, number - start)


def _resamples(rng: np.random.Generator, images: int, number: int) -> Iterator[NDArray[np.float64]]:
    """Yield blocks of `number` rows: how often each image is drawn."""
    for _, rows in _blocks(images, number):
        drawn = rng.integers(0, images, (rows, images)) + images * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * images)
        yield counts.reshape(rows, images).astype(np.float64)


def _without_each(
    rng: np.random.Generator, images: int, number: int
) -> Iterator[NDArray[np.float64]]:
    """Yield blocks of rows that each leave out an image; `number` of them if there are more."""
    left_out = np.arange(images)
    if images > number:
        left_out = rng.choice(images, number, replace=False)
    for start, rows in _blocks(images, len(left_out)):
        weights = np.ones((rows, images))
        weights[np.arange(rows), left_out[start : start + rows]] = 0.0
        yield weights


def _interval(
    statistic: Statistic,
    estimate: float,
    resampled_R: NDArray[np.float64],
    left_out_N: NDArray[np.float64],
    images: int,
) -> Interval | None:
    values = resampled_R[np.isfinite(resampled_R)]
    if not np.isfinite(estimate) or len(values) < (1 - _MOST_UNDEFINED) * len(resampled_R):
        return None
    if statistic.share_of is not None:
        return _share_interval(estimate, values, statistic.share_of)
    if np.ptp(values) <= 1e-9 * max(1.0, abs(estimate)):
        return None
    low, high = np.quantile(values, _levels(estimate, values, left_out_N, images))
    # Rounded: the last bits of sums depend on the number of threads.
    low, high = (
        round(float(np.clip(end, statistic.low, statistic.high)), 8) for end in (low, high)
    )
    return low, high


def _share_interval(share: float, values: NDArray[np.float64], images: int) -> Interval:
    binomial, variance = share * (1 - share), float(values.var())
    effective = min(images, binomial / variance) if variance > 0 and binomial > 0 else images
    low, high = clopper_pearson(share * effective, effective)
    return round(float(low), 8), round(float(high), 8)


def _levels(
    estimate: float,
    values: NDArray[np.float64],
    left_out_N: NDArray[np.float64],
    images: int,
) -> tuple[float, float]:
    """Return the levels of the resamples at which the interval of BCa ends."""
    normal = NormalDist()
    # Of resamples that equal the estimate half lie below it.
    below = np.mean(values < estimate - 1e-12) + np.mean(np.abs(values - estimate) <= 1e-12) / 2
    smallest = 0.5 / len(values)
    bias = normal.inv_cdf(float(np.clip(below, smallest, 1 - smallest)))
    acceleration = _acceleration(left_out_N[np.isfinite(left_out_N)], images)
    levels = []
    for z in (normal.inv_cdf(_TAIL), normal.inv_cdf(1 - _TAIL)):
        # The formula has a pole, beyond which levels would change places.
        room = max(0.05, 1 - acceleration * (bias + z))
        levels.append(normal.cdf(bias + (bias + z) / room))
    return levels[0], levels[1]


def _acceleration(left_out: NDArray[np.float64], images: int) -> float:
    """Return a sixth of the skewness of the statistic, by the values without single images."""
    if not len(left_out):
        return 0.0
    influence = left_out.mean() - left_out
    spread = float(np.mean(influence**2)) ** 1.5
    if spread <= 0:
        return 0.0
    return float(np.mean(influence**3) / spread / (6 * np.sqrt(images)))
