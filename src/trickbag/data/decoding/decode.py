"""Image files to RGB pixels, strictly: a damaged file is an error, never half an image.

Shapes: H and W pixels.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import stat
import struct
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from trickbag.data.decoding.formats import EXTENSIONS, RAW, DecodeError, image_format
from trickbag.data.decoding.frames import is_preview
from trickbag.data.decoding.heif import check_heif, open_avif, open_heic
from trickbag.data.decoding.jpeg2000 import check_jpeg2000
from trickbag.data.decoding.jpeg_layout import jpeg_layout
from trickbag.data.decoding.lengths import (
    LengthError,
    check_bmp,
    check_riff,
    check_tga,
    check_tiff,
    gif_frame,
    tiff_block_bytes,
)
from trickbag.data.decoding.limits import (
    MAX_PIXELS,
    LimitError,
    decoding_memory,
    hold_memory,
    require_file_size,
    require_pixels,
    require_scans,
    webp_size,
)
from trickbag.data.decoding.netpbm import PnmImageFile
from trickbag.data.decoding.pixel_format import RGB, PixelFormat
from trickbag.data.decoding.pixels import exif_orientation, jpeg_exif, upright
from trickbag.data.decoding.png import check_chunks, check_rows
from trickbag.data.decoding.png16 import has_16_bits
from trickbag.data.decoding.png16 import read_values as read_png_values
from trickbag.data.decoding.stored import (
    NOT_FINITE,
    WIDE_MODES,
    Rendered,
    StoredError,
    StoredImage,
    rendered,
    stored_pillow,
)
from trickbag.data.decoding.tiff import TiffLayout, UnsupportedTiff, layout_of
from trickbag.data.decoding.tiff import read_values as read_tiff_values
from trickbag.data.decoding.tiff_messages import tiff_errors
from trickbag.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile

__all__ = [
    "EXTENSIONS",
    "PLUGINS",
    "DecodeError",
    "decode",
    "decode_rendered",
    "image_format",
    "read_bytes",
    "read_stored",
]

_WIDE_BYTES = 16
"""The memory for a pixel of more than 8 bits: its values, and what they become."""

# Pillow reports odd metadata that we do not use as UserWarning. Filtered here once, because
# `catch_warnings` changes the whole process and is not safe while other threads decode.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# Limits are checked here, by settings of ours. Pillow's own log of damage names no file.
logging.getLogger("PIL").addHandler(logging.NullHandler())
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# The classes are called directly: `Image.open` would go by registration order, warn about large
# images by a limit that is global to the process, and hide the reason of a damaged header.
PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": open_avif,
    "HEIC": open_heic,
    "JPEG 2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "PNM": PnmImageFile,
    "TGA": TgaImagePlugin.TgaImageFile,
}
"""What opens a file of each format, without decoding it."""


def decode(
    source: bytes | str | os.PathLike[str],
    max_pixels: int = MAX_PIXELS,
    *,
    verified: bool = False,
    form: PixelFormat = RGB,
) -> NDArray[np.uint8]:
    """Decode an image, given as bytes or as a path, to the channels of `form`, uint8 (H, W, C).

    The content decides the format, see `formats`. Of several pages or frames the first is taken, of
    a HEIC its primary image. The EXIF orientation is applied. As RGB grey is repeated, palette and
    CMYK are converted, and transparency is laid over white. The range of `form` becomes 0 to 255.

    Raises DecodeError for a file that cannot be read, is empty, is no image, is truncated or
    damaged, or has lengths that contradict each other; for channels that `form` cannot be made of,
    and values that are not finite or have no known range; and, before anything is decoded, for an
    image of more than `max_pixels` pixels, or that takes too much memory or time (see `limits`).
    `verified` says that the file was decoded before without an error: then a PNG is not
    decompressed once more, nor a GIF, to see whether it holds more pixels than its header says.
    Only PNG and TIFF with Deflate carry checksums: in the other formats, damage that leaves a valid
    file behind cannot be told from an image.
    """
    return decode_rendered(source, max_pixels, verified=verified, form=form).pixels


def decode_rendered(
    source: bytes | str | os.PathLike[str],
    max_pixels: int = MAX_PIXELS,
    *,
    verified: bool = False,
    form: PixelFormat = RGB,
) -> Rendered:
    """Decode an image as `decode`; also say how its values lie in the range of `form`."""
    data = source if isinstance(source, bytes) else read_bytes(source, max_pixels)
    stored = read_stored(data, max_pixels, verified=verified, keeps_bands=form.channels is not None)
    try:
        return rendered(stored, form)
    except StoredError as error:
        raise DecodeError(str(error)) from None


def read_stored(
    data: bytes, max_pixels: int = MAX_PIXELS, *, verified: bool = False, keeps_bands: bool = False
) -> StoredImage:
    """Decode an image to the values that it stores, upright.

    8-bit images of up to four channels are RGB already, unless `keeps_bands`. Raises DecodeError
    as `decode`, but for what depends on its `form`.
    """
    kind = image_format(data)
    try:
        stored, orientation = (
            _decode_jpeg(data, max_pixels, keeps_bands)
            if kind == "JPEG"
            else _pillow(data, kind, max_pixels, verified, keeps_bands)
        )
    except DecodeError:
        raise
    except (LimitError, UnsupportedTiff) as error:
        raise DecodeError(str(error)) from None
    except Image.DecompressionBombError as error:
        raise DecodeError(f"more pixels than by its header ({error})") from None
    except MemoryError:
        raise DecodeError(f"{kind} too large for the memory") from None
    except Exception as error:
        # Decoders of damaged data raise almost anything.
        raise DecodeError(_reason(kind, error)) from None
    if stored.values.dtype.kind == "f" and not np.isfinite(stored.values).all():
        raise DecodeError(NOT_FINITE)
    return replace(stored, values=upright(stored.values, orientation))


def read_bytes(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> bytes:
    """Return the content of a regular file.

    Raises DecodeError if it cannot be read, or is larger than an image of `max_pixels` may be, and
    RunFailed if it is the process that can open no more files: no image is to blame.
    """
    try:
        # Opening a pipe would wait for ever.
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise DecodeError("not a regular file")
        require_file_size(status.st_size, max_pixels)
        with open(path, "rb") as file:
            return file.read()
    except LimitError as error:
        raise DecodeError(str(error)) from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise RunFailed(
                f"{os.fsdecode(path)} cannot be opened: {error.strerror}",
                "raise the limit (ulimit -n), or set data.workers lower",
            ) from None
        raise DecodeError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _reason(kind: str, error: Exception) -> str:
    line = str(error).strip().partition("\n")[0].removeprefix("Corrupt JPEG data: ")
    # The text of a KeyError is the key alone.
    text = f"unknown value {line}" if isinstance(error, KeyError) else line or type(error).__name__
    if re.search("premature end of jpeg file|truncated", text, re.IGNORECASE):
        return f"truncated {kind}"
    return f"damaged {kind}: {text}"


def _decode_jpeg(data: bytes, max_pixels: int, keeps_bands: bool) -> tuple[StoredImage, int]:
    """Return the values of a JPEG as they are stored, and its orientation."""
    try:
        height, width, colour, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        # TurboJPEG has no name for some rare subsamplings. Pillow decodes them, and refuses damage.
        if "subsampling" in str(error):
            return _pillow(data, "JPEG", max_pixels, False, keeps_bands)
        raise
    require_pixels(width, height, max_pixels)
    layout = jpeg_layout(data)
    # Behind a single scan of all components a second one is an error of the decoder.
    if layout is None or not layout.single_scan:
        require_scans(data, width, height, max_pixels)
    if colour in ("CMYK", "YCCK"):
        with hold_memory(decoding_memory("JPEG", width, height, max_pixels)):
            # For damage alone; it is Pillow that knows Adobe's inverted inks.
            simplejpeg.decode_jpeg(data, "CMYK", strict=True)
        return _pillow(data, "JPEG", max_pixels, False, keeps_bands)
    grey = colour.lower() in ("gray", "grey")
    with hold_memory(decoding_memory("JPEG", width, height, max_pixels)):
        form = "GRAY" if grey and keeps_bands else "RGB"
        values = simplejpeg.decode_jpeg(data, form, strict=True)
    stored = StoredImage(values=values, bands=1 if grey else 3, converted=not keeps_bands)
    return stored, exif_orientation(jpeg_exif(data) if layout is None else layout.exif)


def _pillow(
    data: bytes, kind: str, max_pixels: int, verified: bool, keeps_bands: bool
) -> tuple[StoredImage, int]:
    """Return the values of an image as they are stored, and its orientation.

    Pillow decodes it. What can be checked by the file's own lengths is checked before.
    """
    if kind == "PNG":
        check_chunks(data)
    elif kind == "TIFF" and (layout := layout_of(data)):
        return _read_tiff(data, layout, max_pixels), layout.orientation
    elif kind == "WebP":
        check_riff(data)
        # Checked first, because the decoder allocates its canvas when the file is opened.
        if size := webp_size(data):
            require_pixels(*size, max_pixels)
            decoding_memory(kind, *size, max_pixels)
    elif kind in ("AVIF", "HEIC"):
        check_heif(data, max_pixels)
    with PLUGINS[kind](io.BytesIO(data)) as image:
        require_pixels(*image.size, max_pixels)
        if kind == "JPEG":
            require_scans(data, *image.size, max_pixels)
        if kind == "TIFF" and is_preview(data):
            raise DecodeError(f"{RAW} is not supported; convert it to JPEG or PNG")
        block = _block_bytes(image, data, kind)
        wide = image.mode in WIDE_MODES or _has_wide_colours(image, data, kind)
        if wide:  # the values, beside the image and its channels
            block += _WIDE_BYTES * image.width * image.height
        with hold_memory(decoding_memory(kind, *image.size, max_pixels, block)):
            _load(image, data, kind, verified)
            if isinstance(image, PnmImageFile) and image.wide_colours is not None:
                stored = StoredImage(values=image.wide_colours, bands=3)
            elif wide and image.mode not in WIDE_MODES:
                stored = read_png_values(data, image)
            else:
                stored = stored_pillow(image, keeps_bands=keeps_bands)
            return stored, exif_orientation(_exif(image, data, kind))


def _read_tiff(data: bytes, layout: TiffLayout, max_pixels: int) -> StoredImage:
    """Read a TIFF that no mode of Pillow holds."""
    if is_preview(data):
        raise DecodeError(f"{RAW} is not supported; convert it to JPEG or PNG")
    require_pixels(layout.width, layout.height, max_pixels)
    block = tiff_block_bytes(layout.tags) + 3 * layout.value_bytes
    with hold_memory(decoding_memory("TIFF", layout.width, layout.height, max_pixels, block)):
        check_tiff(data, layout.tags)
        return read_tiff_values(data, layout)


def _has_wide_colours(image: ImageFile, data: bytes, kind: str) -> bool:
    """Return whether a pixel has several values of more than 8 bits; Pillow has no such mode."""
    if isinstance(image, PnmImageFile):
        return image.has_wide_colours
    return kind == "PNG" and has_16_bits(data)


def _block_bytes(image: ImageFile, data: bytes, kind: str) -> int:
    """Return the memory that decoding takes beside that of the pixels."""
    if kind == "TIFF":
        return tiff_block_bytes(_tags(image))
    if isinstance(image, PnmImageFile):
        return image.text_bytes
    return check_jpeg2000(data) if kind == "JPEG 2000" else 0


def _load(image: ImageFile, data: bytes, kind: str, verified: bool) -> None:
    """Decode an opened image; raise an error where its data are damaged, or not of its size."""
    if kind == "PNG" and not verified:
        check_rows(data)
    elif kind == "BMP":
        check_bmp(data)
    elif kind == "TGA" and not verified:
        check_tga(data)
    elif kind == "GIF" and not verified:
        _check_gif(data)
    elif kind == "TIFF":
        check_tiff(data, _tags(image))
        with tiff_errors() as errors:
            try:
                image.load()
            except OSError as error:
                # What libtiff says is clearer than the number that Pillow makes of it.
                raise LengthError(errors[0] if errors else str(error)) from error
        # Pillow goes on after some of the errors.
        if errors:
            raise LengthError(errors[0])
    size = image.size
    image.load()
    if kind in ("AVIF", "HEIC") and image.size != size:
        raise LengthError("another size than its header says")
    if kind == "TGA" and not data[17] & 15 and image.mode in ("LA", "RGBA"):
        # Its header says that the fourth byte is no alpha; often it is zero.
        image.putalpha(255)
    # Zeros at the end are what Pillow leaves where rows are missing, in a file changed since.
    if kind == "PNG" and verified and not any(_last_row(image)):
        check_rows(data)


def _last_row(image: ImageFile) -> bytes:
    return image.crop((0, image.height - 1, *image.size)).tobytes()


def _tags(image: ImageFile) -> Mapping[int, Any]:
    """Return the tags of a TIFF's first image."""
    tags: Mapping[int, Any] = image.tag_v2  # type: ignore[attr-defined]  # of TIFFs alone
    return tags


def _check_gif(data: bytes) -> None:
    """Raise LengthError where a GIF's first frame has more pixels than its header says."""
    width, height, pixels = gif_frame(data)
    # The same frame, said to be one row higher: there must not be enough data for it.
    size = struct.pack("<HH", width, height + 1)
    taller = b"GIF89a" + size + bytes(3) + b"," + bytes(4) + size + b"\0" + pixels + b";"
    try:
        with GifImagePlugin.GifImageFile(io.BytesIO(taller)) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, EOFError):
        return
    raise LengthError("more rows than its header says")


def _exif(image: ImageFile, data: bytes, kind: str) -> bytes:
    if kind in ("TIFF", "HEIC"):
        # Pillow turns a TIFF upright itself, libheif a HEIC, as the container says: by HEIF's
        # standard that alone counts. Of an AVIF Pillow returns it as EXIF.
        return b""
    if kind == "JPEG":
        return jpeg_exif(data)
    exif: bytes = image.info.get("exif", b"")
    return exif
