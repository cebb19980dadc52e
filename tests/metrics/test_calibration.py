"""Bins of confidence and the expected calibration error, by hand."""

from __future__ import annotations

import pytest
import torch

from trickbag.metrics.calibration import ConfidenceBins

CPU = torch.device("cpu")


def test_bins_are_open_below_and_closed_above() -> None:
    bins = ConfidenceBins(4, CPU, torch.float64)
    confidence = torch.tensor([0.0, 0.25, 0.26, 0.5, 1.0], dtype=torch.float64)
    right = torch.tensor([False, True, False, True, True])
    bins.update(confidence, right, torch.ones(5, dtype=torch.bool))
    assert bins.counts.tolist() == [[2, 2, 0, 1], [1, 1, 0, 1]]
    assert bins.confidence.tolist() == pytest.approx([0.25, 0.76, 0, 1])
    # |1 - 0.25| + |1 - 0.76| + 0 + |1 - 1|
    assert bins.total_gap().item() == pytest.approx(0.99)


def test_images_that_do_not_count() -> None:
    bins = ConfidenceBins(2, CPU, torch.float64)
    bins.update(
        torch.tensor([0.9, torch.nan]), torch.tensor([True, True]), torch.tensor([True, False])
    )
    assert bins.counts.tolist() == [[0, 1], [0, 1]]
    assert bins.total_gap().item() == pytest.approx(0.1)


def test_a_confidence_that_is_nan_makes_the_error_nan() -> None:
    bins = ConfidenceBins(2, CPU, torch.float64)
    bins.update(torch.tensor([torch.nan]), torch.tensor([False]), torch.tensor([True]))
    assert bins.total_gap().isnan()
