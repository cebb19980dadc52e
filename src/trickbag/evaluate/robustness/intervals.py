"""Intervals over images of the errors on corrupted images.

Every mean over corruptions is linear in their errors. So each image has a value of its own, that of
its errors alone, and the metric is the mean of these values.

Shapes: N images, C cells, of one corruption and severity each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from trickbag.metrics.bootstrap import mean_intervals
from trickbag.metrics.corruption import SEVERITIES
from trickbag.metrics.proportion import exact_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from trickbag.evaluate.robustness.counts import CorruptionCounts
    from trickbag.metrics.bootstrap import Interval

__all__ = ["corruption_intervals"]

Errors = dict[str, list[float | None]]
"""Errors in percent of each corruption by severity."""

Metrics = Callable[[Errors, float | None], "Mapping[str, float | None]"]
"""Returns metrics of errors, and of that on images without a corruption."""


def corruption_intervals(counts: CorruptionCounts, metrics_of: Metrics) -> dict[str, Interval]:
    """Return the 95 % intervals of metrics over images; that of the clean error is exact.

    The others are those of `bootstrap.mean_intervals`. They need the same images in each cell, as
    where these are corrupted in memory; AlexNet's errors are taken as they are.
    """
    clean = counts.clean
    exact = exact_interval(clean.wrong, clean.images) if clean.images else None
    intervals = {} if exact is None else {"clean_error": exact}
    if not counts.is_paired:
        return intervals
    wrong_NC = np.stack([clean.wrong_N, *(cell.wrong_N for cell in counts.cells.values())], axis=1)
    weights = _weights(counts, metrics_of)
    values = {name: start + wrong_NC @ weights_C for name, (start, weights_C) in weights.items()}
    return mean_intervals(values) | intervals


def _weights(
    counts: CorruptionCounts, metrics_of: Metrics
) -> dict[str, tuple[float, NDArray[np.float64]]]:
    """Return each metric without an error, and how much an error of each cell adds to it.

    The first cell is that of the images without a corruption.
    """
    cells = list(counts.cells)
    names = {cell.corruption for cell in cells}

    def metrics(wrong: int | None) -> dict[str, float]:
        errors: Errors = {name: [None] * len(SEVERITIES) for name in names}
        for place, cell in enumerate(cells, 1):
            errors[cell.corruption][cell.severity - 1] = 100.0 * (place == wrong)
        values = metrics_of(errors, 100.0 * (wrong == 0))
        return {name: value for name, value in values.items() if value is not None}

    start = metrics(None)
    rows = [metrics(place) for place in range(len(cells) + 1)]
    return {
        name: (value, np.array([row[name] - value for row in rows]))
        for name, value in start.items()
    }
