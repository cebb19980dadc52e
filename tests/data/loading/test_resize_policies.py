"""How images of any shape become those of a network: crops, squashed, or with borders."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform

from tests.builders.crops import random_crop
from tests.builders.images import photo
from trickbag.data.config import DataConfig, Interpolation, Resize
from trickbag.data.decoding.region import cut
from trickbag.data.loading.crops import TrainingCrop
from trickbag.data.loading.letterbox import View, border_colour, random_view
from trickbag.data.loading.preprocess import LONGEST, Preprocessing
from trickbag.data.size import Size, height_width
from trickbag.settings import plain, read

POLICIES: tuple[Resize, ...] = get_args(Resize)
MEAN = (10.4, 250.6, 300.0)
SIZES: tuple[Size, ...] = (24, (12, 40), (33, 17))
SHAPES = ((97, 120), (133, 90), (20, 120), (5, 3), (40, 12), (1, 1))
TIMMS = {"crop": "center", "squash": "squash", "letterbox": "border"}

SIDES = st.integers(1, 3000)
IMAGE_SIZES = st.tuples(st.integers(8, 600), st.integers(8, 600))
AREAS = st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)).map(lambda pair: (min(pair), max(pair)))
RATIOS = st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)).map(lambda pair: (min(pair), max(pair)))


def view(
    image: np.ndarray, seen: View, size: Size, mean: tuple[int, ...], interpolation: Interpolation
) -> np.ndarray:
    """Return a view of an image with its borders, (H, W, C)."""
    y, x = seen.placed(*image.shape[:2], size)
    box = (x.first, y.first, x.end, y.end)
    crop = TrainingCrop(box, (y.length, x.length), (y.place, x.place))
    return crop.of(cut(image, box), size, mean, interpolation).transpose(1, 2, 0)


def preprocessing_of(resize: Resize, size: Size, **data: Any) -> Preprocessing:
    return Preprocessing.of(DataConfig(resize=resize, mean=MEAN, **data), size)


@pytest.mark.parametrize("resize", POLICIES)
@pytest.mark.parametrize("crop_pct", [0.875, 1.0])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_validation_is_timms(
    resize: Resize, crop_pct: float, size: Size, interpolation: Interpolation
) -> None:
    rows, columns = height_width(size)
    preprocessing = Preprocessing(
        image_size=size,
        resize=(math.floor(rows / crop_pct), math.floor(columns / crop_pct)),
        mean=(102.0, 127.5, 153.0),
        std=(51.0, 76.5, 102.0),
        interpolation=interpolation,
        resize_policy=resize,
    )
    transform = create_transform(
        (3, rows, columns),
        crop_pct=crop_pct,
        crop_mode=TIMMS[resize],
        interpolation=interpolation,
        mean=(0.4, 0.5, 0.6),
        normalize=False,
    )
    exact = interpolation == "bicubic"
    for shape in SHAPES[:5]:
        image = photo(*reversed(shape))
        expected = transform(Image.fromarray(image)).numpy().astype(int)
        difference = preprocessing.crop(image) - expected
        assert abs(difference).max() <= (0 if exact else 2), shape


@pytest.mark.parametrize("resize", POLICIES)
@pytest.mark.parametrize("size", [*SIZES, (8, 300)])
def test_any_shape_gives_the_size_in_training_and_validation(resize: Resize, size: Size) -> None:
    rng = np.random.default_rng(0)
    for data in ({}, {"eval_crop": 0.01}, {"crop_area": (0.001, 0.001)}):
        config = DataConfig(resize=resize, mean=MEAN, **data)
        for shape in (*SHAPES, (1, 300), (300, 1)):
            image = np.full((*shape, 3), (1, 128, 255), np.uint8)
            validated = Preprocessing.of(config, size).crop(image)
            trained = random_crop(image, rng, config, size, MEAN)
            assert validated.shape == trained.shape == (3, *height_width(size))
            for pixels in (validated, trained):
                # The image's colour and that of the borders, nothing between them.
                colours = {tuple(colour) for colour in pixels.reshape(3, -1).T.tolist()}
                assert (1, 128, 255) in colours
                borders = {(10, 251, 255)} if resize == "letterbox" else set()
                assert colours - {(1, 128, 255)} <= borders


@pytest.mark.parametrize("resize", ["squash", "letterbox"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES)
def test_the_full_area_is_what_validation_sees(
    resize: Resize, interpolation: Interpolation, size: Size
) -> None:
    config = DataConfig(
        resize=resize,
        mean=MEAN,
        interpolation=interpolation,
        crop_area=(1.0, 1.0),
        crop_ratio=(1.0, 1.0),
    )
    for shape in SHAPES:
        image = photo(*reversed(shape))
        trained = random_crop(image, np.random.default_rng(0), config, size, MEAN)
        np.testing.assert_array_equal(trained, Preprocessing.of(config, size).crop(image))


@given(height=SIDES, width=SIDES, size=IMAGE_SIZES)
@settings(deadline=None, max_examples=60)
def test_a_whole_letterbox_shows_every_pixel_and_no_side_is_longer(
    height: int, width: int, size: tuple[int, int]
) -> None:
    drawn = random_view(np.random.default_rng(0), height, width, size, (1.0, 1.0), (1.0, 1.0))
    assert drawn.down == drawn.across == max(height / size[0], width / size[1])
    assert drawn.top <= 1e-6 and drawn.left <= 1e-6  # noqa: PT018
    assert drawn.top + size[0] * drawn.down >= height - 1e-6
    assert drawn.left + size[1] * drawn.across >= width - 1e-6
    # One axis has no border.
    assert max(drawn.top, drawn.left) == pytest.approx(0, abs=1e-6)


@given(height=SIDES, width=SIDES, size=IMAGE_SIZES, area=AREAS, ratio=RATIOS, seed=st.integers(0))
@settings(deadline=None, max_examples=100)
def test_a_view_lies_within_the_borders_and_has_no_more_of_them_than_it_needs(
    height: int,
    width: int,
    size: tuple[int, int],
    area: tuple[float, float],
    ratio: tuple[float, float],
    seed: int,
) -> None:
    drawn = random_view(np.random.default_rng(seed), height, width, size, area, ratio)
    scale = max(height / size[0], width / size[1])
    for pixels, out, start, step in (
        (height, size[0], drawn.top, drawn.down),
        (width, size[1], drawn.left, drawn.across),
    ):
        length, tolerance = out * step, 1e-6 * max(height, width)
        border = (out * scale - pixels) / 2
        assert -border - tolerance <= start
        assert start + length <= pixels + border + tolerance
        shown = min(start + length, pixels) - max(start, 0)
        assert shown == pytest.approx(min(length, pixels), abs=tolerance)


@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    area=AREAS,
    ratio=RATIOS,
    seed=st.integers(0),
)
@settings(deadline=None, max_examples=60)
def test_a_view_has_its_size_and_borders_on_the_outside_alone(
    shape: tuple[int, int],
    size: tuple[int, int],
    area: tuple[float, float],
    ratio: tuple[float, float],
    seed: int,
) -> None:
    drawn = random_view(np.random.default_rng(seed), *shape, size, area, ratio)
    white = np.full((*shape, 3), 255, np.uint8)
    pixels = view(white, drawn, size, (0, 0, 0), "bicubic")
    assert pixels.shape == (*size, 3)
    inside = (pixels == 255).all(axis=2)
    rows, columns = inside.any(axis=1), inside.any(axis=0)
    # One rectangle, of at least a pixel; the rest is the colour of the borders.
    assert inside.any()
    assert (inside == (rows[:, None] & columns)).all()
    assert (np.diff(np.flatnonzero(rows)) == 1).all()
    assert (np.diff(np.flatnonzero(columns)) == 1).all()
    assert (pixels[~inside] == 0).all()


def test_a_view_by_hand() -> None:
    # 4 x 8 pixels in a square of 8: borders of 2 above and below.
    image = np.arange(32, dtype=np.uint8).reshape(4, 8, 1).repeat(3, axis=2)
    pixels = view(image, View(-2, 0, 1, 1), 8, (200, 201, 202), "bilinear")
    np.testing.assert_array_equal(pixels[2:6], image)
    assert (pixels[[0, 1, 6, 7]] == (200, 201, 202)).all()
    pixels = view(image, View(-2, 3, 1, 1), (8, 4), (200, 201, 202), "bilinear")
    np.testing.assert_array_equal(pixels[2:6], image[:, 3:7])


@pytest.mark.parametrize("resize", POLICIES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_each_channel_is_resized_as_in_rgb(
    resize: Resize, interpolation: Interpolation, channels: int
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (31, 50, channels), np.uint8)
    mean = tuple(10.0 * (1 + c) for c in range(channels))
    data = {"resize": resize, "interpolation": interpolation}
    config = DataConfig(**data, channels=tuple(range(channels)), mean=mean, std=(2.0,) * channels)
    seen = Preprocessing.of(config, (12, 20)).crop(image)
    trained = random_crop(image, np.random.default_rng(3), config, 16, mean)
    assert (seen.shape, trained.shape) == ((channels, 12, 20), (channels, 16, 16))
    for c in range(channels):
        colour = (mean[c],) * 3
        rgb = np.repeat(image[:, :, c : c + 1], 3, axis=2)
        bare = DataConfig(**data, mean=colour)
        np.testing.assert_array_equal(seen[c], Preprocessing.of(bare, (12, 20)).crop(rgb)[1])
        crop = random_crop(rgb, np.random.default_rng(3), bare, 16, colour)
        np.testing.assert_array_equal(trained[c], crop[1])


@pytest.mark.parametrize("resize", POLICIES)
def test_ratios_are_multiples_of_the_full_areas(resize: Resize) -> None:
    # One colour on the left, one on the right: a crop of the full area has both to equal parts.
    image = np.zeros((40, 160, 3), np.uint8)
    image[:, 80:] = 255
    config = DataConfig(resize=resize, crop_area=(1.0, 1.0), crop_ratio=(0.9, 1.1))
    size = (8, 32) if resize == "crop" else 24
    for seed in range(5):
        crop = random_crop(image, np.random.default_rng(seed), config, size, MEAN)
        pure = (crop == 255).all(axis=0) | (crop == 0).all(axis=0)
        shown = (crop[:, pure] == 255).mean()
        assert shown == pytest.approx(0.5, abs=0.1)


def test_a_border_is_zero_on_the_normalised_scale_but_for_rounding() -> None:
    assert border_colour(MEAN) == (10, 251, 255)
    assert border_colour((-3.0, 0.4, 255.0)) == (0, 0, 255)


@pytest.mark.parametrize("resize", POLICIES)
def test_a_very_long_image_and_a_small_crop_cost_no_memory(resize: Resize) -> None:
    image = np.zeros((2, 400_000, 3), np.uint8)
    assert preprocessing_of(resize, (20, 24)).crop(image).shape == (3, 20, 24)
    assert preprocessing_of(resize, 64, eval_crop=1e-4).crop(photo(30, 20)).shape == (3, 64, 64)
    assert LONGEST < 100


@pytest.mark.parametrize("resize", POLICIES)
@pytest.mark.parametrize("size", SIZES)
def test_it_is_stored_and_read_back(resize: Resize, size: Size) -> None:
    preprocessing = preprocessing_of(resize, size)
    stored = plain(preprocessing)
    assert read(Preprocessing, stored) == preprocessing
    assert stored["image_size"] == (size if isinstance(size, int) else list(size))
    if resize == "crop":
        del stored["resize_policy"]
        assert read(Preprocessing, stored) == preprocessing


def test_a_square_has_one_form() -> None:
    pair = preprocessing_of("squash", (64, 64))
    assert pair == preprocessing_of("squash", 64)
    assert (pair.image_size, pair.resize) == (64, 64)
    assert DataConfig(image_size=(64, 64)) == DataConfig(image_size=64)
    assert preprocessing_of("crop", (56, 224)).resize == (64, 256)
