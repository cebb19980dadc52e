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
from typing import TYPE_CHECKING, Any

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
from trickbag.data.decoding.pixels import exif_orientation, jpeg_exif, to_rgb, upright
from trickbag.data.decoding.png import check_chunks, check_rows
from trickbag.data.decoding.tiff_messages import tiff_errors
from trickbag.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile

__all__ = ["EXTENSIONS", "DecodeError", "decode", "image_format", "read_bytes"]

# Pillow reports odd metadata that we do not use as UserWarning. Filtered here once, because
# `catch_warnings` changes the whole process and is not safe while other threads decode.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# Limits are checked here, by settings of ours. Pillow's own log of damage names no file.
logging.getLogger("PIL").addHandler(logging.NullHandler())
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# The classes are called directly: `Image.open` would go by registration order, warn about large
# images by a limit that is global to the process, and hide the reason of a damaged header.
_PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
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


def decode(
    source: bytes | str | os.PathLike[str], max_pixels: int = MAX_PIXELS, *, verified: bool = False
) -> NDArray[np.uint8]:
    """Decode an image, given as bytes or as a path, to uint8 (H, W, 3) in RGB.

    The content decides the format, see `formats`. Of several pages or frames the first is taken, of
    a HEIC its primary image. The EXIF orientation is applied. Grey, palette and CMYK become RGB,
    transparency is laid over white, 16 bits keep their upper 8.

    Raises DecodeError for a file that cannot be read, is empty, is no image, is truncated or
    damaged, or has lengths that contradict each other; and, before anything is decoded, for an
    image of more than `max_pixels` pixels, or that takes too much memory or time (see `limits`).
    `verified` says that the file was decoded before without an error: then a PNG is not
    decompressed once more, nor a GIF, to see whether it holds more pixels than its header says.
    Only PNG and TIFF with Deflate carry checksums: in the other formats, damage that leaves a valid
    file behind cannot be told from an image.
    """
    data = source if isinstance(source, bytes) else read_bytes(source, max_pixels)
    kind = image_format(data)
    try:
        pixels, orientation = (
            _decode_jpeg(data, max_pixels)
            if kind == "JPEG"
            else _pillow(data, kind, max_pixels, verified)
        )
    except DecodeError:
        raise
    except LimitError as error:
        raise DecodeError(str(error)) from None
    except Image.DecompressionBombError as error:
        raise DecodeError(f"more pixels than by its header ({error})") from None
    except MemoryError:
        raise DecodeError(f"{kind} too large for the memory") from None
    except Exception as error:
        # Decoders of damaged data raise almost anything.
        raise DecodeError(_reason(kind, error)) from None
    return upright(pixels, orientation)


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


def _decode_jpeg(data: bytes, max_pixels: int) -> tuple[NDArray[np.uint8], int]:
    """Return the pixels of a JPEG as they are stored, and its orientation."""
    try:
        height, width, colour, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        # TurboJPEG has no name for some rare subsamplings. Pillow decodes them, and refuses damage.
        if "subsampling" in str(error):
            return _pillow(data, "JPEG", max_pixels)
        raise
    require_pixels(width, height, max_pixels)
    require_scans(data, width, height, max_pixels)
    if colour in ("CMYK", "YCCK"):
        with hold_memory(decoding_memory("JPEG", width, height, max_pixels)):
            # For damage alone; it is Pillow that knows Adobe's inverted inks.
            simplejpeg.decode_jpeg(data, "CMYK", strict=True)
        return _pillow(data, "JPEG", max_pixels)
    with hold_memory(decoding_memory("JPEG", width, height, max_pixels)):
        pixels = simplejpeg.decode_jpeg(data, "RGB", strict=True)
    return pixels, exif_orientation(jpeg_exif(data))


def _pillow(
    data: bytes, kind: str, max_pixels: int, verified: bool = False
) -> tuple[NDArray[np.uint8], int]:
    """Return the pixels of an image as they are stored, and its orientation.

    Pillow decodes it. What can be checked by the file's own lengths is checked before.
    """
    if kind == "PNG":
        check_chunks(data)
    elif kind == "WebP":
        check_riff(data)
        # Checked first, because the decoder allocates its canvas when the file is opened.
        if size := webp_size(data):
            require_pixels(*size, max_pixels)
            decoding_memory(kind, *size, max_pixels)
    elif kind in ("AVIF", "HEIC"):
        check_heif(data, max_pixels)
    with _PLUGINS[kind](io.BytesIO(data)) as image:
        require_pixels(*image.size, max_pixels)
        if kind == "JPEG":
            require_scans(data, *image.size, max_pixels)
        if kind == "TIFF" and is_preview(data):
            raise DecodeError(f"{RAW} is not supported; convert it to JPEG or PNG")
        block = _block_bytes(image, data, kind)
        if image.mode in ("I", "F"):  # numbers of 32 bits, which `to_rgb` scales as a whole
            block += 16 * image.width * image.height
        with hold_memory(decoding_memory(kind, *image.size, max_pixels, block)):
            _load(image, data, kind, verified)
            return to_rgb(image), exif_orientation(_exif(image, data, kind))


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
