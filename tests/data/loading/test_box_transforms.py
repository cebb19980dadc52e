from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.images import photo
from trickbag.data.config import DataConfig
from trickbag.data.loading.box_transforms import (
    crop,
    mirror,
    random_box_crop,
    random_mirror,
    resize,
    resized_size,
    visible,
)

WIDTH, HEIGHT = 40, 30


def square(left: int, top: int, right: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
    """A white object on black, and its row."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[top:bottom, left:right] = 255
    return image, np.array([[2, left, top, right, bottom, 1]], np.float64)


def edges_of(image: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(image[..., 0] > 127)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        # 600 and 1,000 pixels, as Faster R-CNN has them.
        ((375, 500), (600, 1000), (600, 800)),
        ((500, 375), (600, 1000), (800, 600)),
        ((300, 1000), (600, 1000), (300, 1000)),
        ((1000, 300), (600, 1000), (1000, 300)),
        ((480, 640), (240, 320), (240, 320)),
        ((480, 640), 240, (180, 240)),
        ((1, 10_000), 64, (1, 64)),
    ],
)
def test_the_size_that_an_image_is_scaled_to(
    shape: tuple[int, int], size: int | tuple[int, int], expected: tuple[int, int]
) -> None:
    assert resized_size(*shape, size) == expected


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_scaled_boxes_are_where_the_object_is(channels: int) -> None:
    image, objects = square(8, 6, 24, 18)
    image = np.repeat(image[..., :1], channels, axis=2)
    scaled, moved = resize(image, objects, (60, 120))
    assert scaled.shape == (60, 120, channels)
    assert edges_of(scaled) == [24, 12, 72, 36]
    assert moved.tolist() == [[2, 24, 12, 72, 36, 1]]
    assert objects[0, 1] == 8


def test_nothing_changes_at_the_same_size() -> None:
    image, objects = square(8, 6, 24, 18)
    scaled, moved = resize(image, objects, (HEIGHT, WIDTH))
    assert scaled is image
    assert moved is objects


def test_mirrored_boxes_are_where_the_object_is() -> None:
    image, objects = square(8, 6, 20, 18)
    mirrored, moved = mirror(image, objects)
    assert edges_of(mirrored) == moved[0, 1:5].tolist() == [20, 6, 32, 18]
    again, back = mirror(mirrored, moved)
    assert (again == image).all()
    assert back.tolist() == objects.tolist()


def test_objects_whose_centre_is_cut_off_go() -> None:
    image, objects = square(8, 6, 20, 18)
    part, moved = crop(image, objects, (10, 5, 30, 16))
    assert part.shape == (11, 20, 3)
    assert moved.tolist() == [[2, 0, 1, 10, 11, 1]]
    assert edges_of(part) == moved[0, 1:5].tolist()
    assert len(crop(image, objects, (15, 5, 30, 16))[1]) == 0
    assert len(crop(image, objects, (0, 0, 14, 16))[1]) == 0


def test_objects_of_less_than_a_pixel_go() -> None:
    rows = np.array([[0, 1, 1, 1.9, 5, 0], [0, 1, 1, 2, 2, 0], [0, 1, 1, 5, 1.5, 0]])
    assert visible(rows).tolist() == [rows[1].tolist()]


@given(
    st.lists(
        st.tuples(st.floats(0, 30), st.floats(0, 20), st.floats(2, 10), st.floats(2, 10)),
        max_size=4,
    ),
    st.integers(0, 2**32 - 1),
    st.sampled_from([(0.1, 1.0), (0.5, 0.7), (1.0, 1.0)]),
)
def test_random_crops_keep_boxes_within_the_image(
    boxes: list[tuple[float, float, float, float]], seed: int, area: tuple[float, float]
) -> None:
    rows = [[i, x, y, x + w, y + h, 0] for i, (x, y, w, h) in enumerate(boxes)]
    objects = np.array(rows, np.float64).reshape(-1, 6)
    image, rng = photo(WIDTH, HEIGHT), np.random.default_rng(seed)
    data = DataConfig(crop_area=area, flip_prob=1.0)
    part, moved = random_mirror(*random_box_crop(image, objects, rng, data), rng, 1.0)
    height, width = part.shape[:2]
    if area == (1.0, 1.0):
        assert (height, width, len(moved)) == (HEIGHT, WIDTH, len(objects))
    assert (moved[:, 1:3] >= 0).all()
    assert (moved[:, 3:5] <= (width, height)).all()
    assert (moved[:, 3:5] > moved[:, 1:3]).all()
    # What is left of an object is at most as large as it was.
    kept = objects[moved[:, 0].astype(int)]
    sides, before = (each[:, 3:5] - each[:, 1:3] for each in (moved, kept))
    assert (sides <= before + 1e-9).all()


def test_a_mirror_depends_on_its_draw_alone() -> None:
    image, objects = square(8, 6, 20, 18)
    draws = [
        random_mirror(image, objects, np.random.default_rng(seed), 0.5)[0] is not image
        for seed in range(200)
    ]
    assert 70 < sum(draws) < 130
    assert random_mirror(image, objects, np.random.default_rng(0), 0.0)[0] is image
