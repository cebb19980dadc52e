"""TIFFs of any bands and types: their values as they are stored, which Pillow's modes cannot hold.

Pillow decodes the bytes of a row as if they were grey pixels of 8 bits, whatever values they are:
strips, tiles and compression are the same. What the bytes mean is put together here.

Shapes: H and W pixels, B bands.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import TiffImagePlugin

from trickbag.data.decoding.lengths import LengthError
from trickbag.data.decoding.stored import Alpha, StoredImage
from trickbag.data.decoding.tiff_messages import tiff_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["TiffLayout", "UnsupportedTiff", "first_tags", "layout_of", "read_values"]

_GREY_WHITE_IS_ZERO, _GREY, _RGB, _CMYK = 0, 1, 2, 5
_BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 258, 259, 262, 266
_WIDTH, _HEIGHT, _BANDS, _ROWS, _PLANAR, _PREDICTOR = 256, 257, 277, 278, 284, 317
_STRIPS, _STRIP_SIZES, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES = 273, 279, 322, 323, 324, 325
_ORIENTATION, _EXTRA, _FORMAT = 274, 338, 339

_OF_BYTES = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
"""Compressions of bytes, whatever these mean: none, LZW, Deflate, PackBits, LZMA, Zstandard."""

_PREDICTED = frozenset({5, 8, 32946, 34925, 50000})
"""Those before which differences can be taken."""

_ALPHA: dict[int, Alpha] = {1: "premultiplied", 2: "straight", 999: "straight"}
"""What an extra band is by its code, which for CorelDRAW is 999; any other is no transparency."""

_KINDS = {0: "u", 1: "u", 2: "i", 3: "f", 4: "u"}
"""numpy's kinds of values by TIFF's codes; 4, undefined, and 0, of no meaning, are unsigned."""

_SHORT, _LONG = 3, 4


class UnsupportedTiff(ValueError):
    """Report a TIFF of a form that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class TiffLayout:
    """How the values of a TIFF lie in its file; `dtype` has the byte order of the file.

    tile: width and height of a tile, None where it has strips of `rows` rows.
    """

    tags: Mapping[int, Any]
    width: int
    height: int
    bands: int
    dtype: np.dtype[Any]
    alpha: Alpha
    white_is_zero: bool
    planes: int
    tile: tuple[int, int] | None

    @property
    def interleaved(self) -> int:
        """The bands that lie side by side in a row."""
        return self.bands // self.planes

    @property
    def orientation(self) -> int:
        """The orientation, 1 to 8."""
        value = self.tags.get(_ORIENTATION, 1)
        return value if isinstance(value, int) and 1 <= value <= 8 else 1

    @property
    def padded_width(self) -> int:
        """The width of all tiles side by side, which can be beyond that of the image."""
        if self.tile is None:
            return self.width
        return -(-self.width // self.tile[0]) * self.tile[0]

    @property
    def value_bytes(self) -> int:
        """The bytes of all values, those of tiles beyond the image included."""
        return self.padded_width * self.height * self.bands * self.dtype.itemsize


def first_tags(data: bytes) -> Mapping[int, Any]:
    """Read the tags of a TIFF's first image by their number; none where they are damaged."""
    header = data[:16] if data[2:4] in (b"+\0", b"\0+") else data[:8]
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(header)
        file = io.BytesIO(data)
        file.seek(directory.next or 0)
        directory.load(file)
        return {tag: directory[tag] for tag in directory}
    except Exception:  # Pillow, which opens the file next, says what is wrong
        return {}


def layout_of(data: bytes) -> TiffLayout | None:
    """Return the layout of a TIFF; None for one that Pillow's modes hold as it is.

    These are 8-bit images of 1 or 3 bands, or with transparency, palettes, CMYK, and what no
    compression of bytes holds. Raises UnsupportedTiff for bands of which nothing reads the values.
    """
    tags = first_tags(data)
    try:
        bands = int(tags.get(_BANDS, 1))
        bits = _same(tags.get(_BITS, (1,)), bands)
        kind = _same(tags.get(_FORMAT, (1,)), bands)
        photometric = int(tags.get(_PHOTOMETRIC, _GREY))
        extra = _numbers(tags.get(_EXTRA, ()))
        compression = int(tags.get(_COMPRESSION, 1))
        width, height = int(tags[_WIDTH]), int(tags[_HEIGHT])
        planes = bands if int(tags.get(_PLANAR, 1)) == 2 else 1
        tile = (int(tags[_TILE_WIDTH]), int(tags[_TILE_HEIGHT])) if _TILE_WIDTH in tags else None
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    alpha = _alpha(photometric, bands, extra)
    if _fits_pillow(photometric, bands, bits, kind, alpha):
        return None
    dtype = _dtype(data, bits, kind)
    if dtype is None or compression not in _OF_BYTES:
        if _is_known_to_pillow(photometric, bands, bits, kind):
            return None
        raise UnsupportedTiff(
            f"TIFF of {bands} channels of {bits or 'different'} bits, compression {compression}, "
            "is not supported: save it without compression, with 8, 16 or 32 bits"
        )
    return TiffLayout(
        tags=tags,
        width=width,
        height=height,
        bands=bands,
        dtype=dtype,
        alpha=alpha,
        white_is_zero=photometric == _GREY_WHITE_IS_ZERO and bands - (alpha != "none") == 1,
        planes=planes,
        tile=tile,
    )


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(map(int, value)) if isinstance(value, tuple) else (int(value),)


def _same(value: Any, bands: int) -> int:
    """Return the value that all bands have; 0 where they differ."""
    numbers = _numbers(value)[:bands]
    return numbers[0] if len(set(numbers)) == 1 else 0


def _alpha(photometric: int, bands: int, extra: tuple[int, ...]) -> Alpha:
    """Return what the first band behind the colours is, by what the file says of it."""
    colours = 3 if photometric == _RGB else 1
    # Transparency before further bands is left where it is: the bands have no names then.
    if photometric > _RGB or bands != colours + 1 or not extra:
        return "none"
    return _ALPHA.get(extra[0], "none")


def _fits_pillow(photometric: int, bands: int, bits: int, kind: int, alpha: Alpha) -> bool:
    """Tell whether Pillow has a mode for the bands that loses nothing of them."""
    if photometric > _RGB:  # palettes, CMYK, YCbCr, Lab: colours that Pillow converts
        return bands <= 4 or (photometric == _CMYK and bits == 8)
    if bits not in (1, 2, 4, 8) or kind not in (0, 1, 4):
        return False
    return bands == 1 or (photometric == _RGB and bands == 3) or alpha != "none"


def _is_known_to_pillow(photometric: int, bands: int, bits: int, kind: int) -> bool:
    """Tell whether Pillow has a mode for bands whose values cannot be read as bytes."""
    return bands == 1 or (photometric == _RGB and bands == 3 and bits == 8)


def _dtype(data: bytes, bits: int, kind: int) -> np.dtype[Any] | None:
    if bits not in (8, 16, 32, 64) or kind not in _KINDS or (bits == 8 and kind == 3):
        return None
    order = "<" if data[:2] == b"II" else ">"
    return np.dtype(f"{order}{_KINDS[kind]}{bits // 8}")


def read_values(data: bytes, layout: TiffLayout) -> StoredImage:
    """Read all values of a TIFF, in the machine's byte order.

    Raises LengthError for what libtiff reports, and other errors for damage.
    """
    pages = _with_pages(data, layout)
    values = np.empty((layout.height, layout.width, layout.bands), layout.dtype.newbyteorder("="))
    with TiffImagePlugin.TiffImageFile(io.BytesIO(pages)) as image:
        for plane in range(layout.planes):
            with tiff_errors() as errors:
                try:
                    image.seek(plane)
                    image.load()
                except OSError as error:
                    raise LengthError(errors[0] if errors else str(error)) from error
            if errors:
                raise LengthError(errors[0])
            part = _values(np.asarray(image), layout)
            if layout.planes == 1:
                values[:] = part
            else:
                values[:, :, plane] = part[:, :, 0]
    return StoredImage(
        values=values,
        bands=layout.bands,
        alpha=layout.alpha,
        white_is_zero=layout.white_is_zero and layout.dtype.kind == "u",
    )


def _values(bytes_HW: NDArray[np.uint8], layout: TiffLayout) -> NDArray[Any]:
    """Return the values (H, W, B) of rows of bytes, of tiles side by side where there are tiles."""
    bands, dtype = layout.interleaved, layout.dtype
    predictor = int(layout.tags.get(_PREDICTOR, 1))
    if int(layout.tags.get(_COMPRESSION, 1)) not in _PREDICTED:
        predictor = 1
    across = layout.tile[0] if layout.tile else layout.width
    pixel = bands * dtype.itemsize
    blocks = [
        _block(bytes_HW[:, start : start + across * pixel], bands, dtype, predictor)
        for start in range(0, bytes_HW.shape[1], across * pixel)
    ]
    values = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
    return values[: layout.height, : layout.width]


def _block(
    bytes_HW: NDArray[np.uint8], bands: int, dtype: np.dtype[Any], predictor: int
) -> NDArray[Any]:
    """Return the values of a strip or a tile, with the differences of a predictor summed up.

    Source: TIFF 6.0, section 14; TIFF Technical Note 3 for the floats of predictor 3.
    """
    height, size = len(bytes_HW), dtype.itemsize
    rows = np.ascontiguousarray(bytes_HW)
    if predictor == 2:
        steps = rows.view(f"{dtype.byteorder}u{size}" if size > 1 else np.uint8)
        unsigned = np.dtype(f"u{size}")
        sums = np.cumsum(steps.reshape(height, -1, bands), axis=1, dtype=unsigned)
        return cast("NDArray[Any]", sums.view(dtype.newbyteorder("=")))
    if predictor == 3:
        sums = np.cumsum(rows.reshape(height, -1, bands), axis=1, dtype=np.uint8)
        # The bytes of a value lie apart, the highest of all values first.
        planes = sums.reshape(height, size, -1).transpose(0, 2, 1)
        values = np.ascontiguousarray(planes).view(dtype.newbyteorder(">"))
        return cast("NDArray[Any]", values.reshape(height, -1, bands))
    return cast("NDArray[Any]", rows.view(dtype).reshape(height, -1, bands))


def _with_pages(data: bytes, layout: TiffLayout) -> bytes:
    """Return the file with directories of grey 8-bit images, one for each plane of its values."""
    order = "<" if data[:2] == b"II" else ">"
    magic = b"II*\0" if order == "<" else b"MM\0*"
    start = len(data) + len(data) % 2
    directories, position = [], start
    for plane in range(layout.planes):
        directory = _directory(layout, plane, order, position, plane == layout.planes - 1)
        directories.append(directory)
        position += len(directory)
    body = data[8:] + bytes(start - len(data))
    return b"".join([magic, struct.pack(f"{order}I", start), body, *directories])


def _directory(layout: TiffLayout, plane: int, order: str, position: int, last: bool) -> bytes:
    """Return the directory of a plane as it stands at `position`, with the lists behind it."""
    tags = layout.tags
    pixel = layout.interleaved * layout.dtype.itemsize
    kinds = (_TILES, _TILE_SIZES) if layout.tile else (_STRIPS, _STRIP_SIZES)
    places, sizes = (_numbers(tags[tag]) if tag in tags else () for tag in kinds)
    count = len(places) // layout.planes
    chosen = slice(plane * count, (plane + 1) * count)
    rows = min(int(tags.get(_ROWS) or layout.height), layout.height)
    entries: dict[int, tuple[int, ...]] = {
        # Whole tiles, which predictor 3 needs.
        _WIDTH: (layout.padded_width * pixel,),
        _HEIGHT: (layout.height,),
        _BITS: (8,),
        _COMPRESSION: (int(tags.get(_COMPRESSION, 1)),),
        _PHOTOMETRIC: (_GREY,),
        _FILL_ORDER: (int(tags.get(_FILL_ORDER, 1)),),
        kinds[0]: places[chosen],
        _BANDS: (1,),
        _PLANAR: (1,),
    }
    if sizes:
        entries[kinds[1]] = sizes[chosen]
    if layout.tile:
        entries |= {_TILE_WIDTH: (layout.tile[0] * pixel,), _TILE_HEIGHT: (layout.tile[1],)}
    else:
        entries[_ROWS] = (rows,)
    lists, end = b"", position + 2 + 12 * len(entries) + 4
    head = struct.pack(f"{order}H", len(entries))
    for tag, values in sorted(entries.items()):
        short = tag in (_BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _BANDS, _PLANAR)
        head += struct.pack(f"{order}HHI", tag, _SHORT if short else _LONG, len(values))
        if short:
            head += struct.pack(f"{order}HH", values[0], 0)
        elif len(values) == 1:
            head += struct.pack(f"{order}I", values[0])
        else:
            head += struct.pack(f"{order}I", end + len(lists))
            lists += struct.pack(f"{order}{len(values)}I", *values)
    following = 0 if last else end + len(lists) + len(lists) % 2
    return head + struct.pack(f"{order}I", following) + lists + bytes(len(lists) % 2)
