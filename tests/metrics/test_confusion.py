"""Which classes are taken for which others, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from trickbag.metrics.confusion import Confused, count_confusions


def test_the_matrix_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    labels_N, predicted_N = rng.integers(0, 5, (2, 60))
    confusions = count_confusions(labels_N, predicted_N, "abcdef")
    expected = confusion_matrix(labels_N, predicted_N, labels=range(6))
    assert np.array_equal(np.array(confusions.matrix), expected)
    counts = [pair.images for pair in confusions.largest]
    assert counts == sorted(counts, reverse=True)
    for pair in confusions.largest:
        label, predicted = "abcdef".index(pair.label), "abcdef".index(pair.predicted)
        assert pair.images == expected[label, predicted]
        assert pair.support == expected[label].sum()


def test_an_image_without_logits_is_taken_for_no_class() -> None:
    confusions = count_confusions(np.array([0, 0, 1]), np.array([-1, 1, -1]), ["cat", "dog"])
    assert confusions.matrix == ((0, 1), (0, 0))
    assert confusions.largest == (Confused("cat", "dog", 1, 2),)
    assert confusions.to_dict()["largest"] == [
        {"label": "cat", "predicted": "dog", "images": 1, "support": 2}
    ]


@pytest.mark.parametrize(("classes", "has_matrix"), [(100, True), (101, False), (20_000, False)])
def test_many_classes_have_their_largest_confusions_alone(classes: int, has_matrix: bool) -> None:
    labels_N = np.arange(classes)
    confusions = count_confusions(labels_N, labels_N[::-1], [f"c{k}" for k in range(classes)])
    assert (confusions.matrix is not None) == has_matrix
    assert len(confusions.largest) == 30


def test_of_no_images_there_are_none() -> None:
    none = np.zeros(0, np.int64)
    assert count_confusions(none, none, ["cat"]).to_dict() == {"largest": [], "matrix": [[0]]}
