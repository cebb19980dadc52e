"""The numbers of masks, whatever file holds them; what is no mask."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.builders.images import encode
from tests.builders.masks import mask_image, palette_png
from trickbag.data.annotations.masks.mask_file import decode_mask
from trickbag.data.decoding.decode import DecodeError

MASK = mask_image(numbers=(0, 1, 2, 255))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_a_grey_image_holds_its_levels(kind: str) -> None:
    assert np.array_equal(decode_mask(encode(MASK, kind)), MASK)


def test_a_palette_image_holds_the_places_in_its_palette() -> None:
    data = palette_png(MASK)
    assert np.array_equal(decode_mask(data), MASK)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_palette_of_few_bits(bits: int) -> None:
    mask = mask_image(numbers=range(2**bits))
    image = Image.fromarray(mask, "P")
    image.putpalette([7] * 768)
    assert np.array_equal(decode_mask(encode(image, "PNG", bits=bits)), mask)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_levels_of_few_bits_are_numbers(bits: int) -> None:
    import struct
    import zlib

    mask = mask_image(numbers=range(2**bits))
    per_byte = 8 // bits
    packed = mask.reshape(16, -1, per_byte)
    weights = 2 ** (bits * np.arange(per_byte)[::-1])
    rows = (packed * weights).sum(axis=2).astype(np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 24, 16, bits, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw))
    assert np.array_equal(decode_mask(data + chunk(b"IEND", b"")), mask)


def test_numbers_of_16_bits() -> None:
    wide = MASK.astype(np.uint16)
    assert np.array_equal(decode_mask(encode(Image.fromarray(wide), "PNG")), MASK)
    wide[3, 4] = 1000
    with pytest.raises(DecodeError, match="has the number 1000; a mask has numbers from 0 to 255"):
        decode_mask(encode(Image.fromarray(wide), "PNG"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_are_refused_with_a_way_out(mode: str) -> None:
    with pytest.raises(DecodeError, match=r"in colours.*store the number of the class"):
        decode_mask(encode(Image.fromarray(MASK).convert(mode), "PNG"))


def test_what_loses_numbers_is_refused() -> None:
    for kind in ("JPEG", "GIF"):
        with pytest.raises(DecodeError, match=f"a {kind} is no mask"):
            decode_mask(encode(MASK, kind))


@pytest.mark.parametrize("at", [60, -30])
def test_damage_is_named(at: int) -> None:
    data = bytearray(palette_png(MASK))
    data[at] ^= 255
    with pytest.raises(DecodeError, match="damaged PNG: wrong checksum"):
        decode_mask(bytes(data))
    with pytest.raises(DecodeError, match="damaged PNG: truncated"):
        decode_mask(palette_png(MASK)[:-20])


def test_a_large_mask_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(DecodeError, match="pixels"):
        decode_mask(palette_png(MASK), max_pixels=100)
