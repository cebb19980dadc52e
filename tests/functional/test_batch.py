"""The batch: what belongs to its images, and what weighs its labels."""

from __future__ import annotations

import torch

from trickbag.functional.batch import Batch

N, K = 3, 2


def batch(**fields: torch.Tensor) -> Batch:
    extras = {"teacher": torch.rand(N, K)}
    return Batch(torch.rand(N, 3, 4, 4), torch.rand(N, K), torch.arange(N), extras)._replace(
        **fields
    )


def test_map_labels_changes_all_that_is_said_about_images_and_nothing_else() -> None:
    before = batch(row_weights=torch.rand(N), class_weights=torch.rand(N, K))
    after = before.map_labels(lambda values: values.flip(0))
    for name in ("targets", "row_weights", "class_weights"):
        assert torch.equal(getattr(after, name), getattr(before, name).flip(0))
    assert torch.equal(after.extras["teacher"], before.extras["teacher"].flip(0))
    assert after.images is before.images
    assert after.index is before.index


def test_absent_weights_stay_absent() -> None:
    after = batch().map_labels(torch.clone)
    assert after.row_weights is None
    assert after.class_weights is None


def test_the_weights_of_classes_come_before_those_of_rows() -> None:
    rows, classes = torch.rand(N), torch.rand(N, K)
    assert batch().label_weights() is None
    assert batch(row_weights=rows).label_weights() is rows
    assert batch(row_weights=rows, class_weights=classes).label_weights() is classes
