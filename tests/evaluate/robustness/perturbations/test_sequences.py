"""All sequences by one table of contracts, and each against the published formulas in float64."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from tests.builders.fake_mps import fake_mps
from tests.builders.images import photo
from trickbag.errors import UserError
from trickbag.evaluate.robustness.perturbations.sequences import frames, running, takes
from trickbag.evaluate.robustness.perturbations.tables import (
    CIFAR10_P,
    IMAGENET_P,
    PERTURBATIONS,
    TABLES,
    table_for,
)
from trickbag.metrics.flips import NOISE_PERTURBATIONS
from trickbag.streams import stream

Array = np.ndarray[Any, Any]
SIZE, PHOTO, FEW_PIXELS = (28, 24), (40, 44), (14, 12)


def photos(count: int = 2, height: int = 40, width: int = 44) -> Tensor:
    pictures = [photo(width, height, seed) for seed in range(count)]
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())


PHOTOS = photos()


def sequence(name: str, images: Tensor = PHOTOS, **settings: Any) -> Array:
    """Return all frames as (F, N, H, W, C)."""
    given = {"seed": 3, "index_N": range(len(images)), "table": "cifar10_p"} | settings
    stacked = torch.stack(list(frames(images, name, **given)))
    return stacked.permute(0, 1, 3, 4, 2).numpy()


def centred(images: Tensor = PHOTOS, size: tuple[int, int] = SIZE) -> Array:
    top, left = ((n - m) // 2 for n, m in zip(images.shape[2:], size, strict=True))
    pixels = images.permute(0, 2, 3, 1).numpy()
    return pixels[:, top : top + size[0], left : left + size[1]]


def assert_close(frame: Array, expected: Array, most: int = 1, share: float = 0.02) -> None:
    """Compare levels; but for a share of them, which rounding may bring to the next, exactly."""
    difference = np.abs(frame.astype(int) - expected.astype(int))
    assert difference.max() <= most
    assert (difference > 0).mean() <= share


# Contracts


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_frames_are_images_that_the_seed_and_the_row_determine(name: str) -> None:
    rows = [5, 2]
    first = sequence(name, size=FEW_PIXELS, index_N=rows)
    assert first.shape == (CIFAR10_P.frames(name), 2, *FEW_PIXELS, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, sequence(name, size=FEW_PIXELS, index_N=rows))
    # The other image of the batch changes nothing.
    alone = sequence(name, PHOTOS[1:], size=FEW_PIXELS, index_N=[2])
    assert np.array_equal(first[:, 1:], alone)
    drawn = name in (*NOISE_PERTURBATIONS, "snow", "spatter")
    assert drawn != np.array_equal(first, sequence(name, size=FEW_PIXELS, index_N=rows, seed=4))
    # Consecutive frames differ, or there would be nothing to measure.
    assert (first[1:] != first[:-1]).any()
    if name in (*NOISE_PERTURBATIONS, "zoom_blur"):
        assert np.array_equal(first[0], centred(size=FEW_PIXELS))


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 2), (5, 17)])
def test_images_may_have_any_size(name: str, height: int, width: int) -> None:
    images = photos(1, 40, 44)[:, :, :height, :width]
    for table in ("cifar10_p", "imagenet_p"):
        iterator = frames(images, name, seed=0, index_N=[0], table=table)
        frame = next(iterator)
        frame = next(iterator)
        assert frame.shape == (1, 3, height, width)
        assert frame.dtype == torch.uint8


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_images_may_have_other_channels(channels: int) -> None:
    images = PHOTOS[:, :1].repeat(1, channels, 1, 1)
    for name in PERTURBATIONS:
        if takes(name, channels):
            iterator = frames(images, name, seed=0, index_N=[0, 1])
            assert next(iterator).shape == images.shape
        else:
            with pytest.raises(UserError, match=f"{name} needs images of 1 or 3 channels"):
                frames(images, name, seed=0, index_N=[0, 1])
    assert [name for name in PERTURBATIONS if not takes(name, 2)] == ["snow", "spatter"]


def test_the_published_numbers_of_frames() -> None:
    counts = {
        table.name: {name: table.frames(name) for name in PERTURBATIONS}
        for table in TABLES.values()
    }
    usual = dict.fromkeys(PERTURBATIONS, 31)
    assert counts["imagenet_p"] == usual | {"translate": 41}
    assert counts["tiny_imagenet_p"] == usual
    assert counts["cifar10_p"] == usual | {"translate": 16, "motion_blur": 21}


def test_tables_are_chosen_by_the_size() -> None:
    names = [table_for(side, 2 * side).name for side in (1, 32, 45, 46, 119, 120, 299)]
    small, middle, large = "cifar10_p", "tiny_imagenet_p", "imagenet_p"
    assert names == [small, small, small, middle, middle, large, large]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"name": "fog"}, "'fog' is no perturbation"),
        ({"table": "imagenet_c"}, "no table of perturbations 'imagenet_c'"),
        ({"size": (41, 2)}, "41x2 px are no part of images of 40x44 px"),
        ({"size": (0, 2)}, "0x2 px"),
        ({"index_N": [0]}, "2 images and 1 indices"),
        ({"images_NCHW": PHOTOS.float()}, "uint8"),
    ],
)
def test_wrong_input_is_named(settings: dict[str, Any], text: str) -> None:
    given = {"images_NCHW": PHOTOS, "name": "tilt", "seed": 0, "index_N": [0, 1]} | settings
    with pytest.raises(UserError, match=text):
        frames(given.pop("images_NCHW"), given.pop("name"), **given)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_frames_on_a_device_without_float64_are_those_of_the_cpu(name: str) -> None:
    given: dict[str, Any] = {"seed": 3, "index_N": [0, 1], "size": (12, 12), "table": "cifar10_p"}
    with fake_mps():
        iterator = frames(PHOTOS.to("mps"), name, **given)
        on_device = [next(iterator).cpu() for _ in range(3)]
    iterator = frames(PHOTOS, name, **given)
    on_cpu = [next(iterator) for _ in range(3)]
    assert_close(torch.stack(on_device).numpy(), torch.stack(on_cpu).numpy(), most=2)


# The published formulas


def normal(name: str, frame: int, row: int, shape: tuple[int, ...]) -> Array:
    rng = stream(3, f"perturbation:{name}", frame, row)
    return rng.standard_normal(shape, dtype=np.float32).astype(np.float64)


@pytest.mark.parametrize("name", ["gaussian_noise", "speckle_noise"])
def test_noise_is_that_of_the_formula(name: str) -> None:
    drawn = sequence(name, size=SIZE)
    images = centred() / 255
    for frame in (1, 2, 30):
        for row in (0, 1):
            noise = normal(name, frame, row, (3, *SIZE)).transpose(1, 2, 0)
            x = images[row]
            noisy = x + 0.02 * noise if name == "gaussian_noise" else x + x * noise * 0.05
            assert_close(drawn[frame, row], np.floor(255 * np.clip(noisy, 0, 1)))


def test_shot_noise_has_the_mean_and_the_variance_of_poisson_counts() -> None:
    grey = torch.full((1, 3, 40, 40), 128, dtype=torch.uint8)
    levels = sequence("shot_noise", grey, table="imagenet_p")[1:].astype(float)
    photons = 300 * 128 / 255
    # Levels are cut: half a level less on average.
    assert levels.mean() == pytest.approx(128 - 0.5, abs=0.1)
    assert levels.std() == pytest.approx(255 / 300 * photons**0.5, rel=0.02)
    assert len({frame.tobytes() for frame in levels}) == 30


def by_pillow(image: Array, angle: float, scale: float, shear: float, move: int = 0) -> Array:
    """Transform by the matrix of torchvision 0.2.1, about (w / 2 + 0.5, h / 2 + 0.5)."""
    height, width = image.shape[:2]
    x, y = width * 0.5 + 0.5, height * 0.5 + 0.5
    a, s = np.radians(angle), np.radians(shear)
    matrix = np.array([[np.cos(a + s), np.sin(a + s)], [-np.sin(a), np.cos(a)]])
    matrix /= scale * (np.cos(a + s) * np.cos(a) + np.sin(a + s) * np.sin(a))
    offset = [x, y] - matrix @ [x + move, y]
    numbers = (*matrix[0], offset[0], *matrix[1], offset[1])
    picture = Image.fromarray(image)
    moved = picture.transform((width, height), Image.Transform.AFFINE, numbers, 2 * (not move))
    return np.asarray(moved)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rotate", {0: -15, 15: 0, 20: 5, 30: 15}),
        ("shear", {0: -15, 15: 0, 30: 15}),
        ("scale", {0: 0.7, 15: 1.0, 30: 1.3}),
    ],
)
def test_affine_frames_are_those_of_pillow(name: str, values: dict[int, float]) -> None:
    drawn = sequence(name, size=SIZE)
    for frame, value in values.items():
        angle, scale, shear = 0.0, 1.0, 0.0
        if name == "rotate":
            angle = value
        elif name == "scale":
            scale = value
        else:
            shear = value
        moved = [by_pillow(image, angle, scale, shear) for image in centred(PHOTOS, PHOTO)]
        top, left = 6, 10
        expected = np.stack(moved)[:, top : top + 28, left : left + 24]
        # Where the image ends Pillow cuts it off, and here it fades within a pixel.
        inside = expected.min(-1, keepdims=True) > 0
        assert inside.mean() > 0.9 * min(scale, 1) ** 2
        assert_close(np.where(inside, drawn[frame], 0), np.where(inside, expected, 0), share=0.03)


def test_translate_moves_by_whole_pixels() -> None:
    drawn = sequence("translate", size=SIZE, table="imagenet_p")
    padded = np.pad(centred(PHOTOS, PHOTO), ((0, 0), (0, 0), (20, 20), (0, 0)))
    for frame in range(41):
        left = 20 + 10 - (frame - 20)
        assert np.array_equal(drawn[frame], padded[:, 6:34, left : left + 24])


def by_scipy(image: Array, matrix: Array) -> Array:
    """Warp by a matrix from the image's to the frame's pixels, bilinear, black outside."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    source = np.linalg.inv(matrix) @ np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    x, y = source[:2] / source[2]
    channels = [
        ndimage.map_coordinates(image[..., c].astype(float), (y, x), order=1, mode="grid-constant")
        for c in range(3)
    ]
    return np.stack(channels, -1).reshape(image.shape)


@pytest.mark.parametrize("frame", [0, 15, 22, 30])
def test_tilt_is_the_published_product_of_matrices(frame: int) -> None:
    h, w = PHOTO
    angle = np.deg2rad(frame - 15)
    cos, sin, f = np.cos(angle), np.sin(angle), np.sqrt(w**2 + h**2)
    p1 = np.array([[1, 0, -w / 2], [0, 1, -h / 2], [0, 0, 1], [0, 0, 1]])
    rx = np.array([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1]])
    ry = np.array([[cos, 0, -sin, 0], [0, 1, 0, 0], [sin, 0, cos, 0], [0, 0, 0, 1]])
    t = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, f], [0, 0, 0, 1]])
    p2 = np.array([[f, 0, w / 2, 0], [0, f, h / 2, 0], [0, 0, 1, 0]])
    warped = [by_scipy(image, p2 @ t @ rx @ ry @ p1) for image in centred(PHOTOS, PHOTO)]
    drawn = sequence("tilt", size=SIZE, photo=PHOTO, table="imagenet_p")
    expected = np.stack(warped)[:, 6:34, 10:34]
    assert_close(drawn[frame], np.floor(expected + 0.5), share=0.001)


def test_zoom_blur_is_the_mean_of_the_zooms_so_far() -> None:
    drawn = sequence("zoom_blur", size=SIZE)
    for row, image in enumerate(centred(PHOTOS, PHOTO)):
        zooms = [by_pillow(image, 0, 1 + 0.004 * i, 0) for i in range(31)]
        for frame in (1, 30):
            mean = np.mean([z[6:34, 10:34].astype(float) for z in zooms[: frame + 1]], 0)
            assert_close(drawn[frame, row], np.floor(mean + 1e-6), share=0.02)


def test_brightness_is_the_value_of_hsv() -> None:
    drawn = sequence("brightness", size=(6, 5), table="imagenet_p")
    crops = centred(PHOTOS, (6, 5))
    for frame in (0, 15, 16, 30):
        expected = np.zeros_like(crops, float)
        for place in np.ndindex(crops.shape[:3]):
            hue, saturation, value = colorsys.rgb_to_hsv(*(crops[place] / 255.0))
            value = min(max(value + (frame - 15) * 0.02, 0), 1)
            expected[place] = colorsys.hsv_to_rgb(hue, saturation, value)
        assert_close(drawn[frame], np.floor(255 * expected + 1e-6))


def moved_naively(image_HW: Array, radius: int, sigma: float, angle: float) -> Array:
    """Blur by motion as ImageMagick does, pixel by pixel of the line; edges are repeated."""
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    h, w = image_HW.shape
    total = np.zeros((h, w))
    for i, weight in enumerate(weights / weights.sum()):
        dy = int(np.ceil(i * np.sin(np.radians(angle)) - 0.5))
        dx = int(np.ceil(i * np.cos(np.radians(angle)) - 0.5))
        rows = np.clip(np.arange(h) + dy, 0, h - 1)
        columns = np.clip(np.arange(w) + dx, 0, w - 1)
        total += weight * image_HW[rows][:, columns]
    return total


@pytest.mark.parametrize(("frame", "angle"), [(0, -120), (13, -68), (30, 0)])
def test_motion_blur_turns(frame: int, angle: float) -> None:
    drawn = sequence("motion_blur", size=SIZE, table="imagenet_p")
    for channel in range(3):
        crop = centred()[0, ..., channel].astype(float)
        expected = np.floor(moved_naively(crop, 10, 3, angle) + 0.5)
        assert_close(drawn[frame, 0, ..., channel], expected)


@pytest.mark.parametrize("frame", [0, 30])
def test_gaussian_blur_is_that_of_scipy(frame: int) -> None:
    drawn = sequence("gaussian_blur", size=SIZE, table="imagenet_p")
    sigma = (0.25 + 0.035 * frame, 0.25 + 0.035 * frame, 0)
    blurred = ndimage.gaussian_filter(centred()[0] / 255, sigma, mode="nearest", truncate=6)
    assert_close(drawn[frame, 0], np.floor(255 * blurred + 1e-6))


def test_snow_is_the_same_flakes_in_turning_directions() -> None:
    drawn = sequence("snow", size=(30, 30), table="imagenet_p")
    layer = 0.05 + 0.3 * normal("snow", 0, 1, (1, 30, 30))[0]
    flakes = ndimage.zoom(layer[10:20, 10:20], 3, order=1)
    assert flakes.shape == (30, 30)
    flakes = np.floor(np.clip(np.where(flakes < 0.5, 0, flakes), 0, 1) * 255)
    x = centred(size=(30, 30))[1] / 255
    grey = (x @ [0.299, 0.587, 0.114])[..., None]
    for frame in (0, 17, 30):
        fallen = np.floor(moved_naively(flakes, 14, 4, 4 * frame - 150) + 0.5)[..., None] / 255
        snowy = 0.85 * x + 0.15 * np.maximum(x, 1.5 * grey + 0.5) + fallen + np.rot90(fallen, 2)
        assert_close(drawn[frame, 1], np.floor(255 * np.clip(snowy, 0, 1) + 1e-6), most=2)


def test_drops_run_down_as_by_numpys_convolution() -> None:
    column = np.random.default_rng(0).random(9)
    for table in TABLES.values():
        kernel = table.spatter.kernel
        expected = np.convolve(column, kernel, mode="same")
        assert running(9, kernel) @ column == pytest.approx(expected)


def test_spatter_lightens_more_and_more_of_an_image_downwards() -> None:
    black = torch.zeros(1, 3, 96, 96, dtype=torch.uint8)
    drawn = sequence("spatter", black, table="imagenet_p")[:, 0]
    assert drawn.max() > 0
    # Where there is water its colour is pale turquoise, a mixture with black here.
    red, green, blue = (drawn[..., c].astype(int) for c in range(3))
    assert np.array_equal(green, blue)
    assert (np.abs(red * 238 - green * 175) < 2 * 255).all()
    places = np.arange(96)
    heights = [(frame[..., 1].sum(1) @ places) / frame[..., 1].sum() for frame in drawn[:2]]
    assert heights[1] != heights[0]


def test_every_published_sequence_has_steps_without_rounding_errors() -> None:
    assert IMAGENET_P.brightness[15] == 0
    assert IMAGENET_P.scale[-1] == 1.15
    assert IMAGENET_P.motion_blur.angles[-1] == 0
    assert IMAGENET_P.tilt == IMAGENET_P.rotate == tuple(range(-15, 16))
