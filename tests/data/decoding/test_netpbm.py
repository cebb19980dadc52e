"""Portable Anymap as text and as bytes, with any largest value, against Pillow's own decoder."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.builders.formats import text_image
from tests.builders.images import photo
from trickbag.data.decoding.decode import DecodeError, decode, read_stored
from trickbag.data.decoding.netpbm import PnmImageFile
from trickbag.data.decoding.pixel_format import PixelFormat

COLOURS = photo(12, 9).astype(np.int64)
GREY = COLOURS[:, :, 0]
BITS = (GREY > 120).astype(np.int64)


def binary(magic: bytes, values: np.ndarray, largest: int) -> bytes:
    height, width = values.shape[:2]
    pixels = values.astype(">u2" if largest > 255 else "u1").tobytes()
    return magic + b" %d\n%d # as measured\n%d\n" % (width, height, largest) + pixels


WRITTEN = {
    "P1": text_image(b"P1", BITS, None),
    "P2": text_image(b"P2", GREY, 255),
    "P3": text_image(b"P3", COLOURS, 255),
    "P2 of 4 bits": text_image(b"P2", GREY // 16, 15),
    "P2 of 12 bits": text_image(b"P2", GREY * 16, 4095),
    "P3 of 10 bits": text_image(b"P3", COLOURS * 4, 1023),
    "P5 of 7 bits": binary(b"P5", GREY // 2, 127),
    "P5 of 12 bits": binary(b"P5", GREY * 16, 4095),
    "P5 of 16 bits": binary(b"P5", GREY * 257, 65535),
    "P6 of 3": binary(b"P6", COLOURS // 64, 3),
    "P6 of 16 bits": binary(b"P6", COLOURS * 257, 65535),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_pixels_are_pillows(name: str) -> None:
    with (
        Image.open(io.BytesIO(WRITTEN[name])) as image,
        PnmImageFile(io.BytesIO(WRITTEN[name])) as opened,
    ):
        expected = np.asarray(image)
        # Pillow holds 16 bits in 32.
        assert opened.mode == ("I;16" if image.mode == "I" else image.mode)
        assert opened.size == image.size
        np.testing.assert_array_equal(np.asarray(opened), expected)
    shown = expected >> 8 if expected.dtype == np.int32 else expected
    shown = shown * np.uint8(255) if shown.dtype == bool else shown
    decoded = decode(WRITTEN[name])
    if opened.has_wide_colours:
        # The upper bits of 16, as everywhere, where Pillow rounds.
        assert abs(decoded.astype(int) - shown).max() <= 1
        return
    np.testing.assert_array_equal(
        decoded, shown if shown.ndim == 3 else shown[..., None].repeat(3, 2)
    )


@pytest.mark.parametrize(
    ("name", "values", "factor"),
    [
        ("P5 of 16 bits", GREY[..., None], 257),
        ("P5 of 12 bits", GREY[..., None], 16 * 65535 / 4095),
        ("P6 of 16 bits", COLOURS, 257),
        ("P3 of 10 bits", COLOURS, 4 * 65535 / 1023),
    ],
)
def test_values_of_more_than_8_bits_are_kept(name: str, values: np.ndarray, factor: float) -> None:
    stored = read_stored(WRITTEN[name])
    assert (stored.pixel_type, stored.bands) == ("uint16", values.shape[2])
    np.testing.assert_array_equal(stored.values, np.rint(values * factor))


def test_a_dark_image_of_16_bits_stays_dark() -> None:
    assert decode(binary(b"P5", np.full((2, 3), 200), 65535)).max() == 0


@pytest.mark.parametrize("order", ["<", ">"])
def test_floats(order: str) -> None:
    values = np.array([[0.0, 0.5], [1.0, 0.25]])
    scale = b"-1.0" if order == "<" else b"1.0"
    data = b"Pf\n2 2\n" + scale + b"\n" + values[::-1].astype(f"{order}f4").tobytes()
    form = PixelFormat((("float", 0, 1),))
    np.testing.assert_array_equal(decode(data, form=form)[..., 0], [[0, 128], [255, 64]])
    with pytest.raises(DecodeError, match="truncated PNM"):
        decode(data[:-1])


def changed(old: bytes, new: bytes, name: str) -> bytes:
    assert WRITTEN[name].count(old) == 1
    return WRITTEN[name].replace(old, new)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (WRITTEN["P2"] + b"7\n", "more pixels than its header says"),
        (WRITTEN["P2"].rsplit(b" ", 1)[0], "fewer pixels"),
        (WRITTEN["P2"][:60], "truncated"),
        (WRITTEN["P1"] + b"1", "more pixels"),
        (WRITTEN["P1"][:-20], "fewer pixels"),
        (WRITTEN["P1"].replace(b" 1 ", b" 2 ", 1), "other than 0 and 1"),
        (WRITTEN["P2"] + b"-1", "other than small numbers"),
        (changed(b"\n255\n", b"\n99\n", "P2"), "a value of .* above 99 of its header"),
        (changed(b"\n127\n", b"\n50\n", "P5 of 7 bits"), "above 50"),
        (changed(b"\n255\n", b"\n0\n", "P2"), "a largest value of 0"),
        (changed(b"\n255\n", b"\n65536\n", "P2"), "a largest value of 65536"),
        (changed(b"\n255\n", b"\n2x5\n", "P2"), "'2x5' for a number"),
        (changed(b"12 9", b"12 -9", "P2"), "'-9' for a number"),
        (changed(b"12 9", b"0 9", "P2"), "no pixels"),
        (changed(b"12 9", b"12 " + b"9" * 30, "P2"), "for a number"),
        (WRITTEN["P6 of 3"] + b"\0" * 4, "more pixels"),
        (WRITTEN["P6 of 3"] + b"P5 1 1 255\n ", "more pixels"),
        (WRITTEN["P5 of 12 bits"][:-1], "truncated"),
        (b"P5 12", "truncated"),
        (b"P2 1 1 # no more", "truncated"),
        (b"Pf 1 1 nan\n" + bytes(4), "for its scale"),
        (b"P2 2 1 255\n1 99999999999", "other than small numbers"),
    ],
)
def test_what_contradicts_the_header_is_damage(data: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=f"PNM.*{reason}|{reason} PNM"):
        decode(data)


def test_padding_and_blanks_are_no_damage() -> None:
    for end in (b"\n", b"\0\0\0", b"\r\n"):
        np.testing.assert_array_equal(decode(WRITTEN["P6 of 3"] + end), decode(WRITTEN["P6 of 3"]))
    commented = text_image(b"P1", BITS, None).replace(b"\n", b" # of a line\n")
    np.testing.assert_array_equal(decode(commented), decode(WRITTEN["P1"]))
    dense = b"P1\n12 9\n" + "".join(map(str, BITS.reshape(-1))).encode()
    np.testing.assert_array_equal(decode(dense), decode(WRITTEN["P1"]))
