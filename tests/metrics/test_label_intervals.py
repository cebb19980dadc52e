"""Intervals of the metrics of images with several labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from trickbag.metrics.label_intervals import label_intervals
from trickbag.metrics.multi_label import MultiLabel

N, K = 80, 3
RNG = np.random.default_rng(0)
LABELS = (RNG.random((N, K)) < 0.4).astype(np.int64)
LOGITS = (RNG.normal(size=(N, K)) + 2 * LABELS).astype(np.float32)


def measured(rows: slice = slice(None)) -> MultiLabel:
    scores_NK = 1 / (1 + np.exp(-LOGITS[rows].astype(np.float64)))
    return MultiLabel.of(scores_NK, LABELS[rows], (0.3, 0.5, 0.7))


def test_every_metric_has_an_interval_around_it() -> None:
    multi_label = measured()
    metrics = multi_label.metrics()
    assert metrics["auc_ovr"] == pytest.approx(
        100 * sk.roc_auc_score(LABELS, multi_label.scores, average="macro")
    )
    assert metrics["map"] == pytest.approx(
        100 * sk.average_precision_score(LABELS, multi_label.scores, average="macro")
    )
    losses_NK = np.log1p(np.exp(LOGITS.astype(float))) - LOGITS * LABELS
    metrics["loss"] = losses_NK.sum(1).mean()
    intervals = label_intervals(multi_label, metrics, LOGITS)
    assert set(intervals) == {*metrics}
    for name, (low, high) in intervals.items():
        assert low < (metrics[name] or 0) < high
    # The standard error of a mean, for a check of the width.
    half = 1.96 * losses_NK.sum(1).std() / N**0.5
    low, high = intervals["loss"]
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)


def test_what_has_no_interval() -> None:
    single = measured(slice(1))
    assert label_intervals(single, single.metrics(), LOGITS[:1]) == {}
    none = measured(slice(0))
    assert label_intervals(none, none.metrics()) == {}
    multi_label = measured()
    assert "loss" not in label_intervals(multi_label, multi_label.metrics())
    multi_label.scores[0] = np.nan
    assert label_intervals(multi_label, multi_label.metrics(), LOGITS) == {}
