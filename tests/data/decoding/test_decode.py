"""Decoded pixels against Pillow's and by hand: formats, colour modes, orientation."""

from __future__ import annotations

import errno
import io
import os
import struct
from pathlib import Path
from unittest import mock
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.builders.images import encode, exif, photo, png, png_chunk, with_exif
from trickbag.data.decoding.decode import DecodeError, decode, image_format, read_bytes
from trickbag.data.decoding.pixel_format import PixelFormat, given_ranges
from trickbag.errors import RunFailed

DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(48, 32), (47, 33), (1, 1), (7, 300)])
def test_jpeg_pixels_are_pillows(
    size: tuple[int, int], progressive: bool, subsampling: int
) -> None:
    data = encode(
        photo(*size), "JPEG", quality=80, subsampling=subsampling, progressive=progressive
    )
    np.testing.assert_array_equal(
        decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    )


@pytest.mark.data
def test_real_photos_are_pillows(tmp_path: Path) -> None:
    archive = DATA / "imagenet-sample-150.zip"
    if not archive.exists():
        pytest.skip(f"needs {archive.name} of the shared data sets")
    with ZipFile(archive) as files:
        names = [name for name in files.namelist() if name.endswith(".JPEG")]
        turned = 0
        for name in names:
            data = files.read(name)
            with Image.open(io.BytesIO(data)) as image:
                turned += image.getexif().get(0x0112, 1) != 1
                expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            np.testing.assert_array_equal(decode(data), expected, err_msg=name)
    assert len(names) == 150
    assert turned == 1  # its README says so: one photo has orientation 6


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WebP"])
def test_lossless_formats(kind: str) -> None:
    options = {"lossless": True} if kind == "WebP" else {}
    data = encode(photo(), kind, **options)
    assert image_format(data) == kind
    np.testing.assert_array_equal(decode(data), photo())


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff(compression: str) -> None:
    np.testing.assert_array_equal(decode(encode(photo(), "TIFF", compression=compression)), photo())


def test_gif_gives_its_first_frame() -> None:
    first = Image.fromarray(photo()).quantize(64)
    second = Image.fromarray(255 - photo()).quantize(64)
    data = encode(first, "GIF", save_all=True, append_images=[second])
    np.testing.assert_array_equal(decode(data), np.asarray(first.convert("RGB")))


def test_animated_webp_gives_its_first_frame() -> None:
    frames = [Image.fromarray(photo()), Image.fromarray(255 - photo())]
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(decode(data), photo())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_grey_has_three_equal_channels(kind: str) -> None:
    grey = photo()[:, :, 0]
    decoded = decode(encode(grey, kind, **({"quality": 100} if kind == "JPEG" else {})))
    assert decoded.shape == (32, 48, 3)
    assert (decoded == decoded[:, :, :1]).all()
    assert abs(decoded[:, :, 0].astype(int) - grey).max() <= (2 if kind == "JPEG" else 0)


def test_one_bit() -> None:
    bits = photo()[:, :, 0] > 120
    expected = np.where(bits, 255, 0)[:, :, None].repeat(3, axis=2)
    np.testing.assert_array_equal(decode(encode(Image.fromarray(bits), "PNG")), expected)


def over_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[:, :, 3:].astype(np.float64) / 255
    return rgba[:, :, :3] * alpha + 255 * (1 - alpha)


@pytest.mark.parametrize("kind", ["PNG", "WebP", "TIFF"])
def test_alpha_is_laid_over_white(kind: str) -> None:
    alpha = np.linspace(0, 255, 48).astype(np.uint8)[None].repeat(32, 0)
    rgba = np.dstack([photo(), alpha])
    options = {"lossless": True, "exact": True} if kind == "WebP" else {}
    decoded = decode(encode(rgba, kind, **options))
    assert abs(decoded - over_white(rgba)).max() <= 1
    assert (decoded[:, 0] == 255).all()  # fully transparent
    np.testing.assert_array_equal(decoded[:, -1], photo()[:, -1])  # opaque


def test_grey_with_alpha_is_laid_over_white() -> None:
    grey, alpha = photo()[:, :, 0], photo(seed=1)[:, :, 1]
    decoded = decode(
        encode(Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]), "PNG")
    )
    assert abs(decoded - over_white(np.dstack([grey, grey, grey, alpha]))).max() <= 1


def test_palette_with_transparent_entries() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    data = encode(image, "PNG", transparency=bytes([255, 0, 255]))  # an alpha for each entry
    np.testing.assert_array_equal(decode(data), [[[200, 0, 0], [255, 255, 255], [0, 0, 200]]])


def test_colour_key_becomes_white() -> None:
    raw = b"\0" + bytes([10, 20, 30]) + bytes([10, 20, 31])
    data = png(2, 1, 8, 2, raw, png_chunk(b"tRNS", struct.pack(">HHH", 10, 20, 30)))
    np.testing.assert_array_equal(decode(data), [[[255, 255, 255], [10, 20, 31]]])


def test_gif_with_transparency_is_white_there() -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([200, 0, 0, 0, 200, 0])
    np.testing.assert_array_equal(
        decode(encode(image, "GIF", transparency=1)), [[[200, 0, 0], [255, 255, 255]]]
    )


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_jpeg(adobe: bool) -> None:
    # Adobe's inks are inverted; Pillow and browsers assume the same of a file without its marker.
    inks = Image.fromarray(np.full((16, 16, 4), (0, 250, 250, 0), np.uint8), "CMYK")  # a strong red
    data = encode(inks, "JPEG", quality=100)
    start = data.index(b"\xff\xee")
    if not adobe:
        length = struct.unpack(">H", data[start + 2 : start + 4])[0]
        data = data[:start] + data[start + 2 + length :]
    red, green, blue = decode(data).reshape(-1, 3).mean(axis=0)
    assert red > 245
    assert max(green, blue) < 15


def test_ycck_jpeg() -> None:
    # Pillow cannot write YCCK: the Adobe marker of a CMYK file is changed, so that its first three
    # planes are read as YCC.
    inks = Image.fromarray(np.full((16, 16, 4), (255, 127, 127, 255), np.uint8), "CMYK")
    # Pillow stores the inks inverted: 0, 128, 128, 0.
    data = bytearray(encode(inks, "JPEG", quality=100))
    place = bytes(data).index(b"Adobe")
    assert data[place + 11] == 0  # no transform
    data[place + 11] = 2  # YCCK
    assert decode(bytes(data)).max() <= 2  # Y 0 with neutral chroma, and full black: black
    damaged = bytes(data[:-40])
    with pytest.raises(DecodeError, match="truncated JPEG"):
        decode(damaged)


def test_cmyk_tiff() -> None:
    inks = Image.fromarray(np.full((4, 4, 4), (0, 255, 255, 0), np.uint8), "CMYK")
    np.testing.assert_array_equal(decode(encode(inks, "TIFF")), np.full((4, 4, 3), (255, 0, 0)))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_upper_eight(kind: str) -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    decoded = decode(encode(Image.fromarray(values), kind))
    np.testing.assert_array_equal(decoded[0, :, 0], [0, 0, 1, 128, 255])
    assert decoded.shape == (1, 5, 3)


def test_sixteen_bit_colour_png() -> None:
    raw = b"\0" + struct.pack(">6H", 0, 32768, 65535, 256, 512, 65280)
    np.testing.assert_array_equal(decode(png(2, 1, 16, 2, raw)), [[[0, 128, 255], [1, 2, 255]]])


def test_sixteen_bit_colour_png_with_alpha() -> None:
    raw = b"\0" + struct.pack(">8H", 0, 32768, 65535, 65535, 0, 0, 0, 0)
    np.testing.assert_array_equal(decode(png(2, 1, 16, 6, raw)), [[[0, 128, 255], [255, 255, 255]]])


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_a_tiff_of_numbers_has_the_range_of_its_data_set(dtype: type) -> None:
    data = encode(Image.fromarray(np.array([[0, 100, 200, 300]], dtype)), "TIFF")
    decoded = decode(data, form=PixelFormat(given_ranges(0, 200)))
    np.testing.assert_array_equal(decoded[0, :, 0], [0, 128, 255, 255])
    with pytest.raises(DecodeError, match="no range is known"):
        decode(data)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "TIFF"])
def test_orientation_is_pillows(kind: str, orientation: int) -> None:
    tag = Image.Exif()
    tag[0x0112] = orientation
    options = {"JPEG": {"quality": 95}, "WebP": {"lossless": True}}.get(kind, {})
    data = encode(photo(), kind, exif=tag, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    decoded = decode(data)
    np.testing.assert_array_equal(decoded, expected)
    assert decoded.shape[:2] == ((32, 48) if orientation < 5 else (48, 32))


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_in_both_byte_orders(order: str) -> None:
    plain = encode(photo(), "JPEG")
    np.testing.assert_array_equal(
        decode(with_exif(plain, exif(6, order))), np.rot90(decode(plain), -1)
    )


@pytest.mark.parametrize(
    "block",
    [
        exif(0),
        exif(9),
        exif(65535),
        exif(6)[:-8],
        exif(6)[:12],
        b"",
        b"II*\0\xff\xff\xff\xff",
        b"XX*\0" + exif(6)[4:],
        # Text, not a number.
        exif(6).replace(struct.pack("<HH", 0x0112, 3), struct.pack("<HH", 0x0112, 2)),
        exif(6)
        .replace(struct.pack("<IH", 8, 1), struct.pack("<IH", 8, 65535))
        .replace(b"\x12\x01", b"\x13\x01"),
        bytes(range(64)),
    ],
)
def test_invalid_exif_is_ignored(block: bytes) -> None:
    plain = encode(photo(), "JPEG")
    np.testing.assert_array_equal(decode(with_exif(plain, block)), decode(plain))
    lossless = encode(photo(), "PNG", exif=b"Exif\0\0" + block) if block else encode(photo(), "PNG")
    np.testing.assert_array_equal(decode(lossless), photo())


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "is_a_png.jpg"
    path.write_bytes(encode(photo(), "PNG"))
    np.testing.assert_array_equal(decode(path), photo())
    np.testing.assert_array_equal(decode(str(path)), photo())


def test_the_result_can_be_written_to_and_is_contiguous() -> None:
    turned = decode(with_exif(encode(photo(), "JPEG"), exif(6)))
    assert turned.flags.c_contiguous
    assert turned.dtype == np.uint8


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_blame_no_image(tmp_path: Path, number: int) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with (
        mock.patch("builtins.open", side_effect=OSError(number, os.strerror(number))),
        pytest.raises(RunFailed, match=r"a\.png cannot be opened: .*open files.*ulimit -n"),
    ):
        read_bytes(tmp_path / "a.png")
