"""Damaged images: each is refused, or has the pixels that it had, in little time and memory.

A format without a checksum cannot notice every damage: such pictures with other pixels are counted
as `other pixels`, those of a format with one (PNG) as `silent`. They are decoded in a process of
their own, so that a crash is one verdict, not the end.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from attacks.decoder import Decoder, digest
from attacks.verdict import Tally
from trickbag.data.decoding.decode import read_stored

__all__ = ["attack_images"]

CHECKED = ("png", "png palette", "png animated", "png 16 bits")
"""Formats whose content has checksums."""

_NUMBERS = (
    b"\0\0",
    b"\xff\xff",
    b"\x7f\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
)
"""What sizes and places in a header become: nothing, and the most that they can be."""

_HEAD = 256
"""The first and the last bytes, which say how the others are to be read.

A third of the mutations are there each.
"""


def _saved(kind: str, mode: str = "RGB", **options: object) -> Callable[[Image.Image], bytes]:
    def save(image: Image.Image) -> bytes:
        file = io.BytesIO()
        image.convert(mode).save(file, kind, **options)
        return file.getvalue()

    return save


def _animated(kind: str, mode: str = "RGB") -> Callable[[Image.Image], bytes]:
    def save(image: Image.Image) -> bytes:
        first, second = image.convert(mode), image.rotate(90).convert(mode)
        file = io.BytesIO()
        first.save(file, kind, save_all=True, append_images=[second])
        return file.getvalue()

    return save


def _text(image: Image.Image) -> bytes:
    grey = np.asarray(image.convert("L"))
    rows = "\n".join(" ".join(map(str, row)) for row in grey)
    return f"P2\n# text\n{grey.shape[1]} {grey.shape[0]}\n255\n{rows}\n".encode()


def _wide(kind: str, **options: object) -> Callable[[Image.Image], bytes]:
    def save(image: Image.Image) -> bytes:
        file = io.BytesIO()
        grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
        Image.fromarray(grey).save(file, kind, **options)
        return file.getvalue()

    return save


def _bands(image: Image.Image) -> bytes:
    """Return a TIFF of five bands of 16 bits, with Deflate in strips of 8 rows."""
    values = np.dstack([np.asarray(image), np.asarray(image)[..., :2]]).astype("<u2") * 257
    height, width, bands = values.shape
    strips = [zlib.compress(values[top : top + 8].tobytes()) for top in range(0, height, 8)]
    places = np.cumsum([8, *map(len, strips)])
    lists = np.array([*places[:-1], *map(len, strips)], "<u4").tobytes()
    at = int(places[-1])
    tags = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, bands, at + len(lists)),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, len(strips), at),
        (277, 3, 1, bands),
        (278, 3, 1, 8),
        (279, 4, len(strips), at + 4 * len(strips)),
        (338, 3, bands - 1, at + len(lists) + 2 * bands),
    ]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    numbers = struct.pack(f"<{bands}H", *[16] * bands) + bytes(2 * (bands - 1))
    head = b"II*\0" + struct.pack("<I", at + len(lists) + len(numbers))
    return head + b"".join(strips) + lists + numbers + directory + bytes(4)


_FORMATS: Mapping[str, Callable[[Image.Image], bytes]] = {
    "jpeg": _saved("JPEG", quality=85),
    "jpeg progressive": _saved("JPEG", progressive=True),
    "mpo": _animated("MPO"),
    "png": _saved("PNG"),
    "png palette": _saved("PNG", "P"),
    "png animated": _animated("PNG"),
    "png 16 bits": _wide("PNG"),
    "webp": _saved("WEBP", quality=80),
    "webp lossless": _saved("WEBP", "RGBA", lossless=True),
    "tiff": _saved("TIFF", compression="tiff_lzw"),
    "tiff pages": _animated("TIFF"),
    "tiff 16 bits": _wide("TIFF", compression="tiff_adobe_deflate"),
    "tiff bands": _bands,
    "bmp": _saved("BMP"),
    "gif": _saved("GIF", "P"),
    "gif animated": _animated("GIF", "P"),
    "avif": _saved("AVIF", speed=10),
    "avif animated": _animated("AVIF", "RGBA"),
    "heic": _saved("HEIF"),
    "jpeg 2000": _saved("JPEG2000"),
    "jpeg 2000 tiles": _saved("JPEG2000", no_jp2=True, tile_size=(40, 40), precinct_size=(32, 32)),
    "pnm": _saved("PPM"),
    "pnm 16 bits": _wide("PPM"),
    "pnm text": _text,
    "tga": _saved("TGA", "RGBA"),
    "tga run lengths": _saved("TGA", compression="tga_rle"),
}


def attack_images(tally: Tally, rng: np.random.Generator, tries: int) -> None:
    """Decode `tries` mutations of an image in each format."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    picture = _picture(rng)
    with Decoder() as decoder:
        for name, save in _FORMATS.items():
            data = save(picture)
            expected = digest(read_stored(data).values)
            for _ in range(tries):
                case, mutated = mutate(data, rng)
                verdict = decoder.verdict(mutated, expected)
                if verdict == "other pixels" and name in CHECKED:
                    verdict = "silent"
                tally.add(f"image, {name}", case, verdict)
    tally.facts["image, longest, s"] = round(decoder.longest_s, 2)
    tally.facts["image, most memory, MB"] = round(decoder.most_bytes / 2**20)


def mutate(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Return how data were changed, and the changed data."""
    ends = ((0, min(len(data), _HEAD)), (max(0, len(data) - _HEAD), len(data)), (0, len(data)))
    place = int(rng.integers(*ends[int(rng.integers(3))]))
    length = int(rng.integers(1, 17))
    how = str(rng.choice(["flip", "cut", "remove", "insert", "zero", "noise", "number"]))
    if how == "flip":
        changed = bytes([data[place] ^ (1 << int(rng.integers(8)))])
        return f"flip at {place}", data[:place] + changed + data[place + 1 :]
    if how == "cut":
        return f"cut at {place}", data[:place]
    if how == "remove":
        return f"remove {length} at {place}", data[:place] + data[place + length :]
    if how == "number":
        inner = _NUMBERS[int(rng.integers(len(_NUMBERS)))]
        inner = inner[::-1] if rng.integers(2) else inner
        return f"number {inner.hex()} at {place}", data[:place] + inner + data[place + len(inner) :]
    inner = bytes(length) if how == "zero" else rng.bytes(length)
    after = data[place:] if how == "insert" else data[place + length :]
    return f"{how} {length} at {place}", data[:place] + inner + after


def _picture(rng: np.random.Generator) -> Image.Image:
    blocks = rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(12, 0).repeat(12, 1)
    noise = rng.integers(-20, 21, blocks.shape)
    return Image.fromarray((blocks.astype(int) + noise).clip(0, 255).astype(np.uint8))
