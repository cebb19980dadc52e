from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from tests.builders.images import encode, exif, photo, with_exif
from trickbag.data.decoding.decode import decode
from trickbag.data.decoding.header import Header, read_header
from trickbag.data.decoding.pixels import TURNED

KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_is_that_of_the_decoded_image(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "a"
    file.write_bytes(encode(photo(41, 30), kind))
    assert decode(file).shape == (30, 41, 3)
    assert read_header(file) == Header(30, 41)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_size_is_that_of_the_upright_image(tmp_path: Path, kind: str, orientation: int) -> None:
    file = tmp_path / "a"
    tags = Image.Exif()
    tags[0x0112] = orientation
    file.write_bytes(encode(photo(41, 30), kind, exif=tags.tobytes()))
    header = read_header(file)
    assert header is not None
    assert (header.height, header.width) == decode(file).shape[:2]
    assert (header.orientation, header.stored) == (orientation, (30, 41))
    assert (header.height == 41) == (orientation >= TURNED)


def test_the_head_of_a_file_can_be_long(tmp_path: Path) -> None:
    jpeg = with_exif(encode(photo(41, 30), "JPEG"), exif(6))
    comment = b"\xff\xfe\xff\xff" + bytes(65_533)
    file = tmp_path / "a"
    file.write_bytes(jpeg[:2] + 5 * comment + jpeg[2:])
    assert read_header(file) == Header(41, 30, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_have_no_header_or_a_true_one(tmp_path: Path, kind: str) -> None:
    data = encode(photo(41, 30), kind)
    file = tmp_path / "a"
    for length in (0, 1, 8, 20, 40, len(data) // 2):
        file.write_bytes(data[:length])
        assert read_header(file) in (None, Header(30, 41))


def test_what_is_no_image_has_no_header(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no image at all")
    os.mkfifo(tmp_path / "pipe")
    for name in ("text", "pipe", "missing", "."):
        assert read_header(tmp_path / name) is None
