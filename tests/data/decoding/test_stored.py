"""One scale: stored values of a range become 0 to 255, whatever image they are in."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.builders.images import encode, photo, png
from tests.builders.tiff import tiff
from trickbag.data.decoding.decode import DecodeError, decode, decode_rendered, read_stored
from trickbag.data.decoding.pixel_format import PixelFormat, PixelRange, given_ranges
from trickbag.data.decoding.stored import StoredImage, rendered


@pytest.mark.parametrize(
    ("dtype", "limits", "given", "expected"),
    [
        ("uint8", None, [0, 7, 255], [0, 7, 255]),
        ("uint8", (0, 100), [0, 50, 100], [0, 128, 255]),
        ("uint16", None, [0, 255, 256, 32768, 65535], [0, 0, 1, 128, 255]),
        ("uint16", (0, 4095), [0, 15, 16, 2048, 4095], [0, 0, 1, 128, 255]),
        ("uint16", (0, 255), [0, 20, 220], [0, 20, 220]),
        ("uint16", (29000, 31000), [29000, 30000, 31000], [0, 128, 255]),
        ("uint16", (0, 15), [0, 1, 15], [0, 17, 255]),
        ("int16", (-1024, 3071), [-1024, 0, 3071], [0, 64, 255]),
        ("int16", (0, 65535), [0, 32767], [0, 127]),
        ("int32", (0, 255), [0, 200], [0, 200]),
        ("uint32", (0, 2**24 - 1), [0, 2**16, 2**24 - 1], [0, 1, 255]),
        ("uint32", (4e9, 4.2e9), [4_000_000_000, 4_200_000_000], [0, 255]),
        ("float32", (0, 1), [0.0, 0.5, 1.0], [0, 128, 255]),
        ("float32", (0, 255), [0.0, 127.6, 255.0], [0, 128, 255]),
        ("float64", (250, 310), [250.0, 280.0, 310.0], [0, 128, 255]),
        ("float16", (0, 1), [0.0, 0.5, 1.0], [0, 128, 255]),
        ("float32", (-3e38, 1), [-3e38, 1.0], [0, 255]),
    ],
)
def test_the_range_becomes_0_to_255(dtype: str, limits: Any, given: Any, expected: Any) -> None:
    kind = "uint8" if dtype == "uint8" else "float" if dtype.startswith("float") else "integer"
    ranges: tuple[PixelRange, ...] = () if limits is None else ((kind, *limits),)  # type: ignore
    stored = StoredImage(values=np.array([given], dtype)[:, :, None], bands=1)
    pixels, outside, _ = rendered(stored, PixelFormat(ranges))
    np.testing.assert_array_equal(pixels[0, :, 1], expected)
    assert outside == 0


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_values_beyond_the_range_are_its_ends_and_are_counted(dtype: str) -> None:
    values = np.array([[[50], [100], [200], [300], [400]]], dtype)
    pixels, outside, _ = rendered(
        StoredImage(values=values, bands=1), PixelFormat(given_ranges(100, 300))
    )
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 0, 128, 255, 255])
    assert outside == 2
    if dtype == "float32":
        values[0, -1] = 3e38
        form = PixelFormat(given_ranges(100, 300))
        assert rendered(StoredImage(values=values, bands=1), form).pixels[0, -1, 0] == 255


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint32", "float32"])
def test_a_type_without_a_range_is_never_guessed(dtype: str) -> None:
    with pytest.raises(DecodeError, match=f"{dtype} pixels, of which no range"):
        decode(tiff(np.zeros((2, 2), dtype)))


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_both_bytes_of_a_png_are_read(colour: int) -> None:
    bands = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, bands), np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    stored = read_stored(png(7, 5, 16, colour, rows))
    np.testing.assert_array_equal(stored.values, values)
    assert (stored.alpha == "straight") is (bands in (2, 4))


def test_transparency_of_16_bits_has_its_own_range() -> None:
    raw = b"\0" + struct.pack(">8H", 4095, 0, 2048, 65535, 0, 0, 0, 0)
    form = PixelFormat(given_ranges(0, 4095))
    np.testing.assert_array_equal(
        decode(png(2, 1, 16, 6, raw), form=form), [[[255, 0, 128], [255, 255, 255]]]
    )


@pytest.mark.parametrize(
    ("mode", "kind", "bands"),
    [
        ("1", "PNG", 1),
        ("L", "PNG", 1),
        ("L", "JPEG", 1),
        ("LA", "PNG", 2),
        ("P", "PNG", 3),
        ("RGB", "JPEG", 3),
        ("RGB", "WebP", 3),
        ("RGBA", "PNG", 4),
        ("CMYK", "TIFF", 3),
    ],
)
def test_bands_of_8_bit_images(mode: str, kind: str, bands: int) -> None:
    image = Image.fromarray(photo()).convert(mode)
    data = encode(image, kind)
    assert read_stored(data).bands == bands
    kept = decode(data, form=PixelFormat(channels=tuple(range(bands))))
    assert kept.shape == (32, 48, bands)
    with Image.open(io.BytesIO(data)) as opened:
        bare = opened.convert("RGB") if mode in ("P", "CMYK") else opened
        expected = np.asarray(bare.convert("L") if mode == "1" else bare).reshape(32, 48, bands)
    if kind != "JPEG":
        np.testing.assert_array_equal(kept, expected)
    with pytest.raises(DecodeError, match=f"{bands} channels?, too few"):
        decode(data, form=PixelFormat(channels=(bands,)))


def test_8_bit_values_of_a_range() -> None:
    data = encode(np.array([[0, 8, 16]], np.uint8), "PNG")
    pixels, outside, used = decode_rendered(data, form=PixelFormat((("uint8", 0, 16),)))
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 128, 255])
    assert (outside, used) == (0, None)


def test_how_much_of_a_range_an_image_uses() -> None:
    data = tiff(np.array([[100, 200, 300]], np.uint16))
    used = [
        decode_rendered(data, form=form).used
        for form in (
            PixelFormat(),
            PixelFormat(given_ranges(0, 400)),
            PixelFormat(given_ranges(200, 250)),
        )
    ]
    assert used == [pytest.approx(200 / 65535), 0.5, 1]
