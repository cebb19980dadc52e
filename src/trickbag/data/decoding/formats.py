"""Image formats: their file extensions, and how their first bytes tell them apart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.paths import FileKind, open_regular

if TYPE_CHECKING:
    import os

__all__ = [
    "EXTENSIONS",
    "FORMAT_NAMES",
    "RAW",
    "DecodeError",
    "file_format",
    "first_bytes_format",
    "image_format",
]

EXTENSIONS = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
        *(".png", ".apng"),
        ".webp",
        ".gif",
        *(".bmp", ".dib"),
        *(".tif", ".tiff"),
        *(".avif", ".avifs"),
        *(".heic", ".heics", ".heif", ".heifs", ".hif"),
        *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
        *(".pbm", ".pgm", ".ppm", ".pnm", ".pfm"),
        ".tga",
    }
)
"""The file extensions, in lower case, by which a listing recognises images.

Decoding itself goes by content alone.
"""

FORMAT_NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC, JPEG 2000, PNM, TGA"
"""The formats that are read, for messages."""

_IMAGE = FileKind("an image", None)

_HEAD_BYTES = 256
"""How much of a file tells its format."""

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
)

_PNM = re.compile(rb"P[1-6]\s*(?:\s\d|#)|Pf\s\s*\d")
"""The first bytes of the Portable Anymap formats: a magic number, then a number or a comment.

Without the latter each text that begins with `P1` would be one.
"""

_BMP_HEADERS = (12, 16, 64, *range(40, 125))
"""The lengths that the header of a BMP's image has."""

_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_HEIF_BRANDS = (b"mif1", b"msf1", b"mif2", b"mif3")
"""Brands of any image in HEIF's container; further brands say how it is coded."""

RAW = "a camera's raw file"

_NOT_READ = (
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"8BPS", "PSD"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"icns", "ICNS"),
    (0, b"DDS ", "DDS"),
    (0, b"\x01\xda\0", "SGI"),
    (0, b"\x01\xda\1", "SGI"),
    (0, b"\x59\xa6\x6a\x95", "Sun raster"),
    *((0, bytes((10, version, 1)), "PCX") for version in (0, 2, 3, 5)),
    (0, b"qoif", "QOI"),
    (0, b"P7\n", "PAM"),
    (0, b"PF\n", "PFM with colours"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"#?RGBE", "Radiance HDR"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF\r\n", "HDF5"),
    (0, b"FUJIFILMCCD-RAW", RAW),
    (0, b"IIRO", RAW),
    (0, b"IIRS", RAW),
    (0, b"IIU\0", RAW),
    (8, b"CR\x02\0", RAW),
    (4, b"ftypcrx ", RAW),
    (128, b"DICM", "DICOM"),
)
"""Place and bytes of the signatures of formats that are not read, and their names.

Some hold other than pixels (PostScript runs as a program), others no photos (icons, textures), or
values that no rule maps to 8 bits; Pillow's decoder of QOI takes seconds for a photo.
"""


_JPEG = b"\xff\xd8\xff"

_INNER = tuple(entry for entry in _NOT_READ if entry[0])
"""What is not read by bytes behind its first ones."""


class DecodeError(Exception):
    """Report an image that cannot be decoded; its text is the reason in a few words."""


def image_format(data: bytes) -> str:
    """Name the format of an image by its content: `JPEG`, `PNG`, ..., as in the check's results.

    Raises DecodeError for a format that `decode` does not know.
    """
    if not data:
        raise DecodeError("empty file")
    # Most images, looked at once more in each epoch: by few comparisons.
    if data.startswith(_JPEG) and not any(data.startswith(magic, at) for at, magic, _ in _INNER):
        return "JPEG"
    unread = next((name for at, magic, name in _NOT_READ if data.startswith(magic, at)), None)
    if unread is None:
        if known := first_bytes_format(data):
            return known
        if data[4:8] == b"ftyp":
            unread = "an MP4 or QuickTime file"
        elif _is_tga(data):
            return "TGA"
    if unread is not None:
        raise DecodeError(f"{unread} is not supported; convert it to JPEG or PNG")
    raise DecodeError(f"not an image ({FORMAT_NAMES})")


def first_bytes_format(data: bytes) -> str | None:
    """Name the format of an image by its first bytes, 256 at most; None where they are of none.

    TGA has no signature: such a file is recognised by its extension, and when it is decoded.
    """
    if any(data.startswith(magic, at) for at, magic, _ in _NOT_READ):
        return None
    for magic, name in _SIGNATURES:
        if data.startswith(magic):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith(b"BM") and (
        len(data) < 18 or int.from_bytes(data[14:18], "little") in _BMP_HEADERS
    ):
        return "BMP"
    if data[4:8] == b"ftyp":
        return _heif_format(data)
    return "PNM" if _PNM.match(data) else None


def file_format(path: str | os.PathLike[str]) -> str | None:
    """Name the format of a file by its first bytes; None where it is no image, or not readable.

    It is for a listing that meets a file without an extension: the file is opened, 256 bytes are
    read, nothing is decoded. What is no regular file is not opened.
    """
    try:
        with open_regular(Path(path), _IMAGE) as file:
            return first_bytes_format(file.read(_HEAD_BYTES))
    except (OSError, ValueError, UserError):
        return None


def _heif_format(data: bytes) -> str | None:
    """Tell AVIF from HEIC by the brands of the first box; None where neither is named."""
    end = min(int.from_bytes(data[:4], "big"), len(data))
    brands = [data[8:12], *(data[start : start + 4] for start in range(16, end - 3, 4))]
    for brand in brands:
        if brand in _AVIF_BRANDS:
            return "AVIF"
        if brand in _HEIC_BRANDS:
            return "HEIC"
    # Coded in another way, which the decoder of HEIC knows or refuses.
    return "HEIC" if any(brand in _HEIF_BRANDS for brand in brands) else None


def _is_tga(data: bytes) -> bool:
    """Tell whether the fields of a TGA's header have values that they can have."""
    if len(data) < 18:
        return False
    palette, kind, palette_bits, depth, flags = data[1], data[2], data[7], data[16], data[17]
    if palette > 1 or flags & 0xC0 or not (any(data[12:14]) and any(data[14:16])):
        return False
    # Without a palette its place, first entry, length and depth are zero.
    if any(data[3:8]) if not palette else palette_bits not in (15, 16, 24, 32):
        return False
    if kind in (1, 9):
        return palette == 1 and depth == 8
    return (kind in (2, 10) and depth in (16, 24, 32)) or (kind in (3, 11) and depth in (8, 16))
