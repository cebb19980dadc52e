"""Outcomes against torchmetrics, whose definitions are its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trickbag.metrics.multi_label import MultiLabel
from trickbag.metrics.outcomes import outcome_scores

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("classes", [2, 5])
def test_scores_of_one_label(classes: int) -> None:
    tm = pytest.importorskip("torchmetrics.functional.classification")
    rng = np.random.default_rng(classes)
    labels_N = rng.integers(0, classes, 200)
    logits_NK = rng.normal(size=(200, classes)).astype(np.float32)
    logits_NK[np.arange(200), labels_N] += 1
    scores = outcome_scores(logits_NK, labels_N)
    shares, labels = torch.from_numpy(logits_NK).double().softmax(1), torch.from_numpy(labels_N)
    area = tm.multiclass_auroc(shares, labels, classes, average="macro")
    assert scores["auc_ovr"] == pytest.approx(100 * float(area), rel=1e-5)
    kappa = tm.multiclass_cohen_kappa(shares, labels, classes, weights="quadratic")
    assert scores["quadratic_kappa"] == pytest.approx(float(kappa), rel=1e-5)
    if classes == 2:
        sensitivity, _ = tm.binary_sensitivity_at_specificity(shares[:, 1], labels, 0.95)
        assert scores["sensitivity_at_95"] == pytest.approx(100 * float(sensitivity), rel=1e-5)


def test_scores_of_several_labels() -> None:
    tm = pytest.importorskip("torchmetrics.functional.classification")
    rng = np.random.default_rng(0)
    labels_NK = (rng.random((150, 4)) < 0.3).astype(np.int64)
    scores_NK = rng.random((150, 4)) * (0.5 + 0.5 * labels_NK)
    metrics = MultiLabel.of(scores_NK, labels_NK, (0.5,) * 4).metrics()
    shares, labels = torch.from_numpy(scores_NK), torch.from_numpy(labels_NK)
    mean_precision = tm.multilabel_average_precision(shares, labels, 4, average="macro")
    assert metrics["map"] == pytest.approx(100 * float(mean_precision), rel=1e-5)
    area = tm.multilabel_auroc(shares, labels, 4, average="macro")
    assert metrics["auc_ovr"] == pytest.approx(100 * float(area), rel=1e-5)
