"""Single images as a pack holds them, against the decoder of the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.builders.images import encode, exif, photo, with_exif
from trickbag.data.decoding.decode import decode
from trickbag.data.packing.encode import ImageWriter, PackedImage, scaled_down
from trickbag.data.source import FilePart
from trickbag.data.sources.arrow.header import Encoding
from trickbag.errors import UserError

GREY = photo(20, 14)[:, :, 0]
IMAGES = {
    "JPEG": encode(photo(20, 14), "JPEG", quality=95),
    "turned JPEG": with_exif(encode(photo(20, 14), "JPEG", quality=95), exif(6)),
    "grey JPEG": encode(GREY, "JPEG"),
    "CMYK JPEG": encode(Image.fromarray(photo(20, 14)).convert("CMYK"), "JPEG"),
    "PNG": encode(photo(20, 14), "PNG"),
    "grey PNG": encode(GREY, "PNG"),
    "bilevel PNG": encode(Image.fromarray(GREY).convert("1"), "PNG"),
    "palette": encode(Image.fromarray(photo(20, 14)).convert("P"), "PNG"),
    "transparent": encode(np.dstack([photo(20, 14), GREY]), "PNG"),
    "WebP": encode(photo(20, 14), "WEBP"),
}


def packed(data: bytes, folder: Path, encoding: Encoding, side: int | None = None) -> PackedImage:
    (folder / "x.img").write_bytes(data)
    part = FilePart.listed(folder, [("x.img", len(data), 0)])
    quality = 90 if encoding == "jpeg" else None
    return ImageWriter(encoding=encoding, short_side=side, quality=quality).write(part, 0)


def pixels_of(image: PackedImage) -> np.ndarray:
    assert image.data is not None
    values = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, -1)
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


@pytest.mark.parametrize("name", IMAGES)
def test_raw_pixels_are_those_of_the_decoder(name: str, tmp_path: Path) -> None:
    image = packed(IMAGES[name], tmp_path, "raw")
    expected = decode(IMAGES[name])
    np.testing.assert_array_equal(pixels_of(image), expected)
    assert (image.original_height, image.original_width) == expected.shape[:2]
    assert image.original_bytes == len(IMAGES[name])
    # Grey takes a third.
    channels = 1 if name in ("grey JPEG", "grey PNG", "bilevel PNG") else 3
    assert len(image.data or b"") == channels * 20 * 14


@pytest.mark.parametrize("name", IMAGES)
def test_original_bytes_stay(name: str, tmp_path: Path) -> None:
    image = packed(IMAGES[name], tmp_path, "original")
    assert image.data == IMAGES[name]
    assert (image.height, image.width) == decode(IMAGES[name]).shape[:2]
    assert image.error is None


@pytest.mark.parametrize("name", IMAGES)
def test_a_jpeg_looks_like_the_image(name: str, tmp_path: Path) -> None:
    image = packed(IMAGES[name], tmp_path, "jpeg")
    expected = decode(IMAGES[name])
    difference = decode(image.data or b"").astype(int) - expected
    # These are noise, of whose colours a JPEG has a quarter of the pixels.
    assert np.abs(difference.mean(axis=2)).mean() < (12 if name == "palette" else 5)


def test_a_jpeg_that_is_not_scaled_stays_if_that_is_smaller(tmp_path: Path) -> None:
    small = encode(photo(40, 30), "JPEG", quality=40)
    assert packed(small, tmp_path, "jpeg").data == small
    large = encode(photo(40, 30), "JPEG", quality=100)
    assert len(packed(large, tmp_path, "jpeg").data or b"") < len(large)
    assert packed(small, tmp_path, "jpeg", 16).data != small


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    channels=st.sampled_from([1, 3]),
    side=st.integers(8, 64) | st.none(),
)
def test_the_short_side(height: int, width: int, channels: int, side: int | None) -> None:
    pixels = np.zeros((height, width, channels), np.uint8)
    small = scaled_down(pixels, side)
    if side is None or min(height, width) <= side:
        assert small is pixels
        return
    assert min(small.shape[:2]) == side
    assert small.shape[2] == channels
    # The shape stays, to half a pixel of the longer side.
    assert abs(max(small.shape[:2]) - max(height, width) * side / min(height, width)) <= 0.5
    assert (small.shape[0] < small.shape[1]) <= (height < width)


def test_scaling_is_that_of_pillow(tmp_path: Path) -> None:
    data = encode(photo(40, 30), "PNG")
    image = packed(data, tmp_path, "raw", 16)
    expected = Image.fromarray(photo(40, 30)).resize((21, 16), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(pixels_of(image), np.asarray(expected))
    assert (image.original_height, image.original_width) == (30, 40)


DEEP = {
    "16 bits": (encode(GREY.astype(np.uint16) * 200, "PNG"), "pixels of uint16"),
    "float": (encode(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "pixels of float32"),
}


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
@pytest.mark.parametrize("name", DEEP)
def test_images_of_more_than_8_bits_are_refused_by_name(
    name: str, encoding: Encoding, tmp_path: Path
) -> None:
    data, problem = DEEP[name]
    with pytest.raises(UserError, match=rf"x\.img has {problem}, .*--encoding original without"):
        packed(data, tmp_path, encoding)
    assert packed(data, tmp_path, "original").data == data


@pytest.mark.parametrize("encoding", ["original", "jpeg", "raw"])
def test_a_damaged_image_has_its_reason(encoding: Encoding, tmp_path: Path) -> None:
    cut = IMAGES["PNG"][:-40]
    image = packed(cut, tmp_path, encoding)
    assert image.error is not None
    assert "PNG" in image.error
    # As it is, so that whoever reads it judges it; in another encoding it is nothing.
    assert image.data == (cut if encoding == "original" else None)
    (tmp_path / "x.img").write_bytes(cut)
    changed = FilePart.listed(tmp_path, [("x.img", 7, 0)])
    writer = ImageWriter(encoding=encoding, short_side=None, quality=90)
    assert "changed since it was listed: 7 bytes then" in (writer.write(changed, 0).error or "")
    missing = FilePart.listed(tmp_path, [("absent", -1, 0)])
    assert writer.write(missing, 0)[:2] == (None, 0)
