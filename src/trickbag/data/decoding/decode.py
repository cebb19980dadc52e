"""Image files to RGB pixels, strictly: a damaged file is an error, never half an image.

Shapes: H and W pixels.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import warnings
from typing import TYPE_CHECKING

import simplejpeg
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from trickbag.data.decoding.pixels import exif_orientation, jpeg_exif, to_rgb, upright
from trickbag.data.decoding.png import check_chunks, check_rows
from trickbag.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile

__all__ = ["EXTENSIONS", "PIXEL_LIMIT", "DecodeError", "decode", "image_format", "read_bytes"]

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
)
"""The file extensions, in lower case, by which a listing recognises images.

Decoding itself goes by content alone.
"""

PIXEL_LIMIT = 178_956_970
"""The most pixels that an image may have: 512 MiB as RGB.

A header that claims more is taken for a decompression bomb.
"""

# Pillow reports odd metadata that we do not use as UserWarning. Filtered here once, because
# `catch_warnings` changes the whole process and is not safe while other threads decode.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

# The classes are called directly: `Image.open` would go by registration order, warn about large
# images by a limit that is global to the process, and hide the reason of a damaged header.
_PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}


class DecodeError(Exception):
    """Report an image that cannot be decoded; its text is the reason in a few words."""


def decode(source: bytes | str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Decode an image, given as bytes or as a path, to uint8 (H, W, 3) in RGB.

    The content decides the format: JPEG, PNG, WebP, GIF (first frame), BMP, TIFF. The EXIF
    orientation is applied. Grey, palette and CMYK become RGB, transparency is laid over white, 16
    bits keep their upper 8.

    Raises DecodeError for a file that cannot be read, is empty, is no image, is truncated or
    damaged, or whose header claims more than PIXEL_LIMIT pixels. Only PNG carries checksums: in the
    other formats, damage that leaves a valid file behind cannot be told from an image.
    """
    data = source if isinstance(source, bytes) else read_bytes(source)
    kind = image_format(data)
    try:
        pixels, orientation = _decode_jpeg(data) if kind == "JPEG" else _decode_pillow(data, kind)
    except DecodeError:
        raise
    except Image.DecompressionBombError:
        raise _bomb() from None
    except MemoryError:
        raise DecodeError(f"{kind} too large for the memory") from None
    except Exception as error:
        # Decoders of damaged data raise almost anything.
        raise DecodeError(_reason(kind, error)) from None
    return upright(pixels, orientation)


def image_format(data: bytes) -> str:
    """Name the format of an image by its first bytes.

    Raises DecodeError for a format that `decode` does not know.
    """
    if not data:
        raise DecodeError("empty file")
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"BM"):
        return "BMP"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    other = "HEIC or AVIF" if data[4:8] == b"ftyp" else "JPEG 2000" if data[4:8] == b"jP  " else ""
    if other:
        raise DecodeError(f"{other} is not supported; convert it to JPEG or PNG")
    raise DecodeError("not an image (JPEG, PNG, WebP, GIF, BMP, TIFF)")


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a regular file; raises DecodeError if it cannot be read.

    Raises RunFailed if it is the process that can open no more files: no image is to blame.
    """
    try:
        # Opening a pipe would wait for ever.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DecodeError("not a regular file")
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise RunFailed(
                f"{os.fsdecode(path)} cannot be opened: {error.strerror}",
                "raise the limit (ulimit -n), or set data.workers lower",
            ) from None
        raise DecodeError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _reason(kind: str, error: Exception) -> str:
    line = str(error).strip().partition("\n")[0].removeprefix("Corrupt JPEG data: ")
    text = line or type(error).__name__
    if re.search("premature end of jpeg file|truncated", text, re.IGNORECASE):
        return f"truncated {kind}"
    return f"damaged {kind}: {text}"


def _bomb() -> DecodeError:
    return DecodeError(f"more than {PIXEL_LIMIT:,} pixels by its header (a decompression bomb?)")


def _check_size(width: int, height: int) -> None:
    if width * height > PIXEL_LIMIT:
        raise _bomb()
    if width < 1 or height < 1:
        raise DecodeError("no pixels by its header")


def _decode_jpeg(data: bytes) -> tuple[NDArray[np.uint8], int]:
    """Return the pixels of a JPEG as they are stored, and its orientation."""
    try:
        height, width, colour, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        # TurboJPEG has no name for some rare subsamplings. Pillow decodes them, and refuses damage.
        if "subsampling" in str(error):
            return _decode_pillow(data, "JPEG")
        raise
    _check_size(width, height)
    inks = colour in ("CMYK", "YCCK")
    pixels = simplejpeg.decode_jpeg(data, "CMYK" if inks else "RGB", strict=True)
    if inks:
        # Decoded above to find damage; it is Pillow that knows Adobe's inverted inks.
        return _decode_pillow(data, "JPEG")
    return pixels, exif_orientation(jpeg_exif(data))


def _decode_pillow(data: bytes, kind: str) -> tuple[NDArray[np.uint8], int]:
    """Return the pixels of an image as they are stored, and its orientation."""
    if kind == "PNG":
        check_chunks(data)
    if kind == "WebP" and data[12:16] == b"VP8X" and len(data) >= 30:
        # Checked first, because the decoder allocates its canvas when the file is opened.
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        _check_size(width, height)
    with _PLUGINS[kind](io.BytesIO(data)) as image:
        _check_size(*image.size)
        image.load()
        # Zeros at the end are what Pillow leaves where rows of a PNG are missing.
        if kind == "PNG" and not any(image.crop((0, image.height - 1, *image.size)).tobytes()):
            check_rows(data)
        return to_rgb(image), exif_orientation(_exif(image, data, kind))


def _exif(image: ImageFile, data: bytes, kind: str) -> bytes:
    if kind == "TIFF":
        # Pillow turns a TIFF upright itself.
        return b""
    if kind == "JPEG":
        return jpeg_exif(data)
    exif: bytes = image.info.get("exif", b"")
    return exif
