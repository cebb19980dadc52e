"""TIFF files of any bands and types, which Pillow cannot write."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

GREY_WHITE_IS_ZERO, GREY, RGB = 0, 1, 2
ALPHA, PREMULTIPLIED, UNSPECIFIED = 2, 1, 0
_KINDS = {"u": 1, "i": 2, "f": 3}


def tiff(
    values: NDArray[Any],
    *,
    photometric: int | None = None,
    extra: tuple[int, ...] | None = None,
    order: str = "<",
    planar: bool = False,
    deflate: bool = False,
    predictor: int = 1,
    tile: int | None = None,
    rows: int | None = None,
    orientation: int = 1,
) -> bytes:
    """Make a TIFF of values (H, W) or (H, W, B), in strips of `rows` rows or tiles of `tile` px.

    Without `photometric` it is RGB for three and four bands, else grey. Without `extra` the file
    says nothing of further bands.
    """
    values = values[:, :, None] if values.ndim == 2 else values
    height, width, bands = values.shape
    bits = 8 * values.dtype.itemsize
    photometric = (RGB if bands in (3, 4) else GREY) if photometric is None else photometric
    planes = [values[:, :, i : i + 1] for i in range(bands)] if planar else [values]
    rows = rows or height
    blocks = [
        _coded(block, order, deflate, predictor)
        for plane in planes
        for block in (_tiles(plane, tile) if tile else _strips(plane, rows))
    ]
    entries: list[tuple[int, str, tuple[int, ...]]] = [
        (256, "I", (width,)),
        (257, "I", (height,)),
        (258, "H", (bits,) * bands),
        (259, "H", (8 if deflate else 1,)),
        (262, "H", (photometric,)),
        (274, "H", (orientation,)),
        (277, "H", (bands,)),
        (284, "H", (2 if planar else 1,)),
        (317, "H", (predictor,)),
        (339, "H", (_KINDS[values.dtype.kind],) * bands),
    ]
    if extra is not None:
        entries.append((338, "H", extra))
    places, place = [], 8
    for block in blocks:
        places.append(place)
        place += len(block)
    kinds = (324, 325) if tile else (273, 279)
    entries += [(kinds[0], "I", tuple(places)), (kinds[1], "I", tuple(map(len, blocks)))]
    entries += [(322, "I", (tile,)), (323, "I", (tile,))] if tile else [(278, "I", (rows,))]
    magic = b"II*\0" if order == "<" else b"MM\0*"
    start = place + place % 2
    head = magic + struct.pack(f"{order}I", start) + b"".join(blocks) + bytes(place % 2)
    return head + _directory(sorted(entries), order, start)


def _directory(entries: list[tuple[int, str, tuple[int, ...]]], order: str, start: int) -> bytes:
    body, lists = struct.pack(f"{order}H", len(entries)), b""
    end = start + 2 + 12 * len(entries) + 4
    for tag, code, numbers in entries:
        data = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        body += struct.pack(f"{order}HHI", tag, {"H": 3, "I": 4}[code], len(numbers))
        if len(data) <= 4:
            body += data.ljust(4, b"\0")
        else:
            body += struct.pack(f"{order}I", end + len(lists))
            lists += data + bytes(len(data) % 2)
    return body + bytes(4) + lists


def _strips(plane: NDArray[Any], rows: int) -> list[NDArray[Any]]:
    return [plane[start : start + rows] for start in range(0, len(plane), rows)]


def _tiles(plane: NDArray[Any], size: int) -> list[NDArray[Any]]:
    height, width = plane.shape[:2]
    padded = np.pad(plane, ((0, -height % size), (0, -width % size), (0, 0)))
    return [
        padded[y : y + size, x : x + size]
        for y in range(0, height, size)
        for x in range(0, width, size)
    ]


def _coded(block: NDArray[Any], order: str, deflate: bool, predictor: int) -> bytes:
    size = block.dtype.itemsize
    if predictor == 2:
        unsigned = np.ascontiguousarray(block).view(f"u{size}")
        block = np.diff(unsigned, axis=1, prepend=unsigned.dtype.type(0))
    if predictor == 3:
        high_first = np.ascontiguousarray(block.astype(block.dtype.newbyteorder(">")))
        height, _, bands = block.shape
        apart = high_first.view(np.uint8).reshape(height, -1, size).transpose(0, 2, 1)
        steps = np.ascontiguousarray(apart).reshape(height, -1, bands)
        data = np.diff(steps, axis=1, prepend=np.uint8(0)).tobytes()
    else:
        data = np.ascontiguousarray(block.astype(block.dtype.newbyteorder(order))).tobytes()
    return zlib.compress(data) if deflate else data


def value_folder(root: Path, folders: dict[str, list[NDArray[Any]]], **options: Any) -> Path:
    """Write `root/FOLDER/I.tif` of values for each folder, see `tiff`; return `root`."""
    for folder, images in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i, values in enumerate(images):
            (root / folder / f"{i:03}.tif").write_bytes(tiff(values, **options))
    return root
