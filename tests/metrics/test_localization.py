from __future__ import annotations

import numpy as np
import pytest

from trickbag.metrics.localization import (
    THRESHOLDS,
    agreement,
    box_accuracy,
    box_iou,
    component_boxes,
    max_box_accuracy,
    max_box_accuracy_v2,
    normalised,
)

# 5 x 6 places: a large part at the top left, a higher but smaller one at the bottom right.
MAP = np.array(
    [
        [0.6, 0.6, 0.6, 0.0, 0.0, 0.0],
        [0.6, 0.6, 0.6, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
    ]
)


def test_boxes_are_those_of_the_connected_parts_the_largest_first() -> None:
    assert component_boxes(MAP, 0.5).tolist() == [[0, 0, 3, 2], [4, 3, 6, 5]]
    # Pixels that touch at a corner are connected.
    assert component_boxes(MAP, 0.7).tolist() == [[4, 3, 6, 5]]
    assert component_boxes(MAP, 1.0).shape == (0, 4)
    # Equally large parts: the upper one.
    assert component_boxes(np.eye(1, 3) + np.eye(1, 3, 2), 0.5)[0].tolist() == [0, 0, 1, 1]


def test_maps_are_scaled_to_their_range() -> None:
    assert normalised([[-1.0, 0.0], [1.0, 3.0]]).tolist() == [[0, 0.25], [0.5, 1]]
    for flat in ([[2.0, 2.0]], [[np.nan, 1.0]], [[np.inf, 1.0]]):
        assert not normalised(flat).any()


def test_iou_by_hand() -> None:
    first = [[0, 0, 4, 4], [0, 0, 0, 5]]
    second = [[0, 0, 4, 4], [2, 2, 6, 6], [4, 0, 8, 4], [1, 1, 3, 3]]
    assert box_iou(first, second).tolist() == [[1, 4 / 28, 0, 4 / 16], [0, 0, 0, 0]]


@pytest.mark.slow
def test_iou_is_that_of_torchvision() -> None:
    import torch
    from torchvision.ops import box_iou as reference

    corners = np.random.default_rng(0).uniform(0, 50, (2, 40, 2, 2))
    first, second = np.sort(corners, axis=2).reshape(2, 40, 4)
    expected = reference(torch.from_numpy(first), torch.from_numpy(second)).numpy()
    assert box_iou(first, second) == pytest.approx(expected, abs=1e-12)


def test_agreement_at_each_threshold() -> None:
    largest, best = agreement(MAP, [[4, 3, 6, 5]])
    assert len(largest) == len(THRESHOLDS) == 100
    # Below 0.6 the large part counts, which is elsewhere; any part is the small one too.
    assert largest.tolist() == [0.0] * 60 + [1.0] * 40
    assert best.tolist() == [1.0] * 100
    # With more than one object the best of them counts.
    assert agreement(MAP, [[4, 3, 6, 5], [0, 0, 3, 2]])[0].tolist() == [1.0] * 100
    assert not np.any(agreement(np.zeros((5, 6)), [[0, 0, 6, 5]]))


def test_agreement_of_a_smooth_map_is_that_of_its_boxes() -> None:
    y, x = np.mgrid[:40, :60]
    values = normalised(np.exp(-(((x - 35) / 9) ** 2) - ((y - 18) / 6) ** 2) + 0.3 * (x < 4))
    objects = [[26, 12, 44, 24]]
    largest, best = agreement(values, objects)
    for threshold, first, most in zip(THRESHOLDS, largest, best, strict=True):
        ious = box_iou(component_boxes(values, threshold), objects)
        assert (first, most) == (ious[0, 0], ious.max())


def test_max_box_accuracy_by_hand() -> None:
    # Three maps at three thresholds.
    ious = [[0.5, 0.6, 0.2], [0.1, 0.7, 0.8], [0.2, 0.4, 0.9]]
    assert box_accuracy(ious).tolist() == pytest.approx([100 / 3, 200 / 3, 200 / 3])
    assert max_box_accuracy(ious) == pytest.approx(200 / 3)
    assert max_box_accuracy(ious, 0.3) == pytest.approx(100)
    # At 0.3 all three (second threshold), at 0.5 and at 0.7 two (third).
    assert max_box_accuracy_v2(ious) == pytest.approx((100 + 200 / 3 + 200 / 3) / 3)
    assert max_box_accuracy([]) is None
    assert max_box_accuracy_v2([]) is None


def test_the_ends_of_the_classes_of_iou_count_as_right() -> None:
    # 0.7 is stored below 7 / 10 in float32: IoU must stay float64.
    iou = box_iou([[0, 0, 7, 1]], [[0, 0, 10, 1]])
    assert box_accuracy(iou, 0.7).tolist() == [100.0]
