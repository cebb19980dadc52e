"""Changes of images that masks follow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.builders.images import photo
from trickbag.data.loading.mask_transforms import (
    ImageView,
    fitting_view,
    image_view,
    mask_on_canvas,
    mask_view,
    mirror,
    on_canvas,
    random_view,
)


def squares(height: int, width: int, classes: int = 4) -> np.ndarray:
    """A mask of squares of 8 px, and an image whose red is 60 times the class."""
    y, x = np.mgrid[:height, :width] // 8
    return ((y * 3 + x) % classes).astype(np.uint8)


def as_image(mask: np.ndarray) -> np.ndarray:
    return np.stack([mask * 60, mask * 60, mask * 60], axis=2).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(9, 90),
    st.integers(9, 90),
    st.integers(16, 64),
    st.integers(16, 64),
    st.floats(0.3, 3),
    st.integers(0, 1000),
)
def test_the_mask_follows_the_image(
    height: int, width: int, rows: int, columns: int, scale: float, seed: int
) -> None:
    mask = squares(height, width)
    rng = np.random.default_rng(seed)
    seen = random_view(height, width, (rows, columns), rng, (scale, scale))
    image, labels = image_view(as_image(mask), seen), mask_view(mask, seen)
    assert image.shape[:2] == labels.shape == (seen.height, seen.width)
    assert seen.height <= rows
    assert seen.width <= columns
    assert 0 <= seen.left < seen.right <= width + 1e-6
    assert 0 <= seen.top < seen.bottom <= height + 1e-6
    # Far from the edges of the squares the level tells the class; an edge passes through others.
    level = image[..., 0].astype(float) / 60
    around = np.pad(level, 1, mode="edge")
    shifted = [around[i : i + seen.height, j : j + seen.width] for i in range(3) for j in range(3)]
    interior = np.abs(np.stack(shifted) - np.round(level)).max(axis=0) < 0.02
    agree = labels[interior] == np.round(level[interior])
    assert agree.mean() > 0.9 if interior.sum() > 40 else True


def test_a_view_is_a_cut_of_the_scaled_image() -> None:
    image = photo(60, 40)
    rng = np.random.default_rng(3)
    seen = random_view(40, 60, 32, rng, (1.5, 1.5))
    factor = 32 / 60 * 1.5
    scaled = Image.fromarray(image).resize((round(60 * factor), round(40 * factor)), 2)
    left = round(seen.left * scaled.width / 60)
    top = round(seen.top * scaled.height / 40)
    expected = np.asarray(scaled)[top : top + seen.height, left : left + seen.width]
    difference = np.abs(image_view(image, seen).astype(int) - expected)
    # At the edge of the view the filter sees no pixel outside of it.
    assert difference[2:-2, 2:-2].max() <= 1


def test_scales_and_places_fill_their_ranges() -> None:
    rng = np.random.default_rng(0)
    views = [random_view(100, 100, 100, rng, (0.5, 2.0)) for _ in range(500)]
    small = [view for view in views if view.height < 100]
    assert 0.25 < len(small) / 500 < 0.42  # a third of the factors lies below 1
    assert min(view.height for view in views) < 55
    widths = [view.right - view.left for view in views]
    assert min(widths) < 53
    starts = [
        view.left / (100 - (view.right - view.left))
        for view in views
        if view.width == 100 and view.right - view.left < 90
    ]
    assert 0.4 < np.mean(starts) < 0.6


def test_a_view_of_evaluation_is_the_whole_image() -> None:
    assert fitting_view(360, 480, (180, 240)) == ImageView(0, 0, 480, 360, 180, 240)
    assert fitting_view(100, 400, 64) == ImageView(0, 0, 400, 100, 16, 64)
    assert fitting_view(1, 1000, 64).height == 1
    image = photo(24, 16)
    assert np.array_equal(image_view(image, fitting_view(16, 24, (16, 24))), image)


def test_a_canvas_has_borders_that_count_nothing() -> None:
    image, mask = photo(6, 4), squares(4, 6)
    canvas = on_canvas(image, (5, 8), (1, 2, 3))
    assert canvas.shape == (3, 5, 8)
    assert np.array_equal(canvas[:, :4, :6], image.transpose(2, 0, 1))
    assert canvas[:, 4, 0].tolist() == canvas[:, 0, 7].tolist() == [1, 2, 3]
    labels = mask_on_canvas(mask, (5, 8))
    assert np.array_equal(labels[:4, :6], mask)
    assert (labels[4] == 255).all()
    assert (labels[:, 6:] == 255).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_number_of_channels(channels: int) -> None:
    image = np.repeat(photo(30, 20)[:, :, :1], channels, axis=2)
    seen = fitting_view(20, 30, 24)
    result = image_view(image, seen)
    assert result.shape == (16, 24, channels)
    assert (result == result[:, :, :1]).all()
    mirrored, labels = mirror(image, squares(20, 30))
    assert np.array_equal(mirrored[:, ::-1], image)
    assert np.array_equal(labels[:, ::-1], squares(20, 30))
