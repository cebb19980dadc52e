"""Output that may fail while the work goes on: it is dropped then, and the error is kept.

A terminal is lost, the reader of a pipe ends (`| head`), a disk is full: none of it may end a
training that takes days.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable
from typing import Any, TextIO, cast

__all__ = ["Output", "is_lost", "surviving"]

_NO_READER = (errno.EPIPE, errno.ESHUTDOWN, errno.ECONNRESET)


class Output:
    """A text stream whose failure is no error; all else is as in the stream that it is made of.

    `error` is the first error, after which everything is dropped; `on_failure` is called with it.
    """

    def __init__(self, stream: TextIO, on_failure: Callable[[OSError], None] | None = None) -> None:
        self.error: OSError | None = None
        self._stream, self._on_failure = stream, on_failure
        self._is_terminal = self.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def has_lost_its_reader(self) -> bool:
        """Whether nobody is there any more to read: the end of a pipe, or a terminal, is gone."""
        if self.error is None:
            return False
        gone = self._is_terminal and self.error.errno == errno.EIO
        return gone or self.error.errno in _NO_READER

    def isatty(self) -> bool:
        """Tell whether the stream is a terminal."""
        with contextlib.suppress(OSError, ValueError):
            return self._stream.isatty()
        return False

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        if self.error is None:
            try:
                return self._stream.write(text)
            except UnicodeError:  # no error of the stream, and its class is a ValueError
                raise
            except OSError as error:
                self._fail(error)
            except ValueError:
                self._fail(OSError(errno.EBADF, "it is closed"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts, or drop them."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Flush the stream, if it has not failed."""
        if self.error is None:
            try:
                # A stream that is closed raises a ValueError, and holds nothing to flush.
                with contextlib.suppress(ValueError):
                    self._stream.flush()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.error = error
        if self._on_failure is not None:
            self._on_failure(error)


def surviving(stream: TextIO) -> TextIO:
    """Return a stream as one whose failure is no error; one that is such already as it is."""
    return stream if isinstance(stream, Output) else cast("TextIO", Output(stream))


def is_lost(stream: TextIO | None) -> bool:
    """Tell whether nobody reads what is written to a stream."""
    return isinstance(stream, Output) and stream.error is not None
