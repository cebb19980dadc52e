"""The scores of single images: what they are, and files that are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trickbag.metrics.calibration_errors import brier_score, negative_log_likelihood
from trickbag.metrics.image_scores import ImageScores
from trickbag.train.folder.image_scores import read_image_scores


def test_scores_have_the_metrics_as_their_means() -> None:
    rng = np.random.default_rng(0)
    # More images than a block has.
    logits, labels = rng.normal(size=(5000, 7)), rng.integers(0, 7, 5000)
    scores = ImageScores.of(logits, labels)
    assert scores.top1.mean(dtype=float) == pytest.approx(100 * (logits.argmax(1) == labels).mean())
    assert scores.loss.mean(dtype=float) == pytest.approx(negative_log_likelihood(logits, labels))
    assert scores.brier.mean(dtype=float) == pytest.approx(brier_score(logits, labels))


def test_an_image_with_a_logit_that_is_not_finite_is_wrong_and_has_no_loss() -> None:
    logits = np.array([[2.0, 1.0], [np.nan, np.nan]])
    scores = ImageScores.of(logits, np.array([0, 0])).placed(np.array([2, 0]), 3)
    assert scores.top1.tolist()[0] == 0.0
    assert scores.top1.tolist()[2] == 100.0
    assert np.isnan(scores.top1[1])  # not among those that were evaluated
    assert np.isnan(scores.loss).tolist() == [True, True, False]


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"PK\x03\x04" + 40 * b"\0", b"text"])
def test_a_damaged_file_has_no_scores(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "image_scores.npz"
    assert read_image_scores(file, "val", "loss") is None
    file.write_bytes(content)
    assert read_image_scores(file, "val", "loss") is None


def test_a_file_of_other_arrays_has_no_scores(tmp_path: Path) -> None:
    file = tmp_path / "image_scores.npz"
    np.savez(file, val_loss=np.zeros((2, 2), np.float32), val_top1=np.array(["a"]))
    assert read_image_scores(file, "val", "loss") is None
    assert read_image_scores(file, "val", "top1") is None
    assert read_image_scores(file, "test", "top1") is None


def test_a_file_that_is_cut_or_changed_has_no_scores(tmp_path: Path) -> None:
    file = tmp_path / "image_scores.npz"
    np.savez(file, val_loss=np.arange(100, dtype=np.float32))
    data = file.read_bytes()
    assert read_image_scores(file, "val", "loss") is not None
    for damaged in (data[:-30], data[:60] + data[200:], data[:200] + b"\1" + data[201:]):
        file.write_bytes(damaged)
        assert read_image_scores(file, "val", "loss") is None
