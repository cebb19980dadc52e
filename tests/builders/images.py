"""Images and folders of images: photos with smooth structure, drawn shapes, the real digits."""

from __future__ import annotations

import csv
import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CLASSES = ("circle", "cross", "stripes")
SHAPE_SIZE = 24
FORMATS = {".png": "PNG", ".jpg": "JPEG"}


def photo(width: int = 48, height: int = 32, seed: int = 0) -> np.ndarray:
    """Make uint8 (H, W, 3) with smooth structure and noise; no rotation or mirror is like it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = (
        np.stack([x, y, (x + y * y) / 2], axis=2) * 200 + rng.normal(0, 12, (height, width, 3)) + 25
    )
    return planes.clip(0, 255).astype(np.uint8)


def encode(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    """Encode an image with Pillow."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


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
    """Make a PNG from raw scan lines with their filter bytes; `between` goes before the data."""
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


def shape(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Draw a shape of random place and colours, uint8 (24, 24, 3): a small network can learn it."""
    y, x = np.mgrid[:SHAPE_SIZE, :SHAPE_SIZE]
    center_y, center_x = rng.uniform(9, 15, 2)
    if kind == "circle":
        mask = (y - center_y) ** 2 + (x - center_x) ** 2 < 36
    elif kind == "cross":
        mask = (abs(y - center_y) < 2) | (abs(x - center_x) < 2)
    else:
        mask = (y + x) % 8 < 4
    ink, paper = rng.integers(140, 256, 3), rng.integers(0, 110, 3)
    noisy = np.where(mask[..., None], ink, paper) + rng.normal(0, 8, (SHAPE_SIZE, SHAPE_SIZE, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def digits_of(label: int, count: int, start: int = 0) -> list[np.ndarray]:
    """Take images of one digit, uint8 (8, 8)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images[digits.target == label][start : start + count]
    return [np.rint(image * (255 / 16)).astype(np.uint8) for image in images]


def image_folder(root: Path, folders: dict[str, Iterable[np.ndarray]], suffix: str) -> Path:
    """Write `root/FOLDER/I.suffix` for the images of each folder; return `root`."""
    for folder, images in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(images):
            (root / folder / f"{i:03}{suffix}").write_bytes(encode(image, FORMATS[suffix]))
    return root


def photo_folder(root: Path, counts: dict[str, int], suffix: str = ".png", seed: int = 0) -> Path:
    """Write `counts[FOLDER]` small photos into each folder under `root`, no two alike."""
    folders = {
        folder: [photo(20 + i % 3, 16, seed * 1000 + i + 1_000_000 * k) for i in range(count)]
        for k, (folder, count) in enumerate(counts.items())
    }
    return image_folder(root, folders, suffix)


def shape_folder(
    root: Path, count: int, parts: tuple[str, ...] = ("",), suffix: str = ".png"
) -> Path:
    """Write `count` drawn shapes of each of CLASSES under `root/PART/CLASS`."""
    folders = {
        f"{part}/{kind}".lstrip("/"): [
            shape(kind, np.random.default_rng((p, c, i))) for i in range(count)
        ]
        for p, part in enumerate(parts)
        for c, kind in enumerate(CLASSES)
    }
    return image_folder(root, folders, suffix)


def digit_folder(root: Path, names: dict[str, int], count: int, start: int = 0) -> Path:
    """Write `root/CLASS/I.png` for digits under the class names given."""
    folders = {name: digits_of(label, count, start) for name, label in names.items()}
    return image_folder(root, folders, ".png")


def digit_csv(root: Path, names: dict[str, int], count: int) -> Path:
    """Write train.csv (id,label, without file extensions) and its images in train/."""
    (root / "train").mkdir(parents=True)
    rows = []
    for i in range(count):
        for name, label in names.items():
            Image.fromarray(digits_of(label, 1, i)[0]).save(root / "train" / f"{name}{i}.png")
            rows.append((f"{name}{i}", name))
    with (root / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "label"), *rows])
    return root / "train.csv"
