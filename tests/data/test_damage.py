"""Files that must not decode: each raises DecodeError with a reason, and no other error."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.builders.images import encode, photo, png, png_chunk
from trickbag.data.decoding.decode import DecodeError, decode
from trickbag.data.decoding.limits import MAX_PIXELS
from trickbag.data.decoding.png import PngError, check_rows

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF")
SAMPLES = {kind: encode(photo(96, 64), kind) for kind in KINDS}


def reason(data: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(data)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    assert len(text) < 160
    return text


def test_empty() -> None:
    assert reason(b"") == "empty file"


@pytest.mark.parametrize(
    "data", [b"hello, I am a text\n", b"<svg></svg>", b"\0" * 100, b"%PDF-1.4", b"\xff\xd8", b"B"]
)
def test_no_image(data: bytes) -> None:
    assert reason(data).startswith("not an image")


def test_text_with_an_images_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("not a picture")
    with pytest.raises(DecodeError, match="not an image"):
        decode(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep", [0.03, 0.3, 0.6, 0.97])
def test_truncated(kind: str, keep: float) -> None:
    data = SAMPLES[kind]
    assert kind in reason(data[: int(len(data) * keep)])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
@pytest.mark.parametrize("missing", [1, 2, 4])
def test_truncated_by_a_few_bytes(kind: str, missing: int) -> None:
    assert kind in reason(SAMPLES[kind][:-missing])


def test_jpeg_with_bytes_lost_in_mid_stream() -> None:
    data = encode(photo(200, 150), "JPEG")
    middle = len(data) // 2
    assert reason(data[:middle] + data[middle + 400 :]).startswith("damaged JPEG")


def test_jpeg_with_a_block_of_zeros_in_mid_stream() -> None:
    data = encode(photo(200, 150), "JPEG", quality=90)
    middle = len(data) // 2
    assert reason(data[:middle] + bytes(2048) + data[middle + 2048 :]).startswith("damaged JPEG")


def test_jpeg_with_another_inside() -> None:
    data = SAMPLES["JPEG"]
    assert "JPEG" in reason(data[:-300] + data)


def test_every_damaged_byte_of_png_image_data_is_noticed() -> None:
    data = encode(photo(24, 16), "PNG")
    start = data.index(b"IDAT") + 4
    length = struct.unpack(">I", data[start - 8 : start - 4])[0]
    for place in range(start, start + length + 4, 7):  # the checksum itself, too
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        assert reason(bytes(damaged)) == "damaged PNG: wrong checksum in chunk IDAT"


@pytest.mark.parametrize(
    ("depth", "colour", "bytes_a_row"), [(8, 2, 24), (1, 0, 1), (16, 6, 64), (4, 0, 4)]
)
def test_png_without_enough_rows(depth: int, colour: int, bytes_a_row: int) -> None:
    rows = (b"\0" + bytes(bytes_a_row)) * 5
    assert decode(png(8, 5, depth, colour, rows)).shape == (5, 8, 3)  # black, but complete
    assert "fewer rows" in reason(png(8, 6, depth, colour, rows))


@pytest.mark.parametrize(("width", "height"), [(8, 8), (1, 1), (5, 3), (3, 11), (17, 16)])
def test_interlaced_png_without_enough_rows(width: int, height: int) -> None:
    columns = [
        (width - x + step - 1) // step
        for x, step in ((0, 8), (4, 8), (0, 4), (2, 4), (0, 2), (1, 2), (0, 1))
    ]
    rows = [
        (height - y + step - 1) // step
        for y, step in ((0, 8), (0, 8), (4, 8), (0, 4), (2, 4), (0, 2), (1, 2))
    ]
    raw = b"".join((b"\0" + bytes(3 * w)) * h for w, h in zip(columns, rows, strict=True) if w > 0)
    complete = png(width, height, 8, 2, raw, interlaced=True)
    assert decode(complete).shape == (height, width, 3)
    check_rows(complete)
    short = png(width, height, 8, 2, raw[:-1], interlaced=True)
    assert "PNG" in reason(short)
    with pytest.raises(PngError, match="fewer rows"):
        check_rows(short)


def test_png_with_a_broken_stream_under_a_right_checksum() -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    stream = bytearray(zlib.compress(os.urandom(64 * (1 + 3 * 64))))
    stream[100:130] = bytes(30)
    stream[0:2] = b"\x78\x9c"
    del stream[2000:2100]
    body = png_chunk(b"IDAT", bytes(stream)) + png_chunk(b"IEND", b"")
    assert "PNG" in reason(b"\x89PNG\r\n\x1a\n" + header + body)


@pytest.mark.parametrize("place", [33, -12])
def test_png_with_a_damaged_text(place: int) -> None:
    text = bytearray(png_chunk(b"tEXt", b"Comment\0hello"))
    image = SAMPLES["PNG"]
    assert decode(image[:place] + bytes(text) + image[place:]).shape == (64, 96, 3)
    text[-1] ^= 1
    damaged = image[:place] + bytes(text) + image[place:]
    assert reason(damaged) == "damaged PNG: wrong checksum in chunk tEXt"


def jpeg_bomb() -> bytes:
    data = bytearray(SAMPLES["JPEG"])
    frame = bytes(data).index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 60000, 60000)
    return bytes(data)


def bmp_bomb() -> bytes:
    data = bytearray(SAMPLES["BMP"])
    data[18:26] = struct.pack("<ii", 50000, 50000)
    return bytes(data)


def gif_bomb() -> bytes:
    return SAMPLES["GIF"][:6] + struct.pack("<HH", 60000, 60000) + SAMPLES["GIF"][10:]


def webp_bomb() -> bytes:
    side = (16384 * 3 - 1).to_bytes(3, "little")
    chunks = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + side + side
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def tiff_bomb() -> bytes:
    data = bytearray(SAMPLES["TIFF"])
    start = struct.unpack("<I", data[4:8])[0]
    (count,) = struct.unpack("<H", data[start : start + 2])
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack("<HH", data[place : place + 4])
        if tag in (256, 257):
            data[place : place + 12] = struct.pack("<HHII", tag, 4, 1, 40000)
            assert kind in (3, 4)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [jpeg_bomb(), png(50000, 50000, 8, 2, b"\0"), bmp_bomb(), gif_bomb(), webp_bomb(), tiff_bomb()],
    ids=["JPEG", "PNG", "BMP", "GIF", "WebP", "TIFF"],
)
def test_bomb(data: bytes) -> None:
    assert "decompression bomb" in reason(data)


def test_the_limit_is_pillows() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    # Where Pillow raises; at half of that it warns.
    assert 2 * Image.MAX_IMAGE_PIXELS == MAX_PIXELS
    assert "bomb" in reason(png(MAX_PIXELS + 1, 1, 1, 0, b"\0"))
    # Too few bytes, but not too many pixels.
    assert "bomb" not in reason(png(MAX_PIXELS, 1, 1, 0, b"\0"))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="cannot be read: No such file"):
        decode(tmp_path / "none.jpg")
    with pytest.raises(DecodeError, match="not a regular file"):
        decode(tmp_path)
    with pytest.raises(DecodeError, match="cannot be read"):
        decode(str(tmp_path / "nul\0.jpg"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DecodeError, match="not a regular file"):
        decode(tmp_path / "pipe.jpg")


@given(
    kind=st.sampled_from(KINDS),
    edits=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12
    ),
    cut=st.one_of(st.none(), st.floats(0, 1)),
)
@settings(deadline=None, max_examples=300)
def test_no_other_error_whatever_the_damage(
    kind: str, edits: list[tuple[float, int]], cut: float | None
) -> None:
    data = bytearray(SAMPLES[kind])
    for place, value in edits:
        data[int(place * len(data))] = value
    damaged = bytes(data if cut is None else data[: int(cut * len(data))])
    try:
        pixels = decode(damaged)
    except DecodeError:
        return
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


ODD_METADATA = """
import sys
from concurrent.futures import ThreadPoolExecutor
from trickbag.data.decoding.decode import DecodeError, decode
def attempt(path):
    try:
        return decode(path).shape
    except DecodeError as error:
        return str(error)
with ThreadPoolExecutor(4) as pool:
    for result in pool.map(attempt, sys.argv[1:]):
        print(result)
"""


def test_nothing_is_printed_about_odd_metadata(tmp_path: Path) -> None:
    # In a process with Python's own warning filters, from several threads.
    tiff = bytearray(SAMPLES["TIFF"])
    start = struct.unpack("<I", tiff[4:8])[0]
    tiff[start + 2 + 6 : start + 2 + 8] = b"\xff\xff"  # an entry that claims values beyond the file
    palette = Image.fromarray(photo()).quantize(8)
    apng = encode(photo(), "PNG")
    apng = apng[:33] + png_chunk(b"acTL", struct.pack(">II", 0, 0)) + apng[33:]
    samples = {
        "odd.tif": bytes(tiff),
        "palette.png": encode(palette, "PNG", transparency=bytes(range(8))),
        "apng.png": apng,
        "exif.png": encode(photo(), "PNG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff"),
        "cut.tif": SAMPLES["TIFF"][:-500],
        "lzw.tif": encode(photo(), "TIFF", compression="tiff_lzw")[:-300],
        "bomb.png": png(50000, 50000, 8, 2, b"\0"),
    }
    for name, data in samples.items():
        (tmp_path / name).write_bytes(data)
    paths = [str(tmp_path / name) for name in samples]
    done = subprocess.run(
        [sys.executable, "-c", ODD_METADATA, *paths], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    results = dict(zip(samples, done.stdout.splitlines(), strict=True))
    assert results["palette.png"] == results["apng.png"] == results["exif.png"] == "(32, 48, 3)"
    assert "bomb" in results["bomb.png"]
    assert results["cut.tif"] == "truncated TIFF"
