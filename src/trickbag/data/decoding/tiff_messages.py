"""The errors of libtiff, which it would print to stderr without a file's name."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import PIL

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["tiff_errors"]

_LENGTH = 256
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)


class _Messages(threading.local):
    """The messages of what a thread decodes; libtiff reports in the thread that called it."""

    def __init__(self) -> None:
        self.texts: list[str] = []


_messages = _Messages()


@contextlib.contextmanager
def tiff_errors() -> Iterator[list[str]]:
    """Give a list into which libtiff's errors in this thread go until the end of the block.

    Where Pillow's libtiff is not found (it can be linked into Pillow) the list stays empty, and
    libtiff prints as before.
    """
    _install()
    _messages.texts = []
    yield _messages.texts


_handlers: list[Any] = []
"""What libtiff calls; it must live as long as the process."""

_lock = threading.Lock()


def _install() -> None:
    """Make libtiff hand over its errors, once in a process."""
    with _lock:
        if not _handlers:
            _handlers.append(_handler(_library()))


def _handler(library: Any) -> Any:
    if library is None:
        return None
    format_message = ctypes.CDLL(None).vsnprintf
    format_message.argtypes = (
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_void_p,
    )

    def keep(module: bytes | None, template: bytes, values: int | None) -> None:
        text = ctypes.create_string_buffer(_LENGTH)
        format_message(text, _LENGTH, template, values)
        origin = f"{module.decode('utf-8', 'replace')}: " if module else ""
        _messages.texts.append(origin + text.value.decode("utf-8", "replace"))

    handler = _Handler(keep)
    library.TIFFSetErrorHandler(handler)
    return handler


def _library() -> Any:
    """Return the libtiff that Pillow has loaded; None where there is none."""
    package = Path(PIL.__file__).parent
    # Pillow's wheels bring one along: for Linux beside the package, for macOS in it.
    places = [*package.parent.glob("pillow.libs/libtiff*"), *package.glob(".dylibs/libtiff*")]
    system = ctypes.util.find_library("tiff") if not places else None
    for place in [*map(str, places), *([system] if system else [])]:
        try:
            library = ctypes.CDLL(place)
            library.TIFFSetErrorHandler.argtypes = (_Handler,)
            library.TIFFSetErrorHandler.restype = ctypes.c_void_p
        except (OSError, AttributeError):
            continue
        return library
    return None
