"""Arrays and images of Pillow become what their files would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.builders.tiff import tiff
from trickbag.data.decoding.decode import DecodeError, decode
from trickbag.data.decoding.pixel_format import RGB, PixelFormat, given_ranges
from trickbag.evaluate.given import given_pixels

RANGE = given_ranges(0, 4095)


def values(dtype: str, *shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 4096, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32"])
@pytest.mark.parametrize(
    ("bands", "channels"), [(1, None), (3, None), (5, (0, 4)), (5, (0, 1, 2, 3, 4)), (1, (0,))]
)
def test_an_array_has_the_values_of_a_file(dtype: str, bands: int, channels: Any) -> None:
    given, form = values(dtype, 4, 5, bands), PixelFormat(RANGE, channels)
    pixels, outside, _ = given_pixels(given, form)
    np.testing.assert_array_equal(pixels, decode(tiff(given), form=form))
    assert outside == 0
    assert given_pixels(given * 2, form)[1] > 0


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_an_image_of_pillow_has_the_values_of_a_file(mode: str) -> None:
    dtype = {"I;16": "uint16", "I": "int32", "F": "float32"}[mode]
    given, form = values(dtype, 4, 5), PixelFormat(RANGE)
    image = Image.fromarray(given)
    assert image.mode == mode
    np.testing.assert_array_equal(given_pixels(image, form)[0], decode(tiff(given), form=form))


@pytest.mark.parametrize(
    ("given", "form"),
    [
        (np.zeros((4, 4, 4), np.uint8), RGB),
        (np.zeros((4, 4, 3)), RGB),
        (np.zeros((4, 4, 3), bool), RGB),
        (np.zeros((4, 4, 3), np.uint16), PixelFormat(RANGE, (0, 3))),
        (np.zeros((4, 4, 3), np.int8), RGB),
    ],
)
def test_what_is_no_image(given: Any, form: PixelFormat) -> None:
    with pytest.raises(ValueError, match="is no image"):
        given_pixels(given, form)


def test_values_that_are_not_finite() -> None:
    with pytest.raises(DecodeError, match="not finite"):
        given_pixels(np.full((2, 2), np.nan, np.float32), PixelFormat(RANGE))
