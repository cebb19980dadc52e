"""Images scaled to another size: beside Pillow, and the same whatever else is done."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.builders.images import photo
from trickbag.data.config import Interpolation
from trickbag.data.loading.filters import FILTERS
from trickbag.data.loading.resizing import pillow_resized, resized

SIDES = st.integers(1, 90)
SIZES = st.tuples(SIDES, SIDES)


def by_pillow(image: np.ndarray, size: tuple[int, int], interpolation: Interpolation) -> np.ndarray:
    picture = Image.fromarray(image).resize(size[::-1], FILTERS[interpolation])
    return np.asarray(picture).transpose(2, 0, 1).astype(int)


@given(shape=SIZES, size=SIZES, seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=60)
def test_bilinear_is_within_two_levels_of_pillows_and_hardly_ever_more_than_one(
    shape: tuple[int, int], size: tuple[int, int], seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    difference = abs(resized(image, size) - by_pillow(image, size, "bilinear"))
    assert difference.max() <= 2
    assert (difference > 1).sum() <= 2


@given(shape=SIZES, size=SIZES)
@settings(deadline=None, max_examples=30)
def test_bicubic_is_pillows(shape: tuple[int, int], size: tuple[int, int]) -> None:
    image = photo(*shape[::-1])
    expected = by_pillow(image, size, "bicubic")
    np.testing.assert_array_equal(resized(image, size, "bicubic"), expected)


def test_on_a_photo_bilinear_differs_from_pillows_by_hundredths_of_a_level() -> None:
    image = photo(500, 375)
    difference = resized(image, (224, 224)) - by_pillow(image, (224, 224), "bilinear")
    assert 0 < abs(difference).mean() < 0.03
    assert abs(difference.mean()) < 0.001


@given(shape=SIZES, size=SIZES, channels=st.integers(1, 6), seed=st.integers(0, 2**16))
@example(shape=(2, 1), size=(3, 1), channels=5, seed=0)
@settings(deadline=None, max_examples=60)
def test_a_channel_does_not_depend_on_the_others(
    shape: tuple[int, int], size: tuple[int, int], channels: int, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (*shape, channels), np.uint8)
    alone = [resized(image[:, :, c : c + 1], size)[0] for c in range(channels)]
    np.testing.assert_array_equal(resized(image, size), alone)


def test_threads_change_nothing() -> None:
    image, before = photo(301, 203), torch.get_num_threads()
    crops = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            crops.append(resized(image, (96, 128)))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(crops, [crops[0]] * 3)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_memory_of_an_image_is_left_alone(interpolation: Interpolation) -> None:
    image = photo(40, 30)
    before = image.copy()
    image.flags.writeable = False
    part, mirrored = image[3:20, 5:30], image[:, ::-1]
    for view in (image, part, mirrored):
        crop = resized(view, (8, 9), interpolation)
        np.testing.assert_array_equal(crop, resized(view.copy(), (8, 9), interpolation))
        # The channels of a pixel lie behind each other.
        assert crop.transpose(1, 2, 0).flags.c_contiguous
        assert crop.shape == (3, 8, 9)
    np.testing.assert_array_equal(image, before)


def test_an_image_of_its_size_stays_as_it_is() -> None:
    image = photo(12, 9)
    for interpolation in ("bilinear", "bicubic"):
        np.testing.assert_array_equal(
            resized(image, (9, 12), interpolation), image.transpose(2, 0, 1)
        )


def test_a_box_may_begin_within_a_pixel() -> None:
    image, box = photo(40, 30), (2.5, 3.25, 30.75, 20.5)
    expected = Image.fromarray(image).resize((10, 8), FILTERS["bilinear"], box=box)
    np.testing.assert_array_equal(pillow_resized(image, (8, 10), "bilinear", box), expected)
