"""Counts of pixels, against a table by hand, scikit-learn and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score, recall_score

from trickbag.metrics.segmentation import IGNORED, PixelCounter, PixelCounts


def counted(predicted: np.ndarray, masks: np.ndarray, classes: int) -> PixelCounts:
    counter = PixelCounter(classes)
    for image, mask in zip(predicted, masks, strict=True):
        counter.add(torch.from_numpy(image), torch.from_numpy(mask))
    return counter.counts()


def test_a_table_by_hand() -> None:
    mask = np.array([[[0, 0, 0, 1], [1, 1, 255, 255]]], np.uint8)
    predicted = np.array([[[0, 0, 1, 1], [1, 2, 2, 0]]], np.uint8)
    counts = counted(predicted, mask, 4)
    assert counts.confusion[:, :4].tolist() == [[2, 1, 0, 0], [0, 2, 1, 0], [0] * 4, [0] * 4]
    iou = [score.iou for score in counts.per_class()]
    assert iou == [pytest.approx(200 / 3), 50, 0, None]
    metrics = counts.metrics()
    assert metrics["pixel_accuracy"] == pytest.approx(100 * 4 / 6)
    # The third class is predicted but not there: it counts as 0. The fourth is in neither.
    assert metrics["miou"] == pytest.approx((200 / 3 + 50 + 0) / 3)
    assert metrics["mean_class_accuracy"] == pytest.approx(100 * (2 / 3 + 2 / 3) / 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_equal_to_scikit_learn(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, classes, (3, 5, 7)).astype(np.uint8)
    masks[rng.random(masks.shape) < 0.2] = IGNORED
    predicted = rng.integers(0, classes, masks.shape).astype(np.uint8)
    masks[0, 0, 0] = 0
    counts = counted(predicted, masks, classes)
    kept = masks != IGNORED
    truth, labels = masks[kept], list(range(classes))
    chosen = predicted[kept]
    expected = confusion_matrix(truth, chosen, labels=labels)
    assert np.array_equal(counts.confusion[:, :classes], expected)
    metrics = counts.metrics()
    present = sorted(set(truth) | set(chosen))
    jaccard = jaccard_score(truth, chosen, labels=present, average="macro")
    assert metrics["miou"] == pytest.approx(100 * jaccard)
    assert metrics["pixel_accuracy"] == pytest.approx(100 * accuracy_score(truth, chosen))
    recall = recall_score(truth, chosen, labels=sorted(set(truth)), average="macro")
    assert metrics["mean_class_accuracy"] == pytest.approx(100 * recall)


@pytest.mark.slow
def test_equal_to_torchmetrics() -> None:
    from torchmetrics.functional.classification import multiclass_jaccard_index

    rng = np.random.default_rng(0)
    masks = rng.integers(0, 4, (2, 8, 8)).astype(np.uint8)
    masks[:, :2] = IGNORED
    predicted = rng.integers(0, 4, masks.shape).astype(np.uint8)
    expected = multiclass_jaccard_index(
        torch.from_numpy(predicted).long(),
        torch.from_numpy(masks).long(),
        num_classes=4,
        ignore_index=IGNORED,
    )
    assert counted(predicted, masks, 4).metrics()["miou"] == pytest.approx(100 * float(expected))


def test_pixels_without_a_prediction_are_wrong() -> None:
    mask = np.zeros((1, 2, 2), np.uint8)
    counts = counted(np.full((1, 2, 2), 2, np.uint8), mask, 2)
    assert counts.confusion.tolist() == [[0, 0, 4], [0, 0, 0]]
    assert counts.metrics() == {"pixel_accuracy": 0, "miou": 0, "mean_class_accuracy": 0}


def test_without_pixels_nothing_is_defined() -> None:
    counts = PixelCounter(3).counts()
    assert set(counts.metrics().values()) == {None}
    assert counts.intervals() == {}


def test_parts_are_merged_exactly() -> None:
    rng = np.random.default_rng(1)
    masks = rng.integers(0, 3, (5, 6, 6)).astype(np.uint8)
    predicted = rng.integers(0, 3, masks.shape).astype(np.uint8)
    together = counted(predicted, masks, 3)
    parts = [
        counted(predicted[rows], masks[rows], 3) for rows in (slice(2), slice(2, 2), slice(2, 5))
    ]
    merged = PixelCounts.merged(PixelCounts.from_dict(part.to_dict()) for part in parts)
    assert np.array_equal(merged.confusion, together.confusion)
    assert np.array_equal(merged.by_image, together.by_image)
    assert merged.intervals() == together.intervals()


def test_an_interval_holds_the_metric_and_narrows_with_images() -> None:
    rng = np.random.default_rng(2)
    masks = rng.integers(0, 3, (64, 6, 6)).astype(np.uint8)
    noise = rng.random(masks.shape) < rng.random((64, 1, 1))
    predicted = np.where(noise, rng.integers(0, 3, masks.shape), masks).astype(np.uint8)
    many, few = counted(predicted, masks, 3), counted(predicted[:8], masks[:8], 3)
    for name, value in many.metrics().items():
        low, high = many.intervals()[name]
        assert low < value < high
        wide = few.intervals()[name]
        assert high - low < wide[1] - wide[0]
    # An interval over images, as their resampling by scikit-learn's pooled value gives it.
    resampled = []
    for _ in range(500):
        rows = rng.integers(0, 64, 64)
        resampled.append(
            100 * jaccard_score(masks[rows].ravel(), predicted[rows].ravel(), average="macro")
        )
    expected = np.quantile(resampled, (0.025, 0.975))
    assert np.allclose(many.intervals()["miou"], expected, atol=1.5)


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match="shape"):
        PixelCounter(2).add(torch.zeros(2, 3), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="num_classes"):
        PixelCounter(256)
