"""The TurboJPEG library, version 3 and later, where the machine has it: it decodes a part alone.

The decoder of `simplejpeg` is the same one, but cannot leave out a part of an image. Both give the
same pixels.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Region", "TurboJpeg", "turbojpeg"]

_NAMES = {
    "darwin": ("libturbojpeg.dylib", "libturbojpeg.0.dylib"),
    "win32": ("turbojpeg.dll", "libturbojpeg.dll"),
}
_LINUX_NAMES = ("libturbojpeg.so.0",)
_PREFIXES = ("lib", "lib64", os.path.join("Library", "bin"))
"""Where an environment, such as one of conda, keeps its libraries."""

_DECOMPRESS = 1
_RGB = 0


class Region(NamedTuple):
    """A part of a JPEG in pixels, as it is stored; `left` must be where a unit begins.

    Where the image is decoded at a fraction of its size, these are pixels of the smaller image.
    """

    left: int
    top: int
    width: int
    height: int


class _Region(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int) for name in ("x", "y", "w", "h"))


class _Fraction(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int) for name in ("numerator", "denominator"))


class TurboJpeg:
    """A loaded library; threads may use it at the same time.

    Raises AttributeError for a library before version 3.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        number = ctypes.c_int
        self._init = _function(library, "tj3Init", pointer, number)
        self._destroy = _function(library, "tj3Destroy", None, pointer)
        self._header = _function(
            library, "tj3DecompressHeader", number, pointer, ctypes.c_char_p, size
        )
        self._scale = _function(library, "tj3SetScalingFactor", number, pointer, _Fraction)
        self._crop = _function(library, "tj3SetCroppingRegion", number, pointer, _Region)
        self._decompress = _function(
            library,
            "tj3Decompress8",
            number,
            *(pointer, ctypes.c_char_p, size, pointer, number, number),
        )
        self._error = _function(library, "tj3GetErrorStr", ctypes.c_char_p, pointer)
        self._threads = threading.local()

    def decode(self, data: bytes, divisor: int, region: Region, pixels: NDArray[np.uint8]) -> None:
        """Decode a region of a JPEG to RGB in `pixels`, contiguous uint8 (height, width, 3).

        The image is decoded at 1 / `divisor` of its size: 1, 2, 4 or 8.

        Raises ValueError with the library's text for an error and for a warning, as which it
        reports damage; behind a warning the pixels are there.
        """
        decoder = self._decoder()
        for code in (
            self._header(decoder, data, len(data)),
            # The decoder keeps the fraction of the image before.
            self._scale(decoder, _Fraction(1, divisor)),
            self._crop(decoder, _Region(*region)),
            self._decompress(decoder, data, len(data), pixels.ctypes.data, 0, _RGB),
        ):
            if code:
                raise ValueError(self._error(decoder).decode(errors="replace"))

    def _decoder(self) -> int:
        """Return the decoder of this thread."""
        decoder: _Decoder | None = getattr(self._threads, "decoder", None)
        if decoder is None:
            handle = self._init(_DECOMPRESS)
            if not handle:
                raise MemoryError("no decoder for JPEG")
            decoder = self._threads.decoder = _Decoder(handle)
            weakref.finalize(decoder, self._destroy, handle)
        return decoder.handle


class _Decoder:
    """A decoder of the library, which ends with its thread."""

    def __init__(self, handle: int) -> None:
        self.handle = handle


def _function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


@functools.cache
def turbojpeg() -> TurboJpeg | None:
    """Load the library; None if the machine has none of version 3 or later."""
    for name in _candidates():
        try:
            return TurboJpeg(ctypes.CDLL(name))
        except (OSError, AttributeError):
            # None of this name, of another machine, or too old.
            continue
    return None


def _candidates() -> Iterator[str]:
    """Yield names and paths of the library: the system's, the environment's, that of a wheel."""
    names = _NAMES.get(sys.platform, _LINUX_NAMES)
    yield from names
    for prefix in _PREFIXES:
        for name in names:
            yield os.path.join(sys.prefix, prefix, name)
    try:
        files = importlib.metadata.files("turbojpeg") or ()
    except importlib.metadata.PackageNotFoundError:
        return
    for file in files:
        if file.name.startswith(("libturbojpeg", "turbojpeg")) and ".libs/" in file.as_posix():
            yield str(file.locate())
