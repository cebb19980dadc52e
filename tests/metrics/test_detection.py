"""Average precision against a table computed by hand, a plain loop, and what must hold always."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trickbag.metrics.detection import (
    DetectedImage,
    average_precision,
    average_precision_voc07,
    box_scores,
    mean_precision_interval,
    rank_detections,
    right_detections,
    voc_metrics,
)

A, B, C, D, E = (
    (0, 0, 10, 10),
    (20, 0, 30, 10),
    (0, 0, 40, 20),
    (50, 50, 60, 60),
    (5, 5, 25, 25),
)


def image(
    index: int, objects: Sequence[Sequence[float]], detections: Sequence[Sequence[float]]
) -> DetectedImage:
    """An image of objects (class, box, difficult) and detections (class, box, score)."""
    rows = [np.array(each, np.float64).reshape(-1, 6) for each in (objects, detections)]
    return DetectedImage(index, rows[0], rows[1])


def hand_table() -> list[DetectedImage]:
    """Four objects and a difficult one of class 1, and these detections, by their scores.

    score  image  overlaps with      counts as  right  all  precision  recall
    0.9    0      A                  right      1      1    1          1/4
    0.8    1      D, difficult       nothing
    0.7    0      A, found before    wrong      1      2    1/2        1/4
    0.6    1      C                  right      2      3    2/3        2/4
    0.5    2      nothing            wrong      2      4    1/2        2/4
    0.4    2      E                  right      3      5    3/5        3/4
    0.3    0      B, at an IoU of .4 wrong      3      6    1/2        3/4
    """
    return [
        image(
            0,
            [[1, *A, 0], [1, *B, 0]],
            [[1, *A, 0.9], [1, *A, 0.7], [1, 20, 0, 24, 10, 0.3]],
        ),
        image(1, [[1, *D, 1], [1, *C, 0]], [[1, *D, 0.8], [1, *C, 0.6]]),
        image(2, [[1, *E, 0]], [[1, 70, 70, 80, 80, 0.5], [1, *E, 0.4]]),
    ]


def test_the_table_computed_by_hand() -> None:
    ranked = rank_detections(hand_table(), 3)[1]
    assert ranked.right.tolist() == [True, False, True, False, True, False]
    assert ranked.scores.tolist() == [0.9, 0.7, 0.6, 0.5, 0.4, 0.3]
    assert ranked.objects.tolist() == [2, 1, 1]
    # A quarter of the recall each at the precisions 1, 2/3 and 3/5.
    assert average_precision(ranked) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)
    # The recalls 0, 0.1, 0.2 at 1; 0.3, 0.4, 0.5 at 2/3; 0.6, 0.7 at 3/5; and above at 0.
    assert average_precision_voc07(ranked) == pytest.approx((3 + 3 * 2 / 3 + 2 * 3 / 5) / 11)


def test_means_over_the_classes_that_have_objects() -> None:
    images = [*hand_table(), image(3, [[2, *A, 0]], [[0, *A, 0.9], [2, *A, 0.2]])]
    ranked = rank_detections(images, 4)
    metrics = voc_metrics(ranked)
    # Class 0 is detected where none is, class 2 is found, class 3 is neither there nor detected.
    assert metrics["map50"] == pytest.approx(100 * ((1 + 2 / 3 + 3 / 5) / 4 + 1) / 2)
    assert metrics["map50_voc07"] == pytest.approx(100 * (6.2 / 11 + 1) / 2)
    none, table, single, absent = box_scores(ranked)
    assert (none.support, none.precision, none.average_precision) == (0, 0, None)
    assert (table.support, table.recall) == (4, 50)
    assert table.precision == pytest.approx(50)
    assert table.average_precision_voc07 == pytest.approx(100 * 6.2 / 11)
    assert (single.recall, single.precision, single.average_precision) == (0, None, 100)
    assert (absent.f1, absent.recall_interval) == (None, None)


def test_without_objects_nothing_is_defined() -> None:
    images = [image(0, [], [[0, *A, 0.9]]), image(1, [[0, *A, 1]], [[0, *A, 0.9]])]
    ranked = rank_detections(images, 2)
    assert voc_metrics(ranked) == {"map50": None, "map50_voc07": None}
    assert mean_precision_interval(ranked) is None
    assert voc_metrics(rank_detections([], 2)) == {"map50": None, "map50_voc07": None}
    assert voc_metrics([]) == {"map50": None, "map50_voc07": None}


def test_recalls_are_compared_as_whole_numbers() -> None:
    # 3 of 10: in floating point 3 * 0.1 is above 0.3.
    boxes = [(20 * i, 0, 20 * i + 10, 10) for i in range(10)]
    images = [image(0, [[0, *box, 0] for box in boxes], [[0, *box, 1] for box in boxes[:3]])]
    assert average_precision_voc07(rank_detections(images, 1)[0]) == pytest.approx(4 / 11)


def test_a_detection_belongs_to_the_object_that_it_overlaps_most() -> None:
    # It is wrong where another one had that object, even if a second object would do (VOC's rule).
    objects = np.array([[0, 0, 0, 10, 10, 0], [0, 2, 0, 12, 10, 0]], np.float64)
    detections = np.array([[0, 0, 0, 10, 10, 0.9], [0, 0.5, 0, 10.5, 10, 0.8]])
    assert right_detections(detections, objects).tolist() == [1, 0]
    assert right_detections(detections[::-1], objects).tolist() == [0, 1]
    # An IoU of exactly a half is enough.
    half = np.array([[0, 0, 0, 10, 5, 0.5]])
    assert right_detections(half, objects[:1]).tolist() == [1]
    assert right_detections(half, objects[:1], 0.51).tolist() == [0]


def test_difficult_objects_are_neither_found_nor_missed() -> None:
    objects = np.array([[0, 0, 0, 10, 10, 1]], np.float64)
    detections = np.array([[0, 0, 0, 10, 10, 0.9], [0, 0, 0, 10, 9, 0.8], [0, 50, 0, 60, 9, 0.7]])
    assert right_detections(detections, objects).tolist() == [-1, -1, 0]


def test_detections_that_are_not_finite_are_ignored() -> None:
    bad = [[0, *A, math.nan], [0, math.inf, 0, 10, 10, 0.9]]
    ranked = rank_detections([image(0, [[0, *A, 0]], [*bad, [0, *A, 0.5]])], 1)
    assert voc_metrics(ranked)["map50"] == 100


def by_loops(images: Sequence[DetectedImage], label: int) -> tuple[float, float]:
    """Compute both average precisions of a class by the steps of VOC's kit, one by one."""
    listed = [
        (row[5], each.index, row[1:5])
        for each in images
        for row in each.detections
        if row[0] == label
    ]
    objects = {each.index: [row for row in each.objects if row[0] == label] for each in images}
    total = sum(not row[5] for rows in objects.values() for row in rows)
    taken: set[tuple[int, int]] = set()
    outcomes = []
    for _, index, box in sorted(listed, key=lambda item: -item[0]):
        best, place = -1.0, -1
        for i, row in enumerate(objects[index]):
            width = min(box[2], row[3]) - max(box[0], row[1])
            height = min(box[3], row[4]) - max(box[1], row[2])
            if width > 0 and height > 0:
                areas = (box[2] - box[0]) * (box[3] - box[1]) + (row[3] - row[1]) * (
                    row[4] - row[2]
                )
                overlap = width * height / (areas - width * height)
                if overlap > best:
                    best, place = overlap, i
        if best >= 0.5:
            if objects[index][place][5]:
                continue
            outcomes.append((index, place) not in taken)
            taken.add((index, place))
        else:
            outcomes.append(False)
    if not total:
        return math.nan, math.nan
    right = list(itertools.accumulate(outcomes))
    curve = [(hits / total, hits / (i + 1)) for i, hits in enumerate(right)]
    area = before = 0.0
    for i, (recall, _) in enumerate(curve):
        area += (recall - before) * max(precision for _, precision in curve[i:])
        before = recall
    tenths = [
        max((hits / (i + 1) for i, hits in enumerate(right) if 10 * hits >= k * total), default=0.0)
        for k in range(11)
    ]
    return area, sum(tenths) / 11


def random_images(seed: int, images: int = 6, classes: int = 2) -> list[DetectedImage]:
    rng = np.random.default_rng(seed)
    listed = []
    for index in range(images):
        number = rng.integers(0, 5)
        corners = rng.random((number, 2)) * 60
        sides = 10 + rng.random((number, 2)) * 20
        objects = np.column_stack(
            (
                rng.integers(0, classes, number),
                corners,
                corners + sides,
                rng.random(number) < 0.2,
            )
        )
        count = rng.integers(0, 12) if number else 0
        detections = objects[rng.integers(0, max(number, 1), count)].astype(np.float64)
        detections[:, 1:5] += rng.normal(0, 3, (count, 4))
        detections[:, 5] = rng.permutation(100)[:count] / 100 + index / 1e4
        listed.append(DetectedImage(index, objects.astype(np.float64), detections))
    return listed


@pytest.mark.parametrize("seed", range(20))
def test_average_precisions_are_those_of_a_plain_loop(seed: int) -> None:
    images = random_images(seed)
    for label, ranked in enumerate(rank_detections(images, 2)):
        area, points = by_loops(images, label)
        assert average_precision(ranked)[0] == pytest.approx(area, nan_ok=True)
        assert average_precision_voc07(ranked) == pytest.approx(points, nan_ok=True)


seeds = st.integers(0, 10_000)


@settings(max_examples=30, deadline=None)
@given(seeds, st.randoms(use_true_random=False))
def test_neither_order_nor_unit_matters(seed: int, shuffle: object) -> None:
    images = random_images(seed)
    expected = voc_metrics(rank_detections(images, 2))
    mixed = list(images)
    shuffle.shuffle(mixed)  # type: ignore[attr-defined]
    assert voc_metrics(rank_detections(mixed, 2)) == expected
    # Pixels of another size, and scores of another scale in the same order.
    other = [
        DetectedImage(
            each.index,
            each.objects * [1, 2, 2, 2, 2, 1],
            np.column_stack(
                (each.detections[:, :5] * [1, 2, 2, 2, 2], each.detections[:, 5] ** 3 - 7)
            ),
        )
        for each in images
    ]
    assert voc_metrics(rank_detections(other, 2)) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_bounds_and_what_lowers(seed: int) -> None:
    images = random_images(seed, classes=1)
    ranked = rank_detections(images, 1)[0]
    area = average_precision(ranked)[0]
    points = average_precision_voc07(ranked)
    if not ranked.objects.sum():
        assert math.isnan(area)
        assert math.isnan(points)
        return
    recall = ranked.right.sum() / ranked.objects.sum()
    assert 0 <= area <= recall + 1e-12
    assert 0 <= points <= 1
    # A wrong detection before all others lowers both, or leaves them at 0; behind all it does not.
    for score, lowers in ((2.0, True), (-1.0, False)):
        wrong = np.array([[0, 500, 500, 510, 510, score]])
        first = images[0]._replace(detections=np.concatenate((images[0].detections, wrong)))
        changed = average_precision(rank_detections([first, *images[1:]], 1)[0])[0]
        assert (changed < area) == (lowers and area > 0)
        assert changed == pytest.approx(area) or changed < area
    perfect = [
        each._replace(
            detections=np.column_stack((each.objects[:, :5], 0.5 + each.objects[:, 5] / 10))
        )
        for each in images
    ]
    assert average_precision(rank_detections(perfect, 1)[0])[0] == 1


@settings(max_examples=30, deadline=None)
@given(seeds, st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_weights_are_repetitions(seed: int, weights: list[int]) -> None:
    images = random_images(seed, classes=1)
    ranked = rank_detections(images, 1)[0]
    copies = [each for each, times in zip(images, weights, strict=True) for _ in range(times)]
    repeated = rank_detections([each._replace(index=i) for i, each in enumerate(copies)], 1)[0]
    expected = average_precision(repeated)[0] if copies else math.nan
    result = average_precision(ranked, np.array([[1.0] * 6, weights], np.float64))
    assert result[0] == pytest.approx(average_precision(ranked)[0], nan_ok=True)
    assert result[1] == pytest.approx(expected, nan_ok=True)


def test_an_interval_over_images() -> None:
    ranked = rank_detections(random_images(1, images=80), 2)
    estimate = voc_metrics(ranked)["map50"]
    interval = mean_precision_interval(ranked)
    assert interval is not None
    assert estimate is not None
    low, high = interval
    assert 0 < low < estimate < high < 100
    assert 3 < high - low < 40
    assert mean_precision_interval(ranked) == interval
    # Every image right: nothing says how rare wrong ones are.
    perfect = [image(i, [[0, *A, 0]], [[0, *A, 0.9]]) for i in range(10)]
    assert mean_precision_interval(rank_detections(perfect, 1)) is None


def test_many_weights_are_summed_up_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from trickbag.metrics import detection

    ranked = rank_detections(random_images(3), 2)[0]
    weights = np.random.default_rng(0).integers(0, 3, (50, 6)).astype(np.float64)
    expected = average_precision(ranked, weights)
    monkeypatch.setattr(detection, "_MOST_CELLS", 40)
    assert average_precision(ranked, weights) == pytest.approx(expected, nan_ok=True)
