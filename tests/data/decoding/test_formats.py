"""Formats by their first bytes, what is not read and why, frames beyond the first."""

from __future__ import annotations

import os
import struct
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.builders.formats import FORMATS, turned
from tests.builders.images import encode, photo, photo_folder
from trickbag.data.config import DataConfig
from trickbag.data.decoding import heif
from trickbag.data.decoding.check import check_parts
from trickbag.data.decoding.decode import DecodeError, decode
from trickbag.data.decoding.formats import file_format, first_bytes_format, image_format
from trickbag.data.decoding.frames import count_frames
from trickbag.data.doctor import diagnose
from trickbag.data.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PHOTO = Image.fromarray(photo(24, 16))
INVERTED = Image.fromarray(255 - photo(24, 16))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"8BPS\0\1" + bytes(40), "PSD"),
        (b"\0\0\1\0\1\0" + bytes(40), "ICO"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"qoif" + bytes(40), "QOI"),
        (b"\x01\xda\x01\x01\0\3" + bytes(40), "SGI"),
        (b"\n\5\1\x08" + bytes(40), "PCX"),
        (b"P7\nWIDTH 3\n", "PAM"),
        (bytes(128) + b"DICM" + bytes(40), "DICOM"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "a camera's raw file"),
        (b"\0\0\0\x18ftypqt  " + bytes(40), "an MP4 or QuickTime file"),
    ],
)
def test_formats_that_are_not_read_are_named(data: bytes, name: str) -> None:
    with pytest.raises(DecodeError, match=f"^{name} is not supported; convert it to JPEG or PNG$"):
        decode(data)
    assert first_bytes_format(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"BMW and Audi, the cars of this folder\n",
        b"P1 is the first part of the notes\n",
        b"GIF is a format of images\n",
        b"II and MM begin other files\n",
        b"\0\0\2\0\1\0\x20\x20\0\0\1\0\1\0\x30\1\0\0\x16\0\0\0",  # a cursor, nearly a TGA
    ],
)
def test_text_and_other_files_are_no_images(data: bytes) -> None:
    assert first_bytes_format(data) is None
    with pytest.raises(DecodeError, match=r"^not an image \(JPEG, PNG, .*TGA\)$"):
        image_format(data)


def test_a_file_that_cannot_be_read_has_no_format(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("pipe", "empty", "none", ".", "nul\0"):
        assert file_format(tmp_path / name) is None


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        ((b"avif", b"mif1"), "AVIF"),
        ((b"avis", b"msf1"), "AVIF"),
        ((b"mif1", b"avif", b"miaf"), "AVIF"),
        ((b"mif1", b"heic"), "HEIC"),
        ((b"heix", b"mif1", b"heic"), "HEIC"),
        ((b"msf1", b"hevc"), "HEIC"),
        ((b"mif1", b"miaf"), "HEIC"),
        ((b"isom", b"mp42"), None),
    ],
)
def test_brands_tell_avif_from_heic(brands: tuple[bytes, ...], kind: str | None) -> None:
    box = brands[0] + bytes(4) + b"".join(brands[1:])
    assert first_bytes_format(struct.pack(">I", len(box) + 8) + b"ftyp" + box) == kind


def test_heic_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    data = FORMATS["HEIC"].write(PHOTO)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(heif, "_heic", heif._heic.__wrapped__)
    with pytest.raises(DecodeError, match=r"^HEIC needs pip install trickbag\[heif\]$"):
        decode(data)
    assert image_format(data) == "HEIC"


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
@pytest.mark.parametrize("container", [1, 6])
def test_of_two_orientations_that_of_the_container_counts(kind: str, container: int) -> None:
    tag = Image.Exif()
    tag[0x0112] = container
    tag[0x0113] = 6
    block = tag.tobytes()
    data = FORMATS[kind].write(PHOTO, exif=block)
    # Pillow takes the tag of the orientation out, or sets it to 1: it is put back.
    entry = struct.pack(">HHIH", 0x0113, 3, 1, 6), struct.pack(">HHIH", 0x0112, 3, 1, 6)
    assert data.count(entry[0]) == 1
    decoded = decode(data.replace(*entry)).astype(int)
    expected = np.asarray(turned(PHOTO, container)).astype(int)
    assert decoded.shape == expected.shape
    assert abs(decoded - expected).mean() < 15


def frames(kind: str, **options: object) -> Callable[[], bytes]:
    image = PHOTO.quantize(32) if kind == "GIF" else PHOTO
    other = INVERTED.quantize(32) if kind == "GIF" else INVERTED
    # Copies, because Pillow leaves settings of some encoders in an image.
    return lambda: encode(
        image.copy(), kind, save_all=True, append_images=[other.copy(), image.copy()], **options
    )


FRAMES = {
    "GIF": frames("GIF"),
    "PNG": frames("PNG"),
    "WebP": frames("WEBP", lossless=True),
    "TIFF": frames("TIFF"),
    "TIFF with big offsets": frames("TIFF", big_tiff=True),
    "AVIF": frames("AVIF", speed=10),
    "HEIC": frames("HEIF"),
    "JPEG": frames("MPO"),
    "PNM": lambda: encode(PHOTO, "PPM") + encode(INVERTED, "PPM") + encode(PHOTO, "PPM"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_are_counted_and_the_first_is_decoded(name: str) -> None:
    data = FRAMES[name]()
    kind = name.split()[0]
    assert image_format(data) == kind
    assert count_frames(data, kind) == 3
    expected = np.asarray((PHOTO.quantize(32) if kind == "GIF" else PHOTO).convert("RGB"))
    assert abs(decode(data).astype(int) - expected).mean() < 15
    # Behind the first frame a file may be damaged: the count is what is left.
    assert 1 <= count_frames(data[:-40], kind) <= 3
    assert count_frames(data[:30], kind) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_an_image_has_one_frame(name: str) -> None:
    form = FORMATS[name]
    assert count_frames(form.write(PHOTO.convert(form.modes[-1])), form.kind) == 1


def test_small_copies_in_a_multi_picture_file_are_no_frames() -> None:
    data = FRAMES["JPEG"]()
    first = data.index(b"\0\0\3\0")  # the class of the entry of the first picture
    for entry in (first + 16, first + 32):
        data = data[:entry] + struct.pack("<I", 0x010002) + data[entry + 4 :]
    assert count_frames(data, "JPEG") == 1


def test_pages_that_go_in_circles_end() -> None:
    data = bytearray(FRAMES["TIFF"]())
    start = struct.unpack_from("<I", data, 4)[0]
    struct.pack_into("<I", data, start + 2 + 12 * data[start], start)
    start_time = time.process_time()
    assert count_frames(bytes(data), "TIFF") == 1
    assert count_frames(b"P5 1 1 255\n " * 200_000, "PNM") == 65_536
    assert time.process_time() - start_time < 2


def test_the_image_before_an_animation_is_one_more() -> None:
    data = encode(PHOTO, "PNG", save_all=True, default_image=True, append_images=[INVERTED, PHOTO])
    assert count_frames(data, "PNG") == 3
    np.testing.assert_array_equal(decode(data), np.asarray(PHOTO))


def with_subfile_type(page: int, kind: int) -> bytes:
    """Return a TIFF of two pages, of which a page, 0 or 1, has a subfile type."""
    data = bytearray(encode(PHOTO, "TIFF", save_all=True, append_images=[INVERTED]))
    start = struct.unpack_from("<I", data, 4)[0]
    for _ in range(page):
        start = struct.unpack_from("<I", data, start + 2 + 12 * data[start])[0]
    for at in range(start + 2, start + 2 + 12 * data[start], 12):
        if struct.unpack_from("<H", data, at)[0] == 284:  # the planes, which are as by default
            struct.pack_into("<HHII", data, at, 254, 4, 1, kind)
    return bytes(data)


def test_small_copies_and_masks_are_no_pages() -> None:
    counts = [count_frames(with_subfile_type(1, kind), "TIFF") for kind in (0, 1, 2, 4)]
    assert counts == [2, 1, 2, 1]


def test_a_small_copy_in_front_of_the_image_is_a_raw_file() -> None:
    with pytest.raises(DecodeError, match=r"^a camera's raw file is not supported"):
        decode(with_subfile_type(0, 1))
    assert decode(with_subfile_type(0, 2)).shape == (16, 24, 3)


def test_further_frames_are_said_once(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path / "tree", {"a": 2, "b": 2})
    parts = open_source(DataConfig(source=str(tree))).parts
    assert check_parts(parts, None, tmp_path / "cache").notes == ()
    (tree / "a" / "000.png").write_bytes(FRAMES["GIF"]())
    for _ in range(2):  # the second time from the cache
        (note,) = check_parts(parts, None, tmp_path / "cache").notes
        assert note.text == "1 file has more than one page or frame; the first is used: a/000.png"
    (tree / "b" / "001.png").write_bytes(FRAMES["TIFF"]())
    check = check_parts(parts, None, tmp_path / "cache")
    (note,) = check.notes
    assert "2 files have more than one page or frame; the first is used, such as a/0" in note.text
    assert [result.frames for result in check.results["train"]] == [3, 1, 1, 3]
    assert note in diagnose(DataConfig(source=str(tree)), cache_dir=tmp_path / "cache").notes


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (6, b"\xff\xff"),  # layers of quality
        (4, b"\1"),  # sizes of precincts, which the bytes that follow then are
    ],
)
def test_a_jpeg_2000_of_more_packets_than_bytes_is_damaged(at: int, value: bytes) -> None:
    data = FORMATS["JPEG 2000"].write(Image.fromarray(photo(96, 64)), precinct_size=(64, 64))
    place = data.index(b"\xff\x52") + at
    damaged = data[:place] + value + data[place + len(value) :]
    if at == 4:
        start = place + 10
        damaged = damaged[:start] + b"\0" * 6 + damaged[start + 6 :]
    with pytest.raises(DecodeError, match="JPEG 2000: fewer pixels than its header says"):
        decode(damaged)
