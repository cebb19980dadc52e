"""Images whose own lengths contradict each other or their data are refused, with the reason."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tests.builders.images import encode, photo, png
from trickbag.data.decoding import pixels
from trickbag.data.decoding.decode import DecodeError, decode
from trickbag.data.decoding.pixel_format import PixelFormat

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT = 24, 16
PHOTO = Image.fromarray(photo(WIDTH, HEIGHT))
PALETTE = PHOTO.quantize(64)

WRITTEN = {
    "BMP": encode(PHOTO, "BMP"),
    "BMP palette": encode(PALETTE, "BMP"),
    "GIF": encode(PALETTE, "GIF"),
    "GIF interlaced": encode(PALETTE, "GIF", interlace=1),
    "WebP": encode(PHOTO, "WebP"),
    "WebP lossless": encode(PHOTO, "WebP", lossless=True),
    "WebP alpha": encode(PHOTO.convert("RGBA"), "WebP"),
    "WebP metadata": encode(PHOTO, "WebP", exif=b"Exif\0\0II*\0" + bytes(9)),
    "PNG": encode(PHOTO, "PNG"),
    **{
        f"TIFF {name}": encode(image, "TIFF", compression=name)
        for name, image in (
            ("raw", PHOTO),
            ("tiff_lzw", PHOTO),
            ("tiff_adobe_deflate", PHOTO),
            ("packbits", PHOTO),
            ("jpeg", PHOTO),
            ("group4", PHOTO.convert("1")),
        )
    },
    "TIFF palette": encode(PALETTE, "TIFF"),
    "TIFF float": encode(PHOTO.convert("F"), "TIFF"),
}


def many_strips(compression: str, rows: int = 5) -> bytes:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[278] = rows
    return encode(PHOTO, "TIFF", compression=compression, tiffinfo=info)


WRITTEN["TIFF strips"] = many_strips("raw")
WRITTEN["TIFF Deflate strips"] = many_strips("tiff_adobe_deflate")


@pytest.mark.parametrize("name", WRITTEN)
def test_good_images_are_pillows(name: str) -> None:
    with Image.open(io.BytesIO(WRITTEN[name])) as image:
        expected = np.asarray(image.convert("RGB"))
    if name == "TIFF float":
        expected = np.rint(np.asarray(PHOTO.convert("F"))).astype(np.uint8)[..., None].repeat(3, 2)
    form = PixelFormat((("float", 0, 255),))
    np.testing.assert_array_equal(decode(WRITTEN[name], form=form), expected)
    np.testing.assert_array_equal(decode(WRITTEN[name], verified=True, form=form), expected)


def put(place: int, form: str, value: int) -> Callable[[bytes], bytes]:
    """Return a change that writes a number into the bytes of a file."""

    def change(data: bytes) -> bytes:
        copy = bytearray(data)
        struct.pack_into(form, copy, place, value)
        return bytes(copy)

    return change


def frame(form: str, at: int, value: int) -> Callable[[bytes], bytes]:
    """Return a change of the descriptor of a GIF's first frame."""

    def change(data: bytes) -> bytes:
        start = 13 + (3 << (1 + (data[10] & 7)))
        while data[start] == 0x21:
            start += 2
            while size := data[start]:
                start += 1 + size
            start += 1
        return put(start + at, form, value)(data)

    return change


def tag(number: int, value: int, count: int | None = None) -> Callable[[bytes], bytes]:
    """Return a change of the value of a TIFF's tag."""

    def change(data: bytes) -> bytes:
        copy = bytearray(data)
        start = struct.unpack_from("<I", data, 4)[0]
        for i in range(struct.unpack_from("<H", data, start)[0]):
            at = start + 2 + 12 * i
            known, kind, old = struct.unpack_from("<HHI", data, at)
            if known == number:
                struct.pack_into("<I" if kind == 4 else "<H", copy, at + 8, value)
                struct.pack_into("<I", copy, at + 4, count or old)
        return bytes(copy)

    return change


def again(width: int, height: int) -> Callable[[bytes], bytes]:
    """Return a change that gives the rows of a PNG a header of another size, and its checksum."""
    raw = b"".join(b"\0" + row.tobytes() for row in photo(WIDTH, HEIGHT))
    return lambda data: png(width, height, 8, 2, raw)


MORE, FEWER, CUT = "more", "fewer", "truncated"
CONTRADICTIONS = [
    ("BMP", put(22, "<i", HEIGHT - 1), MORE),
    ("BMP", put(22, "<i", -(HEIGHT - 1)), MORE),
    ("BMP", put(18, "<i", WIDTH - 4), MORE),
    ("BMP", put(22, "<i", HEIGHT + 1), FEWER),
    ("BMP", put(2, "<I", 200), FEWER),
    ("BMP", put(2, "<I", 10**6), CUT),
    ("BMP", put(34, "<I", 40), FEWER),
    ("BMP", put(34, "<I", 10**6), MORE),
    ("BMP", put(10, "<I", 30), "begin within its header"),
    ("BMP palette", put(28, "<H", 4), MORE),
    ("GIF", frame("<H", 7, HEIGHT - 1), MORE),
    ("GIF", frame("<H", 5, WIDTH - 2), MORE),
    ("GIF", frame("<H", 7, HEIGHT + 1), CUT),
    ("GIF interlaced", frame("<H", 7, HEIGHT - 1), MORE),
    ("WebP", put(4, "<I", 40), "a chunk is longer"),
    ("WebP", put(4, "<I", 10**6), CUT),
    ("WebP", put(16, "<I", 10**6), "a chunk is longer"),
    ("WebP metadata", put(16, "<I", 60), "WebP"),
    ("PNG", again(WIDTH, HEIGHT - 1), "more rows"),
    ("PNG", again(WIDTH - 1, HEIGHT), "more rows"),
    ("PNG", again(WIDTH, HEIGHT + 1), "PNG"),
    ("TIFF raw", tag(257, HEIGHT - 1), MORE),
    ("TIFF raw", tag(256, WIDTH - 1), MORE),
    ("TIFF raw", tag(257, HEIGHT + 1), "1 strips or tiles for 2"),
    ("TIFF raw", tag(279, 10**6), CUT),
    ("TIFF raw", tag(279, 40), FEWER),
    ("TIFF raw", tag(278, 4), "strips"),
    ("TIFF tiff_adobe_deflate", tag(257, HEIGHT - 1), MORE),
    ("TIFF tiff_adobe_deflate", tag(257, HEIGHT + 1), "1 strips or tiles for 2"),
    ("TIFF strips", tag(257, HEIGHT - 5), "4 strips"),
    ("TIFF palette", tag(257, HEIGHT - 1), MORE),
]


@pytest.mark.parametrize(("name", "change", "text"), CONTRADICTIONS)
def test_a_contradicting_length_is_damage(
    name: str, change: Callable[[bytes], bytes], text: str
) -> None:
    damaged = change(WRITTEN[name])
    assert damaged != WRITTEN[name]
    with pytest.raises(DecodeError, match=text) as caught:
        decode(damaged)
    assert name.split()[0] in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("BMP", put(2, "<I", 0)),  # a size that is left open
        ("BMP", put(34, "<I", 0)),
        ("BMP", put(34, "<I", WIDTH * HEIGHT * 3 + 2)),  # Photoshop's padding
        ("BMP", lambda data: data + bytes(100)),
        ("GIF", lambda data: data[:-1]),  # without its last byte, the trailer
        ("GIF", lambda data: data + bytes(100)),
        ("WebP", lambda data: data + bytes(100)),
        ("TIFF raw", lambda data: data + bytes(100)),
        ("TIFF raw", tag(279, 0)),
        ("TIFF raw", tag(278, 2**16 - 1)),  # all rows in one strip
    ],
)
def test_what_writers_leave_open_is_no_damage(name: str, change: Callable[[bytes], bytes]) -> None:
    np.testing.assert_array_equal(decode(change(WRITTEN[name])), decode(WRITTEN[name]))


def test_small_files_of_other_writers_are_read() -> None:
    # The header of OS/2, and one pixel.
    os2 = b"BM" + struct.pack("<IIIIHHHH", 30, 0, 26, 12, 1, 1, 1, 24) + b"\x01\x02\x03\0"
    np.testing.assert_array_equal(decode(os2), [[[3, 2, 1]]])
    # A TIFF of three planes, each in strips of its own, the last one shorter.
    planes = photo(4, 5)
    data = planes.transpose(2, 0, 1).tobytes()
    counts = [8, 8, 4] * 3
    starts = [8 + sum(counts[:i]) for i in range(9)]
    lists = 8 + len(data)
    entries = [
        (256, 3, 1, 4),
        (257, 3, 1, 5),
        (258, 3, 3, lists),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 9, lists + 6),
        (277, 3, 1, 3),
        (278, 3, 1, 2),
        (279, 4, 9, lists + 42),
        (284, 3, 1, 2),
    ]
    values = struct.pack("<3H9I9I", 8, 8, 8, *starts, *counts)
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", *entry) for entry in entries
    )
    tiff = b"II*\0" + struct.pack("<I", lists + len(values)) + data + values + directory + bytes(4)
    np.testing.assert_array_equal(decode(tiff), planes)


MODES = ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "La", "RGBa", "YCbCr")


@pytest.mark.parametrize("mode", MODES)
def test_a_conversion_in_strips_changes_nothing(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source: Any = {
        "La": lambda: PHOTO.convert("LA"),
        "RGBa": lambda: PHOTO.convert("RGBA"),
    }.get(mode, lambda: PHOTO)()
    image = source.convert(mode)
    values: dict[str, list[Any]] = {"L": [90], "P": [3, bytes(range(99))], "RGB": [(9, 9, 9)]}
    kinds: list[Any] = [None, *values.get(mode, [])]
    for transparency in kinds:
        if transparency is not None:
            image.info["transparency"] = transparency
        expected = pixels.to_rgb(image)
        with monkeypatch.context() as patch:
            patch.setattr(pixels, "_STRIP_PIXELS", 100)
            np.testing.assert_array_equal(pixels.to_rgb(image), expected)
