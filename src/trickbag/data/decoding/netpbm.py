"""Portable Anymap: PBM, PGM and PPM as bytes and as text, and PFM with grey values.

Pillow decodes them too, but in Python, value by value, wherever they are text or have another
largest value than 255: 12 megapixels take 13 s. Values above the largest, and pixels that are
missing or too many, are errors here. Pixels are those of Pillow.

Source: the manual pages pbm, pgm, ppm and pfm of Netpbm.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile

from trickbag.data.decoding.lengths import FEWER, MORE, PADDING, LengthError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PnmImageFile", "count_pnm"]

_MOST_IMAGES = 1 << 16
"""How far images of a file are counted."""

_BLANKS = b" \t\n\r\v\f"
_TOKEN = re.compile(rb"(?:\s|#[^\n\r]*(?:[\n\r]|$))+([^\s#]+)")
"""A number of the header, behind blanks and comments."""

_COMMENT = re.compile(rb"#[^\n\r]*")
_LONG_NUMBER = re.compile(rb"\d{10}")


class _Header(NamedTuple):
    """What a header says, and where the pixels begin; `largest` is 1 for a bitmap, 0 for floats."""

    magic: bytes
    width: int
    height: int
    largest: int
    start: int
    byte_order: str = ">"

    @property
    def is_text(self) -> bool:
        return self.magic in (b"P1", b"P2", b"P3")

    @property
    def channels(self) -> int:
        return 3 if self.magic in (b"P3", b"P6") else 1

    @property
    def size(self) -> int:
        """The number of bytes of the pixels, which are no text."""
        if self.magic == b"P4":
            return (self.width + 7) // 8 * self.height
        width = 4 if self.magic == b"Pf" else 2 if self.largest > 255 else 1
        return self.width * self.height * self.channels * width


class PnmImageFile(ImageFile.ImageFile):
    """A Portable Anymap as Pillow's own plugins are: the size is known once it is opened.

    Modes: 1, L, I;16 (where the largest value is over 255), RGB, F. Other largest values than 255
    and 65,535 are scaled to one of them. Of colours of more than 8 bits, of which Pillow has no
    mode, `wide_colours` are the values, uint16 (H, W, 3), once they are loaded.
    """

    wide_colours: NDArray[np.uint16] | None = None

    format = "PNM"
    format_description = "Portable Anymap"

    def _open(self) -> None:
        assert self.fp is not None
        self._data = self.fp.read()
        self._header = header = _header(self._data)
        self._size = header.width, header.height
        self._mode = _mode(header)

    @property
    def has_wide_colours(self) -> bool:
        """Whether the values of a pixel are three, of more than 8 bits."""
        return self._header.channels == 3 and self._header.largest > 255

    @property
    def text_bytes(self) -> int:
        """The memory that numbers take which are read from text."""
        return 4 * math.prod(self._size) * self._header.channels * self._header.is_text

    def load(self) -> Any:
        """Decode the pixels; LengthError where they contradict the header."""
        if self._data:
            values = _values(self._data, self._header)
            self._data = b""
            if self._mode == "1":
                image = Image.fromarray(values)
            elif self._mode == "F":
                image = Image.fromarray(values[::-1].astype(np.float32))  # the lowest row is first
            else:
                kind = np.uint16 if self._mode == "I;16" else np.uint8
                image = Image.fromarray(_scaled(values, self._header.largest, kind))
                if self.has_wide_colours:
                    self.wide_colours = _scaled(values, self._header.largest, np.uint16)
            self.im = image.im
        return super().load()


def count_pnm(data: bytes) -> int:
    """Return how many images stand one behind the other; those of text are always alone."""
    count, end = 0, 0
    while end < len(data) and count < _MOST_IMAGES:
        try:
            header = _header(data, end)
        except LengthError:
            break
        count += 1
        end = len(data) if header.is_text else header.start + header.size
    return count


def _header(data: bytes, place: int = 0) -> _Header:
    magic, position, texts = data[place : place + 2], place + 2, []
    for _ in range(2 if magic in (b"P1", b"P4") else 3):
        token = _TOKEN.match(data, position)
        if token is None:
            raise LengthError("truncated")
        texts.append(token[1])
        position = token.end()
    width, height = (_number(text) for text in texts[:2])
    if not width or not height:
        raise LengthError("no pixels by its header")
    # One blank stands between the header and the pixels.
    start = position + 1
    if magic == b"Pf":
        scale = _float(texts[2])
        return _Header(magic, width, height, 0, start, "<" if scale < 0 else ">")
    largest = _number(texts[2]) if len(texts) > 2 else 1
    if not 0 < largest < 65536:
        raise LengthError(f"a largest value of {largest}, not of 1 to 65535")
    return _Header(magic, width, height, largest, start)


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 9:
        raise LengthError(f"{text[:12].decode('ascii', 'replace')!r} for a number in its header")
    return int(text)


def _float(text: bytes) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value or not math.isfinite(value):
        raise LengthError(f"{text[:12].decode('ascii', 'replace')!r} for its scale")
    return value


def _mode(header: _Header) -> str:
    if header.magic in (b"P1", b"P4"):
        return "1"
    if header.magic == b"Pf":
        return "F"
    if header.channels == 3:
        return "RGB"
    return "L" if header.largest < 256 else "I;16"


def _values(data: bytes, header: _Header) -> NDArray[Any]:
    """Return the stored values: (H, W), or (H, W, 3) in colour; those of a bitmap as bool."""
    shape = (header.height, header.width, 3)[: 2 + (header.channels == 3)]
    if header.is_text:
        text = data[header.start :]
        is_bitmap = header.magic == b"P1"
        numbers = (_bits if is_bitmap else _numbers)(text, math.prod(shape))
        return numbers.reshape(shape)
    _check_length(data, header)
    pixels = memoryview(data)[header.start : header.start + header.size]
    if header.magic == b"P4":
        rows = np.frombuffer(pixels, np.uint8).reshape(header.height, -1)
        return np.equal(np.unpackbits(rows, axis=1, count=header.width), 0)
    if header.magic == b"Pf":
        return np.frombuffer(pixels, f"{header.byte_order}f4").reshape(shape)
    return np.frombuffer(pixels, ">u2" if header.largest > 255 else "u1").reshape(shape)


def _check_length(data: bytes, header: _Header) -> None:
    """Raise LengthError for missing pixels, and for bytes behind them that are no other image."""
    if len(data) < header.start + header.size:
        raise LengthError("truncated")
    rest = data[header.start + header.size :][:64]
    is_padding = len(rest) <= PADDING and not rest.strip(_BLANKS + b"\0")
    if not is_padding and rest[:2] != header.magic:
        raise LengthError(MORE)


def _bits(text: bytes, count: int) -> NDArray[np.bool_]:
    """Return the pixels of a bitmap of digits, between which blanks may stand; 1 is black."""
    digits = _COMMENT.sub(b"", text).translate(None, _BLANKS)
    if len(digits) != count:
        raise LengthError(FEWER if len(digits) < count else MORE)
    values = np.frombuffer(digits, np.uint8)
    if values.size and (values.min() < 48 or values.max() > 49):
        raise LengthError("other than 0 and 1 among its pixels")
    return np.equal(values, 48)


def _numbers(text: bytes, count: int) -> NDArray[np.int32]:
    """Return the numbers of a text."""
    text = _COMMENT.sub(b"", text)
    if len(text) < 2 * count - 1:
        raise LengthError("truncated")
    if text.translate(None, _BLANKS + b"0123456789") or _LONG_NUMBER.search(text):
        raise LengthError("other than small numbers among its pixels")
    values: NDArray[np.int32] = np.fromstring(text, np.int32, sep=" ")
    if values.size != count:
        raise LengthError(FEWER if values.size < count else MORE)
    return values


def _scaled(
    values: NDArray[Any], largest: int, kind: type[np.unsignedinteger[Any]]
) -> NDArray[Any]:
    """Scale values, of which the largest may be `largest`, to all of an unsigned type."""
    if values.size and values.max() > largest:
        raise LengthError(f"a value of {values.max()}, above {largest} of its header")
    most = int(np.iinfo(kind).max)
    if largest == most:
        return values.astype(kind)
    # Of all possible values, in the order of Pillow's operations: the rounding is the same.
    table = np.rint(np.arange(largest + 1) / largest * most).astype(kind)
    return np.asarray(table[values])
