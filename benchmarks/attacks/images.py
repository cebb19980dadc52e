"""Damaged images: each is refused, or has the pixels that it had.

A format without a checksum cannot notice every damage: such pictures with other pixels are counted
as `other pixels`, those of a format with one (PNG) as `silent`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from attacks.verdict import Tally
from trickbag.data.decoding.decode import DecodeError, decode

__all__ = ["attack_images"]

CHECKED = ("png",)
"""Formats whose content has checksums."""

_FORMATS: Mapping[str, Callable[[Image.Image, io.BytesIO], None]] = {
    "jpeg": lambda image, file: image.save(file, "JPEG", quality=85),
    "jpeg progressive": lambda image, file: image.save(file, "JPEG", progressive=True),
    "png": lambda image, file: image.save(file, "PNG"),
    "webp": lambda image, file: image.save(file, "WEBP", quality=80),
    "tiff": lambda image, file: image.save(file, "TIFF", compression="tiff_lzw"),
    "bmp": lambda image, file: image.save(file, "BMP"),
    "gif": lambda image, file: image.convert("P").save(file, "GIF"),
}


def attack_images(tally: Tally, rng: np.random.Generator, tries: int) -> None:
    """Decode `tries` mutations of an image in each format."""
    picture = _picture(rng)
    for name, save in _FORMATS.items():
        file = io.BytesIO()
        save(picture, file)
        data = file.getvalue()
        expected = decode(data)
        for _ in range(tries):
            case, mutated = mutate(data, rng)
            tally.add(f"image, {name}", case, _verdict(name, mutated, expected))


def mutate(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Return how data were changed, and the changed data."""
    place = int(rng.integers(len(data)))
    length = int(rng.integers(1, 17))
    how = str(rng.choice(["flip", "cut", "remove", "insert", "zero", "noise"]))
    if how == "flip":
        changed = bytes([data[place] ^ (1 << int(rng.integers(8)))])
        return f"flip at {place}", data[:place] + changed + data[place + 1 :]
    if how == "cut":
        return f"cut at {place}", data[:place]
    if how == "remove":
        return f"remove {length} at {place}", data[:place] + data[place + length :]
    inner = bytes(length) if how == "zero" else rng.bytes(length)
    after = data[place:] if how == "insert" else data[place + length :]
    return f"{how} {length} at {place}", data[:place] + inner + after


def _picture(rng: np.random.Generator) -> Image.Image:
    blocks = rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(12, 0).repeat(12, 1)
    noise = rng.integers(-20, 21, blocks.shape)
    return Image.fromarray((blocks.astype(int) + noise).clip(0, 255).astype(np.uint8))


def _verdict(name: str, data: bytes, expected: np.ndarray) -> str:
    try:
        pixels = decode(data)
    except DecodeError:
        return "refused"
    except Exception:  # what the product does not expect ends a command with a traceback
        return "traceback"
    if pixels.shape == expected.shape and np.array_equal(pixels, expected):
        return "same"
    return "silent" if name in CHECKED else "other pixels"
