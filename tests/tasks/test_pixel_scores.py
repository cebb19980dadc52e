"""The file of the scores of each image, and what it says of a file that is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from trickbag.errors import UserError
from trickbag.metrics.segmentation import PixelCounter
from trickbag.tasks.pixel_scores import pixel_score_rows, pixel_scores_csv, read_scores


def test_scores_are_those_of_scikit_learn_and_are_read_back(tmp_path: Path) -> None:
    import torch

    rng = np.random.default_rng(0)
    masks = rng.integers(0, 4, (3, 9, 7))
    predicted = np.where(rng.random(masks.shape) < 0.6, masks, rng.integers(0, 4, masks.shape))
    predicted[2] = masks[2]
    masks[2, :3] = 255
    counter = PixelCounter(5)  # no image shows the last class
    for each in range(3):
        counter.add(torch.from_numpy(predicted[each]), torch.from_numpy(masks[each]))
    names = ("a.jpg", 'b,"c".jpg', "images/ü.png")
    rows = pixel_score_rows(names, counter.counts().by_image)
    for row, mask, guess in zip(rows, masks, predicted, strict=True):
        counted = mask != 255
        right = 100 * (mask == guess)[counted].mean()
        iou = 100 * jaccard_score(mask[counted], guess[counted], average="macro")
        assert row[1:] == pytest.approx((right, iou))
    file = tmp_path / "pixel_scores.csv"
    file.write_bytes(pixel_scores_csv(rows))
    read = read_scores(file)
    assert read is not None
    assert [row.image for row in read] == list(names)
    assert np.allclose([row[1:] for row in read], [row[1:] for row in rows], atol=5e-5)
    assert read_scores(tmp_path / "absent.csv") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image,miou\na,1\n", "line 1 has no column 'pixel_accuracy'"),
        ("image,pixel_accuracy,miou\na,1\n", "line 2 has 2 fields"),
        ("image,pixel_accuracy,miou\na,1,x\n", "line 2: miou = 'x'"),
        ("image,pixel_accuracy,miou\na,101,1\n", "line 2: pixel_accuracy = '101'"),
        ("image,pixel_accuracy,miou\na,nan,1\n", "line 2: pixel_accuracy = 'nan'"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "pixel_scores.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=says):
        read_scores(file)
