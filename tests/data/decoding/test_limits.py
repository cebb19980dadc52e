"""Images that would take too much memory or time are refused before they are decoded."""

from __future__ import annotations

import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.builders.images import encode, photo, photo_folder, png
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.decoding import limits
from trickbag.data.decoding.decode import DecodeError, decode
from trickbag.data.sources import open_source

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = {kind: encode(photo(24, 16), kind) for kind in ("JPEG", "PNG", "WebP", "GIF", "BMP")}
SAMPLES["TIFF"] = encode(photo(24, 16), "TIFF")


@pytest.mark.parametrize("kind", SAMPLES)
def test_an_image_may_have_so_many_pixels(kind: str) -> None:
    # A WebP takes twice the memory of the others.
    enough = 24 * 16 * 2
    assert decode(SAMPLES[kind], enough).shape == (16, 24, 3)
    with pytest.raises(DecodeError, match=r"24 x 16 pixels .* data\.max_pixels = 383 \(a decomp"):
        decode(SAMPLES[kind], 383)


def test_a_file_may_be_as_large_as_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "long.bmp"
    with path.open("wb") as file:
        file.write(SAMPLES["BMP"])
        file.truncate(2**33)  # a hole: no disk is used
    with pytest.raises(DecodeError, match=r"a file of 8\.0 GiB, more than 12 bytes for each"):
        decode(path)


def test_the_memory_of_a_piece_counts() -> None:
    data = bytearray(SAMPLES["TIFF"])
    start = struct.unpack_from("<I", data, 4)[0]
    # The tag of the rows of a strip becomes that of a tile's width, of the compression its height.
    for place in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        number = struct.unpack_from("<H", data, place)[0]
        if number in (278, 284):
            new = {278: 322, 284: 323}[number]
            struct.pack_into("<HHII", data, place, new, 4, 1, 60_000)
    with pytest.raises(DecodeError, match=r"decoding it takes 10\.1 GiB, more than 12 bytes"):
        decode(bytes(data))


@pytest.mark.parametrize(
    ("kind", "size"),
    [("WebP", (24, 16)), ("lossless", (24, 16)), ("alpha", (24, 16))],
)
def test_the_size_of_a_webp_is_known_before_it_is_opened(kind: str, size: tuple[int, int]) -> None:
    from PIL import Image

    image = Image.fromarray(photo(*size))
    image.putalpha(image.convert("L")) if kind == "alpha" else None
    assert limits.webp_size(encode(image, "WebP", lossless=kind == "lossless")) == size


def jpeg_with_scans(repeats: int) -> bytes:
    """Return a progressive JPEG whose first scan comes again so many times."""
    data = encode(photo(24, 16), "JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    # Tables for the next scan stand before it.
    second = min(second, data.index(b"\xff\xc4", first))
    return data[:first] + data[first:second] * repeats + data[first:]


def test_a_jpeg_may_have_so_many_scans() -> None:
    with pytest.raises(DecodeError, match=r"\d+ scans of 384 pixels, more than 100"):
        decode(jpeg_with_scans(400))
    # Large images may have fewer.
    progressive = encode(photo(24, 16), "JPEG", progressive=True)
    assert decode(progressive).shape == (16, 24, 3)
    many = jpeg_with_scans(30)
    limits.require_scans(many, 24, 16, 24 * 16 * 2)
    with pytest.raises(limits.LimitError, match=r"scans of 384 pixels, more than 20"):
        limits.require_scans(many, 24, 16, 24 * 16)


def test_scans_are_not_counted_in_metadata_and_behind_the_end() -> None:
    plain = encode(photo(24, 16), "JPEG")
    comment = b"\xff\xda" * 300
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    data = plain[:2] + segment + plain[2:] + comment
    assert limits._scans(data) == 1
    limits.require_scans(data, 24, 16, limits.MAX_PIXELS)


def test_threads_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = limits._SharedMemory()
    monkeypatch.setattr(memory, "_limit", 100)
    most, now, lock = 0, 0, threading.Lock()

    def work(size: int) -> None:
        nonlocal most, now
        with memory.hold(size):
            with lock:
                now += size
                most = max(most, now)
            time.sleep(0.002)
            with lock:
                now -= size

    threads = [threading.Thread(target=work, args=(size,)) for size in (40, 50, 60, 150, 30, 70)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert now == 0
    # An image that is larger than all of it is decoded alone.
    assert most == 150


def test_images_that_are_too_large_are_left_out_by_name(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path / "tree", {"a": 12, "b": 12})
    (tree / "a" / "large.png").write_bytes(png(60, 60, 8, 0, (b"\0" + bytes(60)) * 60))
    data = DataConfig(source=str(tree))
    cache = tmp_path / "cache"
    dataset = prepare(data, cache_dir=cache)
    assert dataset.errors == ()
    assert dataset.train.verified  # type: ignore[attr-defined]
    small = DataConfig(source=str(tree), max_pixels=3599)
    # A result of the cache under another limit does not count.
    ((name, reason),) = prepare(small, cache_dir=cache).errors
    assert name == "a/large.png"
    assert reason.startswith("60 x 60 pixels by its header, more than data.max_pixels = 3,599")
    parts = open_source(small).parts
    assert {part.max_pixels for part in parts.values()} == {3599}  # type: ignore[attr-defined]


@pytest.mark.parametrize("compression", ["group4", "tiff_lzw", "jpeg"])
def test_a_library_prints_nothing(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    image = Image.fromarray(photo(24, 16))
    image = image.convert("1") if compression == "group4" else image
    data = encode(image, "TIFF", compression=compression)
    refused = 0
    for place in range(8, min(len(data), 300), 3):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        try:
            decode(bytes(damaged))
        except DecodeError:
            refused += 1
    assert refused
    assert capfd.readouterr().err == ""


def test_damage_that_libtiff_reports_is_named() -> None:
    from PIL import Image

    data = bytearray(
        encode(Image.fromarray(photo(96, 64)).convert("1"), "TIFF", compression="group4")
    )
    data[100] ^= 0xFF
    with pytest.raises(DecodeError, match="damaged TIFF: Fax4Decode: Bad code word at line"):
        decode(bytes(data))
