"""Images for the tests of this folder, made when they run."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


def photo(width: int = 48, height: int = 32, seed: int = 0) -> np.ndarray:
    """Make uint8 (H, W, 3) with smooth structure and some noise, unlike itself in every rotation
    and mirror."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = (
        np.stack([x, y, (x + y * y) / 2], axis=2) * 200 + rng.normal(0, 12, (height, width, 3)) + 25
    )
    return planes.clip(0, 255).astype(np.uint8)


def encode(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    """Encode an image with Pillow."""
    made = image if isinstance(image, Image.Image) else Image.fromarray(image)
    out = io.BytesIO()
    made.save(out, kind, **options)
    return out.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Make a PNG chunk with its right checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int,
    height: int,
    depth: int,
    colour: int,
    raw: bytes,
    *between: bytes,
    interlaced: bool = False,
) -> bytes:
    """Make a PNG from raw scan lines (each with its filter byte), with chunks put before the image
    data."""
    header = png_chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    )
    data = png_chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(between) + data + png_chunk(b"IEND", b"")


def exif(orientation: int, order: str = "<") -> bytes:
    """Make an EXIF block, without the `Exif` prefix, that holds the orientation tag alone."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def with_exif(jpeg: bytes, block: bytes) -> bytes:
    """Put an EXIF segment right behind the start of a JPEG."""
    body = b"Exif\0\0" + block
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def write_tree(root: Path, counts: dict[str, int], suffix: str = ".png", seed: int = 0) -> Path:
    """Write `counts[FOLDER]` small images into each folder under `root`."""
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            kind = {"jpg": "JPEG", "png": "PNG"}[suffix[1:]]
            data = encode(photo(20 + i % 3, 16, seed * 1000 + i), kind)
            (root / folder / f"{i:03}{suffix}").write_bytes(data)
    return root
