"""One image as a pack holds it: its file's bytes, a JPEG, or its pixels.

Shapes: H and W pixels, C channels, 1 or 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from trickbag.data.decoding.decode import DecodeError, image_format, read_stored
from trickbag.data.decoding.frames import count_frames
from trickbag.data.source import ArrayPart, EncodedPart
from trickbag.data.sources.arrow.part import RawPackedPart
from trickbag.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.data.source import Part
    from trickbag.data.sources.arrow.header import Encoding

__all__ = ["ImageWriter", "PackedImage", "scaled_down"]

_MAX_JPEG_SIDE = 65_535


class PackedImage(NamedTuple):
    """An image as it lies in a pack.

    data: its bytes; None for an image that is left out. height, width: of the upright image in the
    pack, original_height, original_width: of that in the source; 0 where they are not known.
    original_bytes: its size in the source. error: why it does not decode. frames: those of its
    file.
    """

    data: bytes | None
    height: int
    width: int
    original_height: int
    original_width: int
    original_bytes: int
    error: str | None = None
    frames: int = 1


@dataclass(frozen=True, kw_only=True)
class ImageWriter:
    """Writes the images of parts as a pack holds them: a pure function of their bytes.

    encoding, short_side, quality: those of a pack's header.
    """

    encoding: Encoding
    short_side: int | None
    quality: int | None

    def write(self, part: Part, i: int) -> PackedImage:
        """Read image `i` of a part, decode it strictly, and write it.

        An image that does not decode has an error. With `original` it keeps its bytes, so that
        whoever reads the pack judges it as in the source. Raises UserError for an image of another
        form than 8 bits grey or RGB, unless it stays as it is.
        """
        size = int(part.sizes[i])
        data = b""
        try:
            if isinstance(part, ArrayPart):
                return self._converted(part.images[part.rows[i]], b"", "array", size, part.names[i])
            if isinstance(part, RawPackedPart):
                return self._converted(part.values(i), b"", "array", size, part.names[i])
            if not isinstance(part, EncodedPart):
                raise TypeError(f"no images of {type(part).__name__} can be packed")
            data = part.encoded(i)
            if 0 <= size != len(data):
                changed = f"changed since it was listed: {size:,} bytes then, {len(data):,} now"
                return PackedImage(None, 0, 0, 0, 0, size, changed)
            kind = image_format(data)
            stored = read_stored(data, part.max_pixels)
        except DecodeError as error:
            kept = data if self.encoding == "original" and data else None
            return PackedImage(kept, 0, 0, 0, 0, size, str(error))
        frames = count_frames(data, kind)
        if self.encoding == "original":
            height, width = stored.values.shape[:2]
            return PackedImage(data, height, width, height, width, size, frames=frames)
        _require_8_bits(part.names[i], stored.pixel_type, stored.unused_bands, self.encoding)
        values = stored.values[:, :, :1] if stored.bands == 1 else stored.values
        packed = self._converted(values, data, kind, size, part.names[i])
        return packed._replace(frames=frames)

    def _converted(
        self, pixels: NDArray[np.uint8], data: bytes, kind: str, size: int, name: str
    ) -> PackedImage:
        """Scale pixels (H, W), (H, W, 1) or (H, W, 3) down, and write them."""
        if pixels.ndim == 2:
            pixels = pixels[:, :, None]
        height, width = pixels.shape[:2]
        small = scaled_down(pixels, self.short_side)
        is_resized = small is not pixels
        written = small.tobytes() if self.encoding == "raw" else self._jpeg(small, name)
        # A JPEG that is not scaled would but lose by being written once more.
        if (
            self.encoding == "jpeg"
            and kind == "JPEG"
            and not is_resized
            and len(data) <= len(written)
        ):
            written = data
        small_height, small_width = small.shape[:2]
        return PackedImage(written, small_height, small_width, height, width, size)

    def _jpeg(self, pixels: NDArray[np.uint8], name: str) -> bytes:
        if max(pixels.shape) > _MAX_JPEG_SIDE:
            raise UserError(
                f"{name} has {pixels.shape[1]:,} x {pixels.shape[0]:,} pixels, and a JPEG at most "
                f"{_MAX_JPEG_SIDE:,} a side",
                "take --encoding original or raw, or a --short-side",
            )
        grey = pixels.shape[2] == 1
        encoded: bytes = simplejpeg.encode_jpeg(
            np.ascontiguousarray(pixels),
            quality=self.quality,
            colorspace="GRAY" if grey else "RGB",
            # As cameras and the usual tools write photos.
            colorsubsampling="Gray" if grey else "420",
        )
        return encoded


def scaled_down(pixels: NDArray[np.uint8], short_side: int | None) -> NDArray[np.uint8]:
    """Return pixels (H, W, C) scaled down to a short side by Pillow's Lanczos filter.

    They are returned as they are where no side is longer than it, or there is none.
    """
    height, width, channels = pixels.shape
    shorter = min(height, width)
    if short_side is None or shorter <= short_side:
        return pixels
    size = tuple(max(1, round(side * short_side / shorter)) for side in (width, height))
    picture = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    small = np.asarray(picture.resize(size, Image.Resampling.LANCZOS))
    return small[:, :, None] if channels == 1 else small


def _require_8_bits(name: str, pixel_type: str, unused_bands: int, encoding: str) -> None:
    """Raise UserError for an image that 8 bits grey or RGB would not hold."""
    problem = ""
    if pixel_type != "uint8":
        problem = f"pixels of {pixel_type}"
    elif unused_bands:
        problem = f"{unused_bands} more bands than its colours"
    if problem:
        raise UserError(
            f"{name} has {problem}, and a pack of --encoding {encoding} holds 8 bits grey or RGB",
            "take --encoding original without --short-side, which keeps the files as they are",
        )
