"""What the head of a JPEG says of its image, its scans and their units; nothing is decoded.

Shapes: H and W pixels.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = ["JpegLayout", "jpeg_layout"]

_BASELINE = (0xC0, 0xC1)
"""The markers of frames whose scans are decoded one behind the other, by Huffman codes."""

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _APP1, _FILL = 0xDA, 0xE1, 0xFF
_MARKER = struct.Struct(">BBH")
_BLOCK = 8


class JpegLayout(NamedTuple):
    """The layout of a JPEG, as it is stored.

    unit: height and width in pixels of what a scan codes at a time. size_at: where in the file
    height and width of the frame begin. single_scan: whether all of the image lies in one scan,
    from its top to its bottom. exif: the body of its segment of EXIF.
    """

    height: int
    width: int
    components: int
    unit: tuple[int, int]
    size_at: int
    single_scan: bool
    exif: bytes

    @property
    def is_upsampled(self) -> bool:
        """Whether colours have fewer samples than pixels, so that pixels depend on neighbours."""
        return self.unit != (_BLOCK, _BLOCK)

    def scaled(self, divisor: int) -> JpegLayout:
        """Return the layout of the image at a fraction 1 / `divisor`, a divisor of 8, of its size.

        A side that it does not divide is rounded up, as decoders do.
        """
        down, across = self.unit
        return self._replace(
            height=-(-self.height // divisor),
            width=-(-self.width // divisor),
            unit=(down // divisor, across // divisor),
        )


def jpeg_layout(data: bytes) -> JpegLayout | None:
    """Read a JPEG's head up to its first scan; None where it is none, or is damaged.

    What is wrong with such a file the decoder says.
    """
    exif, frame, at = b"", None, 2
    try:
        while True:
            prefix, marker, length = _MARKER.unpack_from(data, at)
            if prefix != _FILL:
                return None
            if marker == _FILL:
                # A fill byte: the format allows any number of them before a marker.
                at += 1
                continue
            if marker == _SCAN:
                return None if frame is None else _layout(data, at, *frame, exif)
            if length < 2:
                return None
            if marker in _FRAMES:
                if frame is not None:
                    return None
                frame = marker, at
            elif marker == _APP1 and not exif:
                body = data[at + 4 : at + 2 + length]
                exif = body if body.startswith(b"Exif\0") else b""
            at += 2 + length
    except (struct.error, IndexError):
        # The file ends before what it claims to have.
        return None


def _layout(data: bytes, scan_at: int, marker: int, frame_at: int, exif: bytes) -> JpegLayout:
    height, width, components = struct.unpack_from(">HHB", data, frame_at + 5)
    factors = [data[frame_at + 11 + 3 * i] for i in range(components)]
    if components == 1:
        # Its blocks lie one behind the other, whatever its factors are.
        factors = [0x11]
    return JpegLayout(
        height=height,
        width=width,
        components=components,
        unit=(
            _BLOCK * max((factor & 15 for factor in factors), default=1),
            _BLOCK * max((factor >> 4 for factor in factors), default=1),
        ),
        size_at=frame_at + 5,
        single_scan=marker in _BASELINE and data[scan_at + 4] == components,
        exif=exif,
    )
