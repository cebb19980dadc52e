"""Intervals over images of the metrics of images with several labels.

Shapes: N images, K classes, R sets of weights of the images.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.metrics.bootstrap import Interval, Statistic, bootstrap_intervals, linear, mean_of
from trickbag.metrics.influence import (
    auc_influence,
    label_f1_influence,
    macro_influence,
    precision_influence,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from trickbag.metrics.multi_label import MultiLabel

__all__ = ["label_intervals"]

_INFLUENCES = {"map": precision_influence, "auc_ovr": auc_influence}


def label_intervals(
    multi_label: MultiLabel,
    metrics: Mapping[str, float | None],
    logits_NK: NDArray[np.floating[Any]] | None = None,
) -> dict[str, Interval]:
    """Return the 95 % intervals, over images, of the metrics of images with several labels.

    They are in the units of the metrics. All are those of `bootstrap_intervals`, in which means
    over classes are moved by the influences of the images. The thresholds stay as they are, also
    where they were chosen on these images. A metric that is undefined, or whose resamples do not
    vary, has none, nor has the loss without logits.
    """
    labels_NK, predicted_NK = multi_label.labels > 0, multi_label.predicted > 0
    images = len(labels_NK)
    if not images or not np.isfinite(multi_label.scores).all():
        return {}
    influences = {
        name: macro_influence(
            (
                influence(scores_N, positive_N)
                for scores_N, positive_N in zip(multi_label.scores.T, labels_NK.T, strict=True)
            ),
            images,
        )
        for name, influence in _INFLUENCES.items()
    }
    influences["f1"] = label_f1_influence(predicted_NK, labels_NK)
    influences["f1_at_half"] = label_f1_influence(multi_label.scores >= 0.5, labels_NK)
    statistics = {
        name: linear(value / 100, influence_N)
        for name, influence_N in influences.items()
        if (value := metrics.get(name)) is not None
    }
    statistics["f1_micro"] = _micro_f1(predicted_NK, labels_NK)
    in_percent = bootstrap_intervals(statistics, images)
    intervals = {
        name: (round(100 * interval[0], 8), round(100 * interval[1], 8))
        for name, interval in in_percent.items()
        if interval is not None
    }
    if logits_NK is not None:
        loss = bootstrap_intervals({"loss": mean_of(_losses(logits_NK, labels_NK))}, images)["loss"]
        intervals |= {} if loss is None else {"loss": loss}
    return intervals


def _micro_f1(predicted_NK: NDArray[np.bool_], labels_NK: NDArray[np.bool_]) -> Statistic:
    right_N = (predicted_NK & labels_NK).sum(axis=1)
    total_N = predicted_NK.sum(axis=1) + labels_NK.sum(axis=1)
    counts_N2 = np.stack((2.0 * right_N, total_N.astype(np.float64)), axis=1)
    return Statistic(values=partial(_ratios, counts_N2=counts_N2))


def _ratios(weights_RN: NDArray[np.float64], counts_N2: NDArray[np.float64]) -> NDArray[np.float64]:
    part_R, total_R = (weights_RN @ counts_N2).T
    return np.where(total_R > 0, part_R / np.where(total_R > 0, total_R, 1.0), np.nan)


def _losses(
    logits_NK: NDArray[np.floating[Any]], labels_NK: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the binary cross-entropy (N,) of each image, summed over the classes, in nats."""
    logits = logits_NK.astype(np.float64)
    losses_N: NDArray[np.float64] = (np.logaddexp(0.0, logits) - logits * labels_NK).sum(axis=1)
    return losses_N
