"""TIFFs of any bands, types and layouts of values, which Pillow's modes cannot hold."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import numpy as np
import pytest

from tests.builders.tiff import ALPHA, GREY, GREY_WHITE_IS_ZERO, PREMULTIPLIED, UNSPECIFIED, tiff
from trickbag.data.decoding.decode import DecodeError, decode, read_stored
from trickbag.data.decoding.pixel_format import PixelFormat, given_ranges

TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "f2", "f4", "f8")


def values(dtype: str, *shape: int, seed: int = 0) -> Any:
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    if kind.kind == "f":
        return rng.normal(0, 100, shape).astype(kind)
    limits = np.iinfo(kind)
    return rng.integers(limits.min, limits.max, shape, kind, endpoint=True)


LAYOUTS: dict[str, dict[str, Any]] = {
    "strips": {"rows": 5},
    "planes": {"planar": True, "rows": 5},
    "tiles": {"tile": 16},
    "deflate": {"deflate": True, "rows": 7},
    "differences": {"deflate": True, "predictor": 2},
    "differences in tiles": {"deflate": True, "predictor": 2, "tile": 16},
    "differences in planes": {"deflate": True, "predictor": 2, "planar": True},
}
OF_FLOATS: dict[str, dict[str, Any]] = {
    "float differences": {"deflate": True, "predictor": 3},
    "float differences in tiles": {"deflate": True, "predictor": 3, "tile": 16},
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("order", "<>")
def test_values_are_those_of_the_file(dtype: str, order: str) -> None:
    layouts = LAYOUTS | (OF_FLOATS if dtype.startswith("f") else {})
    for (name, options), bands in itertools.product(layouts.items(), (1, 2, 5)):
        given = values(dtype, 19, 21, bands)
        stored = read_stored(tiff(given, order=order, **options), keeps_bands=True)
        assert stored.bands == bands, name
        assert stored.values.dtype == given.dtype, name
        np.testing.assert_array_equal(stored.values, given, name)


def test_a_big_tiff_is_read() -> None:
    given = values("u2", 6, 5, 3)
    body = given.tobytes()
    tags = [
        *((256, 5), (257, 6), (259, 1), (262, 2), (273, 16), (277, 3), (278, 6)),
        (279, len(body)),
    ]
    entries = [struct.pack("<HHQQ", tag, 4, 1, value) for tag, value in tags]
    entries.insert(2, struct.pack("<HHQ3HH", 258, 3, 3, 16, 16, 16, 0))
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, 16 + len(body))
    directory = struct.pack("<Q", len(entries)) + b"".join(entries) + bytes(8)
    stored = read_stored(head + body + directory)
    np.testing.assert_array_equal(stored.values, given)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_that_of_8_bits(orientation: int) -> None:
    eight = values("u1", 4, 7, 3)
    expected = decode(tiff(eight, orientation=orientation))
    sixteen = tiff(eight.astype(np.uint16) << 8, orientation=orientation)
    np.testing.assert_array_equal(decode(sixteen), expected)


def grey_of(value: int) -> Any:
    return np.full((2, 2, 3), value, np.uint8)


@pytest.mark.parametrize("factor", [1, 257], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize(
    ("bands", "options", "expected", "unused"),
    [
        ((90,), {}, (90, 90, 90), 0),
        ((90,), {"photometric": GREY_WHITE_IS_ZERO}, (165, 165, 165), 0),
        ((90, 0), {"extra": (ALPHA,)}, (255, 255, 255), 0),
        ((90, 0), {"extra": (UNSPECIFIED,)}, (90, 90, 90), 1),
        ((90, 0), {}, (90, 90, 90), 1),
        ((10, 20, 30), {}, (10, 20, 30), 0),
        ((10, 20, 30), {"photometric": GREY}, (10, 20, 30), 0),
        ((10, 20, 30, 0), {"extra": (ALPHA,)}, (255, 255, 255), 0),
        ((10, 20, 30, 255), {"extra": (PREMULTIPLIED,)}, (10, 20, 30), 0),
        ((10, 20, 30, 0), {"extra": (UNSPECIFIED,)}, (10, 20, 30), 1),
        ((10, 20, 30, 0), {}, (10, 20, 30), 1),
        ((10, 20, 30, 0), {"photometric": GREY}, (10, 20, 30), 1),
    ],
)
def test_a_band_is_transparency_only_if_the_file_says_so(
    factor: int, bands: Any, options: Any, expected: Any, unused: int
) -> None:
    pixels = np.full((2, 2, len(bands)), bands) * factor
    data = tiff(pixels.astype(np.uint8 if factor == 1 else np.uint16), **options)
    np.testing.assert_array_equal(decode(data), np.full((2, 2, 3), expected))
    assert read_stored(data).unused_bands == unused


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("extra", [None, (0, 0), (2, 0)])
def test_five_bands_need_a_choice(dtype: str, extra: Any) -> None:
    data = tiff(values(dtype, 3, 3, 5), photometric=2, extra=extra)
    form = PixelFormat(given_ranges(-1000, 1000))
    with pytest.raises(DecodeError, match=r"^5 channels .*: --set data.channels=0,1,2$"):
        decode(data, form=form)
    with pytest.raises(DecodeError, match=r"5 channels, too few for data.channels = 0,5"):
        decode(data, form=PixelFormat(form.ranges, (0, 5)))


@pytest.mark.parametrize("channels", [(0,), (4,), (0, 1, 4), (3, 1), (0, 1, 2, 3, 4)])
def test_channels_are_bands_in_their_order(channels: tuple[int, ...]) -> None:
    given = values("u1", 3, 4, 5)
    np.testing.assert_array_equal(
        decode(tiff(given), form=PixelFormat(channels=channels)), given[:, :, list(channels)]
    )


def test_tiles_far_beyond_the_image_are_refused() -> None:
    data = tiff(values("u2", 4, 4, 1), tile=16)
    wide = data.replace(struct.pack("<HHII", 322, 4, 1, 16), struct.pack("<HHII", 322, 4, 1, 2**29))
    with pytest.raises(DecodeError, match=r"GiB|does not|of its size|pixels"):
        decode(wide)


@pytest.mark.parametrize("cut", [20, 200])
def test_a_truncated_file_is_an_error(cut: int) -> None:
    data = tiff(values("u2", 9, 9, 5), deflate=True)
    with pytest.raises(DecodeError, match="TIFF"):
        decode(data[:-cut], form=PixelFormat(channels=(0, 1)))


def test_damaged_pixels_are_an_error() -> None:
    data = bytearray(tiff(values("f4", 9, 9, 5), deflate=True, predictor=3))
    data[200] ^= 255
    with pytest.raises(DecodeError, match="damaged TIFF"):
        decode(bytes(data), form=PixelFormat(channels=(0, 1)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_an_error(value: float) -> None:
    given = values("f4", 3, 3, 1)
    given[1, 1] = value
    with pytest.raises(DecodeError, match="not finite"):
        decode(tiff(given), form=PixelFormat(given_ranges(0, 1)))


def test_what_nothing_reads_is_not_called_damaged() -> None:
    complex_values = tiff(values("f4", 3, 3, 2)).replace(
        struct.pack("<HHIHH", 339, 3, 2, 3, 3), struct.pack("<HHIHH", 339, 3, 2, 6, 6)
    )
    with pytest.raises(DecodeError, match=r"^TIFF of 2 channels of 32 bits.* is not supported"):
        decode(complex_values)
