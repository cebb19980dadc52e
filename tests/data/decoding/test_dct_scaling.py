"""A box that becomes smaller is decoded from a smaller image, with the pixels that it has there."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.builders.images import encode, photo
from tests.builders.jpegs import SAMPLINGS, Drawing, jpeg, random_boxes, reason, without_library
from trickbag.data.config import DataConfig
from trickbag.data.decoding import region
from trickbag.data.decoding.decode import DecodeError, decode
from trickbag.data.decoding.region import Box, cut, decode_box
from trickbag.data.loading.crops import draw_crop
from trickbag.streams import stream

Size = tuple[int, int]


def expected_divisor(box: Box, least: Size) -> int:
    """Return by how much the image may be smaller, by hand."""
    left, top, right, bottom = box
    for divisor in (8, 4, 2):
        # Rounded to the nearest, halves up.
        x, y, end_x, end_y = (int(np.floor(edge / divisor + 0.5)) for edge in box)
        if end_x - x >= least[1] and end_y - y >= least[0]:
            return divisor
    assert right > left
    assert bottom > top
    return 1


def smaller(data: bytes, divisor: int) -> np.ndarray:
    """Decode a JPEG at 1 / `divisor` of its size, as Pillow does."""
    image = Image.open(io.BytesIO(data))
    if divisor > 1:
        # The largest size that is not below what is asked for.
        image.draft(image.mode, (max(1, image.width // divisor), max(1, image.height // divisor)))
    return np.asarray(image.convert("RGB"))


def require_smaller(data: bytes, box: Box, least: Size, **options: Any) -> int:
    """Check the pixels of a box against Pillow's; return the divisor."""
    drawing = Drawing(box, [], least)
    drawn, pixels = decode_box(data, drawing, **options)
    assert drawn is drawing
    divisor = expected_divisor(box, least)
    edges = [int(np.floor(edge / divisor + 0.5)) for edge in box]
    image = smaller(data, divisor)
    np.testing.assert_array_equal(pixels, cut(image, (edges[0], edges[1], edges[2], edges[3])))
    assert pixels.shape[0] >= min(least[0], box[3] - box[1])
    assert pixels.shape[1] >= min(least[1], box[2] - box[0])
    return divisor


@pytest.mark.parametrize("sampling", SAMPLINGS)
@given(
    shape=st.tuples(st.integers(8, 150), st.integers(8, 150)),
    least=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    quality=st.integers(5, 100),
    seed=st.integers(0, 2**16),
)
@settings(deadline=None, max_examples=25)
def test_a_box_has_the_pixels_of_the_smaller_image(
    sampling: str, shape: Size, least: Size, quality: int, seed: int
) -> None:
    data = jpeg(photo(*shape[::-1], seed), sampling, quality)
    for box in random_boxes(*shape, 4, seed):
        require_smaller(data, box, least, verified=True)
        with without_library():
            require_smaller(data, box, least, verified=True)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("least", "divisor"), [(60, 1), (45, 2), (22, 4), (11, 8), (1, 8)])
def test_the_divisor_is_the_largest_that_leaves_the_least_size(
    sampling: str, least: int, divisor: int, library: str
) -> None:
    data = jpeg(photo(160, 130), sampling)
    assert require_smaller(data, (33, 21, 125, 113), (least, least), verified=True) == divisor
    # The decoder keeps nothing of the size before.
    unscaled = Drawing((33, 21, 125, 113), [])
    _, pixels = decode_box(data, unscaled, verified=True)
    np.testing.assert_array_equal(pixels, cut(decode(data), unscaled.box))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("least", [(9, 20), (20, 9)])
def test_a_turned_image(orientation: int, least: Size, library: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Both sides are whole at every divisor: rounding is then the same from either end.
    data = encode(photo(96, 64), "JPEG", quality=90, exif=exif)
    height, width = decode(data).shape[:2]
    box = (8, 8, width - 8, height - 8)
    _, pixels = decode_box(data, Drawing(box, [], least), verified=True)
    divisor = expected_divisor(box, least)
    assert divisor == (4 if (least[1] > least[0]) == (width > height) else 2)
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (image.width // divisor, image.height // divisor))
        upright = np.asarray(ImageOps.exif_transpose(image))
    edges = [edge // divisor for edge in box]
    expected = cut(upright, (edges[0], edges[1], edges[2], edges[3]))
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize(
    "options",
    [{"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}, {"subsampling": 0}],
)
@pytest.mark.parametrize("verified", [True, False])
def test_other_files_of_jpeg(options: dict[str, Any], verified: bool, library: str) -> None:
    data = encode(photo(90, 130), "JPEG", quality=90, **options)
    divisors = {
        require_smaller(data, box, (4, 3), verified=verified)
        for box in random_boxes(130, 90, 12, 0)
    }
    assert divisors == {1, 2, 4, 8}


def test_what_is_no_jpeg_of_rgb_keeps_its_size() -> None:
    image = photo(64, 64)
    for data in (
        encode(image, "PNG"),
        encode(Image.fromarray(image).convert("CMYK"), "JPEG"),
        encode(image, "WebP"),
    ):
        drawing = Drawing((0, 0, 64, 64), [], (4, 4))
        _, pixels = decode_box(data, drawing, verified=True)
        np.testing.assert_array_equal(pixels, decode(data))


def test_damage_that_a_smaller_image_hides_is_noticed(library: str) -> None:
    data = jpeg(photo(160, 160), "420")
    drawing = Drawing((0, 0, 160, 20), [], (4, 4))
    refused = 0
    for place in range(len(data) // 10, len(data) - 10, 37):
        bad = bytearray(data)
        bad[place : place + 3] = b"\xff\xd9\xff"
        expected = reason(partial(decode, bytes(bad)))
        assert reason(partial(decode_box, bytes(bad), drawing)) == expected
        refused += expected is not None
    assert refused > 20
    with pytest.raises(DecodeError, match="truncated JPEG"):
        decode_box(data[: len(data) // 2], drawing, verified=True)


def test_memory_that_runs_out_gives_no_other_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(region, "_decoded", fail)
    data = jpeg(photo(160, 160), "420")
    scaled = Drawing((0, 0, 160, 160), [], (40, 40))
    for verified in (True, False):
        expected = "JPEG too large for the memory"
        assert reason(partial(decode_box, data, scaled, verified=verified)) == expected
    unscaled = Drawing((0, 0, 160, 160), [])
    _, pixels = decode_box(data, unscaled, verified=True)
    np.testing.assert_array_equal(pixels, decode(data))


def test_limits_are_those_of_the_whole_image(library: str) -> None:
    data = jpeg(photo(160, 160), "420")
    for verified in (True, False):
        with pytest.raises(
            DecodeError, match=r"160 x 160 pixels by its header, more than data\.max_pixels"
        ):
            decode_box(data, Drawing((0, 0, 160, 160), [], (4, 4)), 1000, verified=verified)


@pytest.mark.parametrize("resize", ["crop", "squash", "letterbox"])
def test_a_crop_is_nearly_that_of_the_whole_image(resize: Any, library: str) -> None:
    data = DataConfig(image_size=16, resize=resize)
    scaled = DataConfig(image_size=16, resize=resize, dct_scaling=True)
    y, x = np.mgrid[0 : 1 : 150 * 1j, 0 : 1 : 170 * 1j]
    smooth = (np.stack([x, y, (x + y * y) / 2], axis=2) * 200 + 25).astype(np.uint8)
    encoded = jpeg(smooth, "420", 95)
    sizes = set()
    for row in range(20):
        results = []
        for config in (data, scaled):

            def draw(height: int, width: int, row: int = row, config: DataConfig = config) -> Any:
                return draw_crop(height, width, stream(0, "crop", 0, row), config, 16)

            drawn, pixels = decode_box(encoded, draw, verified=True)
            assert drawn.least == (drawn.scaled if config.dct_scaling else None)
            results.append(drawn.of(pixels, 16, (0.0, 0.0, 0.0)).astype(float))
        sizes.add(pixels.shape[0] < drawn.box[3] - drawn.box[1])
        # An edge moves by half a pixel of the smaller image, so by no more than that of the result,
        # and from one pixel of the result to the next there are at most 200 / 16 levels.
        assert np.abs(results[0] - results[1]).mean() < 200 / 16 / 2
    assert True in sizes
