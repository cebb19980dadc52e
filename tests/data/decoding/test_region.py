"""A part of an image is decoded to the pixels that the whole image has there, or is an error."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.builders.images import encode, photo
from tests.builders.jpegs import SAMPLINGS, Drawing, jpeg, random_boxes, reason, without_library
from trickbag.data.decoding import region, turbojpeg
from trickbag.data.decoding.decode import decode
from trickbag.data.decoding.jpeg_layout import jpeg_layout
from trickbag.data.decoding.pixel_format import PixelFormat
from trickbag.data.decoding.region import Box, cut, decode_box


def require_same(data: bytes, box: Box, **options: Any) -> None:
    drawing = Drawing(box, [])
    drawn, pixels = decode_box(data, drawing, verified=True, **options)
    expected = decode(data, **options)
    assert drawn is drawing
    assert set(drawing.sizes) == {expected.shape[:2]}
    np.testing.assert_array_equal(pixels, cut(expected, box))


def refuse(_: object) -> np.ndarray:
    raise AssertionError("decoded as a whole")


@pytest.mark.parametrize("sampling", SAMPLINGS)
@given(
    shape=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    quality=st.integers(5, 100),
    seed=st.integers(0, 2**16),
)
@settings(deadline=None, max_examples=25)
def test_a_box_has_the_pixels_of_the_whole_image(
    sampling: str, shape: tuple[int, int], quality: int, seed: int
) -> None:
    data = jpeg(photo(*shape[::-1], seed), sampling, quality)
    for box in random_boxes(*shape, 4, seed):
        require_same(data, box)
        with without_library():
            require_same(data, box)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_no_more_is_decoded_than_a_box_takes(
    sampling: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = jpeg(photo(200, 300), sampling)
    box = (60, 40, 100, 90)
    expected = cut(decode(data), box)
    rows: list[int] = []
    original = simplejpeg.decode_jpeg

    def counted(data: bytes, *arguments: Any, **options: Any) -> Any:
        rows.append(simplejpeg.decode_jpeg_header(data)[0])
        return original(data, *arguments, **options)

    monkeypatch.setattr(simplejpeg, "decode_jpeg", counted)
    monkeypatch.setattr(region, "decode", refuse)
    _, pixels = decode_box(data, Drawing(box, []), verified=True)
    np.testing.assert_array_equal(pixels, expected)
    assert rows == ([] if library == "with the library" else rows[:1])
    assert all(90 <= count <= 112 for count in rows)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_lies_in_the_upright_image(orientation: int, library: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(photo(90, 60), "JPEG", quality=90, exif=exif)
    height, width = decode(data).shape[:2]
    assert (height, width) == ((60, 90) if orientation < 5 else (90, 60))
    for box in random_boxes(height, width, 6, orientation):
        require_same(data, box)


@pytest.mark.parametrize(
    "options",
    [{"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}, {"subsampling": 0}],
)
def test_other_files_of_jpeg_have_the_same_boxes(options: dict[str, Any], library: str) -> None:
    data = encode(photo(90, 130), "JPEG", quality=90, **options)
    for box in random_boxes(130, 90, 6, 0):
        require_same(data, box)


def test_other_formats_and_channels_have_the_same_boxes() -> None:
    image = photo(40, 30)
    form = PixelFormat(channels=(2, 0))
    for data in (
        encode(image, "PNG"),
        encode(Image.fromarray(image).convert("CMYK"), "JPEG"),
        encode(image, "WebP"),
    ):
        require_same(data, (3, 4, 30, 20))
    require_same(jpeg(image, "420"), (3, 4, 30, 20), form=form)


def test_damage_to_what_a_box_takes_has_the_reason_of_the_whole_image(library: str) -> None:
    data = jpeg(photo(160, 160), "420")
    box = (0, 0, 160, 150)
    refused = 0
    for place in range(len(data) // 10, len(data) // 2, 37):
        damaged = bytearray(data)
        damaged[place : place + 3] = b"\xff\xd9\xff"
        bad = bytes(damaged)
        expected = reason(partial(decode, bad))
        seen = reason(partial(decode_box, bad, Drawing(box, []), verified=True))
        assert seen == expected
        refused += seen is not None
    assert refused > 5


def test_a_file_that_was_not_checked_is_decoded_as_a_whole(library: str) -> None:
    data = bytearray(jpeg(photo(160, 160), "444"))
    data[-600:-590] = b"\xff\x00" * 5
    data[-580:-560] = b"\xff\xd0" * 10
    bad = bytes(data)
    expected = reason(lambda: decode(bad))
    assert expected is not None
    top = Drawing((0, 0, 160, 20), [])
    assert reason(lambda: decode_box(bad, top)) == expected
    # Of one that was checked the damage would have been seen then.
    assert reason(lambda: decode_box(bad, top, verified=True)) is None


@pytest.mark.parametrize("left", [0.3, 0.6, 0.95])
def test_a_file_that_is_cut_off_is_noticed_wherever_the_box_is(left: float, library: str) -> None:
    data = jpeg(photo(160, 160), "420")
    torn = data[: int(left * len(data))]
    top = Drawing((5, 5, 100, 20), [])
    assert reason(lambda: decode_box(torn, top, verified=True)) == "truncated JPEG"


def test_limits_are_those_of_the_whole_image(library: str) -> None:
    data = jpeg(photo(160, 160), "420")
    top = Drawing((5, 5, 100, 20), [])
    expected = reason(lambda: decode(data, 1000))
    assert expected is not None
    assert reason(lambda: decode_box(data, top, 1000, verified=True)) == expected


def test_an_old_library_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        """A library without the functions of version 3."""

    with pytest.raises(AttributeError):
        turbojpeg.TurboJpeg(Old())  # type: ignore[arg-type]
    monkeypatch.setattr(turbojpeg, "_candidates", lambda: iter(["libnone.so.0", "libm.so.6"]))
    turbojpeg.turbojpeg.cache_clear()
    try:
        assert turbojpeg.turbojpeg() is None
    finally:
        turbojpeg.turbojpeg.cache_clear()


def test_a_layout_by_hand() -> None:
    data = jpeg(photo(50, 30), "420")
    layout = jpeg_layout(data)
    assert layout is not None
    assert (layout.height, layout.width, layout.components) == (30, 50, 3)
    assert (layout.unit, layout.single_scan, layout.exif) == ((16, 16), True, b"")
    assert data[layout.size_at : layout.size_at + 4] == bytes((0, 30, 0, 50))
    progressive = jpeg_layout(encode(photo(50, 30), "JPEG", progressive=True))
    assert progressive is not None
    assert not progressive.single_scan
    grey = jpeg_layout(jpeg(photo(50, 30), "Gray"))
    assert grey is not None
    assert (grey.unit, grey.components) == ((8, 8), 1)


def test_a_damaged_head_has_no_layout() -> None:
    data = jpeg(photo(50, 30), "420")
    layout = jpeg_layout(data)
    assert layout is not None
    for end in range(2, layout.size_at + 20):
        assert jpeg_layout(data[:end]) is None
    assert jpeg_layout(data[:2] + b"\0" + data[3:]) is None
    frame = data[layout.size_at - 5 :]
    twice = data[: layout.size_at - 5] + frame[: 2 + int.from_bytes(frame[2:4], "big")] + frame
    assert jpeg_layout(twice) is None
    assert io.BytesIO(twice).read(2) == b"\xff\xd8"
