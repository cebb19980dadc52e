"""Random crop boxes: ranges and distribution; crops against torchvision."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from tests.builders.crops import crop_resize
from tests.builders.images import photo
from trickbag.data.config import Interpolation
from trickbag.data.loading.crops import random_crop_box

SIDES = st.integers(1, 2000)
AREAS = st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)).map(lambda pair: (min(pair), max(pair)))
RATIOS = st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)).map(lambda pair: (min(pair), max(pair)))


@given(width=SIDES, height=SIDES, area=AREAS, ratio=RATIOS, seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_a_box_lies_within_the_image(
    width: int, height: int, area: tuple[float, float], ratio: tuple[float, float], seed: int
) -> None:
    left, top, right, bottom = random_crop_box(
        np.random.default_rng(seed), width, height, area, ratio
    )
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@given(width=st.integers(64, 600), height=st.integers(64, 600), seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_area_and_ratio_are_in_their_ranges_but_for_rounding(
    width: int, height: int, seed: int
) -> None:
    box = random_crop_box(np.random.default_rng(seed), width, height, (0.08, 0.4), (3 / 4, 4 / 3))
    w, h = box[2] - box[0], box[3] - box[1]
    # Only if every draw fits; otherwise the fall-back has another area.
    if 0.4 * width * height * (4 / 3) <= min(width, height) ** 2:
        assert 0.08 * width * height <= (w + 0.5) * (h + 0.5)
        assert (w - 0.5) * (h - 0.5) <= 0.4 * width * height
    assert (w - 0.5) / (h + 0.5) <= 4 / 3
    assert (w + 0.5) / (h - 0.5) >= 3 / 4


def test_the_distribution_is_uniform_in_area_and_log_ratio() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array(
        [random_crop_box(rng, 4000, 4000, (0.1, 0.5), (0.5, 2.0)) for _ in range(4000)]
    )
    w, h = (boxes[:, 2:] - boxes[:, :2]).T
    for values, low, high in (
        (w * h / 4000**2, 0.1, 0.5),
        (np.log(w / h), math.log(0.5), math.log(2)),
    ):
        places = np.sort((values - low) / (high - low))
        distance = abs(places - (np.arange(4000) + 0.5) / 4000).max()  # Kolmogorov-Smirnov
        assert distance < 1.95 / math.sqrt(4000)  # p = 0.001; the seed is fixed
    free = 4000 - np.stack([w, h])
    assert (boxes[:, :2].T / free).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1000, 100), (433, 0, 566, 100)),
        ((100, 1000), (0, 433, 100, 566)),
        ((120, 100), (0, 0, 120, 100)),
    ],
)
def test_fall_back_is_the_largest_central_crop(
    size: tuple[int, int], expected: tuple[int, ...]
) -> None:
    # No crop of the full area has an allowed shape, unless the image has it.
    assert random_crop_box(np.random.default_rng(0), *size, (1.0, 1.0), (3 / 4, 4 / 3)) == expected


@pytest.mark.parametrize("box", [(0, 0, 48, 32), (5, 3, 30, 31), (7, 7, 8, 8), (0, 10, 48, 12)])
@pytest.mark.parametrize("size", [8, 17, 64])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crop_is_torchvisions(
    box: tuple[int, int, int, int], size: int, interpolation: Interpolation
) -> None:
    left, top, right, bottom = box
    place = (top, left, bottom - top, right - left)
    kernel = InterpolationMode(interpolation)
    picture = Image.fromarray(photo())
    of_pillow = reference.resized_crop(picture, *place, [size, size], kernel)
    pixels = np.asarray(of_pillow).transpose(2, 0, 1)
    crop = crop_resize(photo(), box, size, interpolation)
    assert abs(crop - pixels.astype(int)).max() <= (interpolation == "bilinear")
    if interpolation == "bilinear":
        tensor = torch.from_numpy(photo().transpose(2, 0, 1).copy())
        of_tensors = reference.resized_crop(tensor, *place, [size, size], kernel)
        np.testing.assert_array_equal(crop, of_tensors.numpy())
    assert crop.transpose(1, 2, 0).flags.c_contiguous
