"""One table of the image formats that are read: how to write each, and where its size stands."""

from __future__ import annotations

import io
import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pillow_heif
from PIL import Image

from tests.builders.images import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """A way to write an image.

    kind: the format's name in the check's results. save: Pillow's name of it, and its options.
    modes: those of Pillow that it holds. exact: whether the pixels come back as they were. resized:
    writes other numbers of width and height into a file's header. unnoticed: changes of the size,
    of `SIZES`, that leave a file which a decoder cannot tell from a good one. oriented: whether it
    can hold an orientation. signed: whether the first bytes tell the format.
    """

    kind: str
    suffix: str
    save: tuple[str, Mapping[str, Any]]
    resized: Callable[[bytes, int, int], bytes]
    modes: tuple[str, ...] = ("L", "RGB")
    exact: bool = True
    unnoticed: tuple[str, ...] = ()
    oriented: bool = False
    signed: bool = True

    def write(self, image: Image.Image, **options: Any) -> bytes:
        """Return an image's file."""
        pillow_heif.register_heif_opener()
        kind, usual = self.save
        # A copy, because Pillow leaves settings of some encoders in an image.
        return encode(image.copy(), kind, **usual, **options)


SIZES: Mapping[str, Callable[[int, int], tuple[int, int]]] = {
    "wider": lambda width, height: (2 * width, height),
    "narrower": lambda width, height: (width // 2, height),
    "higher": lambda width, height: (width, 2 * height),
    "lower": lambda width, height: (width, height // 2),
}
"""The sizes, by the true ones, that a damaged header says."""


def text_image(kind: bytes, values: Any, largest: int | None, per_line: int = 7) -> bytes:
    """Return a Portable Anymap of text from (H, W) or (H, W, 3) numbers, with a comment."""
    height, width = values.shape[:2]
    numbers = [str(value) for value in values.reshape(-1)]
    lines = [" ".join(numbers[i : i + per_line]) for i in range(0, len(numbers), per_line)]
    head = f"# drawn\n{width} {height}\n" + (f"{largest}\n" if largest else "")
    return kind + b"\n" + head.encode() + "\n".join(lines).encode() + b"\n"


def _at(place: int, form: str) -> Callable[[bytes, int, int], bytes]:
    def resized(data: bytes, width: int, height: int) -> bytes:
        end = place + struct.calcsize(form)
        return data[:place] + struct.pack(form, width, height) + data[end:]

    return resized


def _jpeg(data: bytes, width: int, height: int) -> bytes:
    place = re.search(rb"\xff[\xc0-\xc2]\0", data).end() + 2  # type: ignore[union-attr]
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def _png(data: bytes, width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def _gif(data: bytes, width: int, height: int) -> bytes:
    size = struct.pack("<HH", width, height)
    place = data.index(b"\x2c\0\0\0\0") + 5
    return data[:6] + size + data[10:place] + size + data[place + 4 :]


def _vp8l(data: bytes, width: int, height: int) -> bytes:
    (bits,) = struct.unpack("<I", data[21:25])
    size = (width - 1) | (height - 1) << 14
    return data[:21] + struct.pack("<I", bits & ~0xFFFFFFF | size) + data[25:]


def _tiff(data: bytes, width: int, height: int) -> bytes:
    changed = bytearray(data)
    (start,) = struct.unpack("<I", data[4:8])
    for place in range(start + 2, start + 2 + 12 * data[start], 12):
        tag = struct.unpack("<H", data[place : place + 2])[0]
        if tag in (256, 257):
            changed[place : place + 12] = struct.pack(
                "<HHII", tag, 4, 1, width if tag == 256 else height
            )
    return bytes(changed)


def _heif(data: bytes, width: int, height: int) -> bytes:
    return re.sub(
        rb"(?<=ispe\0\0\0\0).{8}",
        lambda _: struct.pack(">II", width, height),
        data,
        flags=re.DOTALL,
    )


def _jpeg2000(data: bytes, width: int, height: int) -> bytes:
    if b"ihdr" in data:
        place = data.index(b"ihdr") + 4
        data = data[:place] + struct.pack(">II", height, width) + data[place + 8 :]
    return _siz(data, width, height)


def _siz(data: bytes, width: int, height: int) -> bytes:
    place = data.index(b"\xff\x4f\xff\x51") + 8
    return data[:place] + struct.pack(">II", width, height) + data[place + 8 :]


def _pnm(data: bytes, width: int, height: int) -> bytes:
    return re.sub(rb"\d+ \d+", b"%d %d" % (width, height), data, count=1)


FORMATS: Mapping[str, ImageFormat] = {
    "JPEG": ImageFormat(
        kind="JPEG",
        suffix=".jpg",
        save=("JPEG", {"quality": 90}),
        resized=_jpeg,
        modes=("L", "RGB", "CMYK"),
        exact=False,
        oriented=True,
    ),
    "PNG": ImageFormat(
        kind="PNG",
        suffix=".png",
        save=("PNG", {}),
        resized=_png,
        modes=("1", "L", "LA", "P", "RGB", "RGBA"),
        oriented=True,
    ),
    "WebP": ImageFormat(
        kind="WebP",
        suffix=".webp",
        save=("WEBP", {"lossless": True, "exact": True}),
        resized=_vp8l,
        modes=("RGB", "RGBA"),
        oriented=True,
    ),
    "GIF": ImageFormat(
        kind="GIF", suffix=".gif", save=("GIF", {}), resized=_gif, modes=("1", "L", "P")
    ),
    "BMP": ImageFormat(
        kind="BMP",
        suffix=".bmp",
        save=("BMP", {}),
        resized=_at(18, "<ii"),
        modes=("1", "L", "P", "RGB"),
    ),
    "TIFF": ImageFormat(
        kind="TIFF",
        suffix=".tif",
        save=("TIFF", {}),
        resized=_tiff,
        modes=("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"),
        oriented=True,
    ),
    "AVIF": ImageFormat(
        kind="AVIF",
        suffix=".avif",
        save=("AVIF", {"speed": 10}),
        resized=_heif,
        modes=("L", "RGB", "RGBA"),
        exact=False,
        oriented=True,
    ),
    "HEIC": ImageFormat(
        kind="HEIC",
        suffix=".heic",
        save=("HEIF", {}),
        resized=_heif,
        modes=("L", "RGB", "RGBA"),
        exact=False,
        oriented=True,
    ),
    "JPEG 2000": ImageFormat(
        kind="JPEG 2000",
        suffix=".jp2",
        save=("JPEG2000", {}),
        resized=_jpeg2000,
        modes=("L", "LA", "RGB", "RGBA"),
        unnoticed=("narrower", "lower"),
    ),
    "JPEG 2000 codestream": ImageFormat(
        kind="JPEG 2000",
        suffix=".j2k",
        save=("JPEG2000", {"no_jp2": True, "tile_size": (16, 16)}),
        resized=_siz,
        modes=("L", "RGB"),
    ),
    "PNM": ImageFormat(
        kind="PNM", suffix=".ppm", save=("PPM", {}), resized=_pnm, modes=("1", "L", "RGB")
    ),
    "TGA": ImageFormat(
        kind="TGA",
        suffix=".tga",
        save=("TGA", {}),
        resized=_at(12, "<HH"),
        modes=("L", "LA", "P", "RGB", "RGBA"),
        signed=False,
    ),
    "TGA in run lengths": ImageFormat(
        kind="TGA",
        suffix=".tga",
        save=("TGA", {"compression": "tga_rle"}),
        resized=_at(12, "<HH"),
        modes=("L", "P", "RGB", "RGBA"),
        signed=False,
    ),
}


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Return an image, as it is seen, of pixels that are stored with an orientation."""
    return image if orientation == 1 else image.transpose(_TRANSPOSES[orientation])


_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_with_pillow(data: bytes) -> Image.Image:
    """Return Pillow's own picture of a file, loaded."""
    pillow_heif.register_heif_opener()
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
