"""How good a probe's neighbours are on a part: the vote of the nearest, and retrieval.

Shapes: Q images of the part, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from trickbag.metrics.bootstrap import Interval, bootstrap_intervals, mean_of
from trickbag.metrics.label_intervals import label_intervals
from trickbag.metrics.multi_label import MultiLabel
from trickbag.metrics.proportion import exact_interval
from trickbag.train.probe.neighbours import RECALLS, nearest, retrieve, votes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.train.probe.choice import Labelled

__all__ = ["neighbour_scores"]

Scores = tuple[dict[str, float | None], dict[str, Interval]]
"""Metrics in percent by name, None where undefined, and their 95 % intervals over images."""


def neighbour_scores(
    queries: Labelled, gallery: Labelled, k: int, on_step: Callable[[], None]
) -> Scores:
    """Return `knn_top1` (or `knn_map`), `recall_at_1`, `_5`, `_10` and `r_precision`.

    The neighbours of each query are sought in the gallery, the training images. With several labels
    an image, an image is of the same class if it shares a label.
    """
    metrics, intervals = _vote_scores(queries, gallery, k, on_step)
    retrieval = retrieve(
        queries.features, queries.targets, gallery.features, gallery.targets, on_step
    )
    for rank in RECALLS:
        hit_Q = retrieval.recall(rank).numpy()
        _enter_share(f"recall_at_{rank}", hit_Q, metrics, intervals)
    precision_Q = retrieval.precision.numpy()
    metrics["r_precision"] = 100 * float(precision_Q.mean()) if len(precision_Q) else None
    if len(precision_Q):
        name = "r_precision"
        interval = bootstrap_intervals({name: mean_of(precision_Q, high=1.0)}, len(precision_Q))
        if (ends := interval[name]) is not None:
            intervals[name] = round(100 * ends[0], 8), round(100 * ends[1], 8)
    return metrics, intervals


def _vote_scores(
    queries: Labelled, gallery: Labelled, k: int, on_step: Callable[[], None]
) -> Scores:
    metrics: dict[str, float | None] = {}
    intervals: dict[str, Interval] = {}
    k = min(k, len(gallery))
    neighbours = nearest(queries.features, gallery.features, k, on_step=on_step)
    shares_QK = next(votes(neighbours, gallery.targets, [k])).numpy()
    labels_QK = queries.targets.cpu().numpy().astype(np.int64)
    if not queries.multi_label:
        right_Q = shares_QK.argmax(axis=1) == labels_QK.argmax(axis=1)
        _enter_share("knn_top1", right_Q, metrics, intervals)
        return metrics, intervals
    ranked = MultiLabel.of(shares_QK, labels_QK, (0.5,) * labels_QK.shape[1])
    of_shares = ranked.metrics()
    metrics["knn_map"] = of_shares["map"]
    ends = label_intervals(ranked, of_shares).get("map")
    return metrics, intervals if ends is None else {"knn_map": ends}


def _enter_share(
    name: str,
    hit_Q: NDArray[np.bool_],
    metrics: dict[str, float | None],
    intervals: dict[str, Interval],
) -> None:
    """Enter the share of images of which something is so, in percent, with its interval."""
    right, images = int(hit_Q.sum()), len(hit_Q)
    metrics[name] = 100 * right / images if images else None
    if (ends := exact_interval(right, images)) is not None:
        intervals[name] = ends
