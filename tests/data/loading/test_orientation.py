"""Vertical flips and quarter turns: images, boxes and masks lie alike, whatever loads them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.builders.boxes import voc_folder
from tests.builders.images import photo
from tests.builders.masks import mask_folder
from trickbag.data.annotations.boxes import open_boxes
from trickbag.data.annotations.masks import open_masks
from trickbag.data.config import DataConfig
from trickbag.data.loading.box_samples import BoxSamples
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.mask_samples import MaskSamples
from trickbag.data.loading.orientation import UPRIGHT, Orientation, draw_orientation
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.loading.raw_batch import BatchRequest
from trickbag.data.policies.policies import RandomPolicy
from trickbag.data.source import ArrayPart, Part

if TYPE_CHECKING:
    from pathlib import Path

TURNED = DataConfig(vertical_flip_prob=0.5, quarter_turns=True, flip_prob=0.0)
EIGHT = [Orientation(flipped, turns) for flipped in (False, True) for turns in range(4)]


@pytest.mark.parametrize("orientation", EIGHT)
def test_a_box_holds_the_pixels_that_it_held(orientation: Orientation) -> None:
    image = np.zeros((20, 31), np.uint8)
    image[4:9, 6:17] = 1
    objects = np.array([[1.0, 6, 4, 17, 9, 0]])
    seen = orientation.of(image)
    ((label, left, top, right, bottom, difficult),) = orientation.of_objects(objects, 20, 31)
    rows, columns = np.nonzero(seen)
    held = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert (left, top, right, bottom) == held
    assert (label, difficult) == (1, 0)
    assert objects.tolist() == [[1, 6, 4, 17, 9, 0]]
    assert orientation.size_before(seen.shape) == image.shape


def test_all_eight_are_equally_likely_and_a_function_of_seed_epoch_and_row() -> None:
    drawn = [draw_orientation(TURNED, 3, 1, row) for row in range(800)]
    assert drawn == [draw_orientation(TURNED, 3, 1, row) for row in range(800)]
    counts = Counter(drawn)
    assert set(counts) == set(EIGHT)
    assert all(abs(count / 800 - 1 / 8) < 0.05 for count in counts.values())
    assert drawn[:50] != [draw_orientation(TURNED, 3, 2, row) for row in range(50)]
    assert drawn[:50] != [draw_orientation(TURNED, 3, 1, row, " 1") for row in range(50)]
    assert draw_orientation(DataConfig(), 3, 1, 0) == UPRIGHT
    flips = [draw_orientation(DataConfig(vertical_flip_prob=0.25), 0, 0, row) for row in range(600)]
    assert sum(each.flipped for each in flips) / 600 == pytest.approx(0.25, abs=0.06)
    assert {each.turns for each in flips} == {0}


def loader(data: DataConfig, size: int | tuple[int, int], **options: Any) -> Loader:
    images = np.stack([photo(20, 20, seed) for seed in range(8)])
    part = ArrayPart.of(images, np.arange(8, dtype=np.int64) % 2, "x")
    settings = {"batch_size": 4, "workers": 0, "seed": 7, **options}
    return Loader(part, data, Preprocessing.of(data, size), train=True, **settings)


@pytest.mark.parametrize(
    "changes",
    [{}, {"policy": RandomPolicy(count=1)}, {"repeat_epochs": 2}, {"augmentation_repeats": 2}],
    ids=str,
)
def test_crops_are_those_of_before_as_they_lie(changes: dict[str, Any]) -> None:
    data = dataclasses.replace(TURNED, **changes)
    plain = dataclasses.replace(data, vertical_flip_prob=0.0, quarter_turns=False)
    turned, upright = (list(loader(each, 12).epoch(3)) for each in (data, plain))
    epoch = 3 % data.repeat_epochs if data.repeat_epochs else 3
    places, occurrences = Counter[int](), Counter[int]()
    for batch, before in zip(turned, upright, strict=True):
        assert torch.equal(batch.index, before.index)
        for image, crop, row in zip(batch.images, before.images, batch.index.tolist(), strict=True):
            suffix = f" {occurrences[row]}" if occurrences[row] else ""
            occurrences[row] += 1
            lies = draw_orientation(data, 7, epoch, row, suffix)
            assert np.array_equal(image.numpy(), lies.of(crop.numpy(), (1, 2)))
            places[lies.turns] += 1
    assert len(places) > 1


def test_crops_that_are_not_square_have_their_size_after_the_turn() -> None:
    (batch, _) = loader(TURNED, (10, 16)).epoch(0)
    assert batch.images.shape == (4, 3, 10, 16)
    row = batch.index[0].item()
    turns = {draw_orientation(TURNED, 7, 0, int(row)).turns % 2 for row in batch.index}
    assert turns == {0, 1}, row


def requested(data: DataConfig, row: int) -> BatchRequest:
    rows, none = np.array([row]), np.zeros(1, np.int64)
    return BatchRequest(2, data, rows, none, frozenset(), none.astype(bool))


def test_boxes_follow_their_images(tmp_path: Path) -> None:
    voc_folder(tmp_path, {}, {"a": [("cat", (3.0, 4.0, 12.0, 13.0))]})
    part = open_boxes(DataConfig(source=str(tmp_path))).parts["train"]
    size = (30, 40)
    data = dataclasses.replace(TURNED, crop_area=(1.0, 1.0), image_size=size)
    boxes = set()
    for seed in range(48):
        samples = BoxSamples(part, Preprocessing.of(data, size), train=True, seed=seed)
        batch = samples.load(requested(data, 0), lambda: None).batch
        height, width = batch.extents[0, :2].tolist()
        lies = draw_orientation(data, seed, 2, 0)
        image = lies.of(part.read(0))
        assert (height, width) == image.shape[:2]
        seen = batch.images[0, :, :height, :width].permute(1, 2, 0).numpy()
        assert np.array_equal(seen, image)
        expected = lies.of_objects(part.boxes(0), 30, 40)
        assert batch.labels[0].double().numpy() == pytest.approx(expected)
        assert batch.extents[0, 2:].tolist() == [30, 40]
        boxes.add(tuple(batch.labels[0, 0].tolist()))
    assert len(boxes) == 8


def test_masks_follow_their_images(tmp_path: Path) -> None:
    root = mask_folder(tmp_path, {"train": ["a", "b"]})
    part = open_masks(DataConfig(source=str(root))).parts["train"]
    data = dataclasses.replace(TURNED, mask_scale=(1.0, 1.0), image_size=24)
    shapes = set()
    for seed in range(12):
        lies = draw_orientation(data, seed, 2, 1)
        image, mask = lies.of(part.read(1)), lies.of(_mask(part, 1))
        samples = MaskSamples(part, Preprocessing.of(data, 24), train=True, seed=seed)
        batch = samples.load(requested(data, 1), lambda: None).batch
        height, width = mask.shape
        assert np.array_equal(batch.labels[0, :height, :width].numpy(), mask)
        assert np.array_equal(batch.images[0, :, :height, :width].numpy(), image.transpose(2, 0, 1))
        shapes.add(mask.shape)
    assert len(shapes) == 2


def _mask(part: Part, row: int) -> np.ndarray:
    mask: np.ndarray = part.mask(row)  # type: ignore[attr-defined]  # of a part with masks
    return mask
