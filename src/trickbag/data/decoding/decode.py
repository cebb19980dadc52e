"""Image files to RGB pixels, strictly: whatever is damaged raises DecodeError, it is never half an
image."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import warnings
from typing import TYPE_CHECKING

import numpy as np
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

from trickbag.data.decoding.png import check_chunks, check_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile

__all__ = ["EXTENSIONS", "PIXEL_LIMIT", "DecodeError", "decode", "image_format", "read_bytes"]

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
)
"""The extensions, in lower case, by which listings know images; decoding itself goes by content
alone."""

PIXEL_LIMIT = 178_956_970
"""The most pixels an image may have (512 MiB as RGB): above, its header is taken for a
decompression bomb."""

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

# (clockwise quarter turns, mirrored left to right before them) for each value, 1 to 8, of the EXIF
# orientation tag
_ORIENTATIONS = (
    (0, False),
    (0, True),
    (2, False),
    (2, True),
    (3, True),
    (1, False),
    (1, True),
    (3, False),
)


class DecodeError(Exception):
    """Report an image that cannot be decoded; its text is the reason in a few words."""


def decode(source: bytes | str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Decode an image, given as bytes or as a path, to uint8 (H, W, 3) in RGB, upright by its EXIF orientation.

    The format is told by content: JPEG, PNG, WebP, GIF (first frame), BMP, TIFF. Grey, palette and
    CMYK become RGB, transparency is laid over white, 16 bits keep their upper 8. Raises DecodeError
    where the file cannot be read, is empty, no image, truncated, damaged on the way, or has more
    than PIXEL_LIMIT pixels by its header. Only PNG carries checksums: in other formats damage that
    leaves a valid file behind cannot be told from an image.
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
    except Exception as error:  # decoders of damaged data raise almost anything
        raise DecodeError(_reason(kind, error)) from None
    return _upright(pixels, orientation)


def image_format(data: bytes) -> str:
    """Name the format of an image by its first bytes; raises DecodeError where it is none that
    `decode` knows."""
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
    """Return the content of a regular file; raises DecodeError with the reason where it cannot be
    read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
            raise DecodeError("not a regular file")
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise DecodeError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _reason(kind: str, error: Exception) -> str:
    text = (
        str(error).strip().partition("\n")[0].removeprefix("Corrupt JPEG data: ")
        or type(error).__name__
    )
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
    try:
        height, width, colour, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        if "subsampling" not in str(error):
            raise
        return _decode_pillow(
            data, "JPEG"
        )  # a subsampling that TurboJPEG has no name for; damage fails there too
    _check_size(width, height)
    pixels = simplejpeg.decode_jpeg(
        data, "CMYK" if colour in ("CMYK", "YCCK") else "RGB", strict=True
    )
    if colour in ("CMYK", "YCCK"):
        # Decoded above to find damage; Pillow knows Adobe's inverted inks.
        return _decode_pillow(data, "JPEG")
    return pixels, _orientation(_jpeg_exif(data))


def _jpeg_exif(data: bytes) -> bytes:
    """Return the body of the first APP1 segment that holds EXIF, or nothing."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        if marker == 0xDA or length < 2:  # the scan: no metadata follows
            break
        body = data[place + 4 : place + 2 + length]
        if marker == 0xE1 and body.startswith(b"Exif\0"):
            return body
        place += 2 + length
    return b""


def _orientation(exif: bytes) -> int:
    """Read the orientation tag (0x0112) from an EXIF block; 1, upright, where the block or the
    value is not valid."""
    tiff = exif[6:] if exif.startswith(b"Exif\0") else exif
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if tag == 0x0112:
                return value if kind == 3 and number == 1 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    turns, mirrored = _ORIENTATIONS[orientation - 1]
    turned = np.rot90(pixels[:, ::-1] if mirrored else pixels, -turns)
    return np.ascontiguousarray(turned)


def _decode_pillow(data: bytes, kind: str) -> tuple[NDArray[np.uint8], int]:
    if kind == "PNG":
        check_chunks(data)
    if (
        kind == "WebP" and data[12:16] == b"VP8X" and len(data) >= 30
    ):  # the decoder allocates its canvas when opened
        _check_size(
            1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        )
    with _PLUGINS[kind](io.BytesIO(data)) as image:
        _check_size(*image.size)
        image.load()
        # Pillow turns a TIFF upright itself.
        exif = (
            b""
            if kind == "TIFF"
            else _jpeg_exif(data)
            if kind == "JPEG"
            else image.info.get("exif", b"")
        )
        if kind == "PNG" and not any(image.crop((0, image.height - 1, *image.size)).tobytes()):
            check_rows(data)  # zeros at the end, as in rows that were not there
        return _to_rgb(image), _orientation(exif)


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        return _grey_rgb((values >> 8).astype(np.uint8))
    if image.mode == "I":  # 32 bits, which hold 16 (TIFF's signed 16 bits) or 8
        values = np.asarray(image)
        scaled = values if values.max() <= 255 else values >> 8
        return _grey_rgb(np.clip(scaled, 0, 255).astype(np.uint8))
    if image.mode == "F":  # 0 to 1, or 0 to 255
        values = np.nan_to_num(np.asarray(image))
        scaled = values * 255 if values.max() <= 1 else values
        return _grey_rgb(np.rint(np.clip(scaled, 0, 255)).astype(np.uint8))
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        if image.mode in ("La", "RGBa"):
            image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, over).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _grey_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[:, :, None], 3, axis=2)
