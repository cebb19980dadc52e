"""The standard streams of a command: they may fail, and what becomes of its exit code."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO, cast

from trickbag.output import Output

__all__ = ["Streams", "standard_streams"]

_RESULT_IN_FOLDER = ("train", "study")
"""Commands that leave what they do in a folder, take long, and go on without a terminal."""


class Streams:
    """Stdout and stderr of a command, neither of which can end it.

    What is written to a stream that has failed is dropped, and a line on stderr says so.
    """

    def __init__(self, command: str) -> None:
        self.name = f"trickbag {command}".strip()
        self._in_folder = command in _RESULT_IN_FOLDER
        self.stderr = Output(sys.stderr or _closed())
        self.stdout = Output(sys.stdout or _closed(), self._report)

    def exit_code(self, code: int) -> int:
        """Return the exit code of a command that would end with `code`, but for its output.

        Success is 1 where the disk that stdout goes to is full, and the like. It stays success
        where the reader has left, as `head` does and a terminal that is closed; and for a command
        whose result is in a folder, where stdout was closed from the start.
        """
        self.stdout.flush()
        self.stderr.flush()
        error = self.stdout.error
        if code or error is None or self.stdout.has_lost_its_reader:
            return code
        return 0 if self._in_folder and error.errno == errno.EBADF else 1

    def _report(self, error: OSError) -> None:
        # To be cut off by `head` is usual; but who follows a training may want to know of its end.
        if self.stdout.has_lost_its_reader and not self._in_folder:
            return
        reason = error.strerror or str(error)
        goes_on = ": the command goes on without it" if self._in_folder else ""
        self.stderr.write(f"{self.name}: cannot write to stdout ({reason}){goes_on}\n")
        self.stderr.flush()


@contextlib.contextmanager
def standard_streams(command: str) -> Iterator[Streams]:
    """Replace the standard streams within the block by those of the command."""
    before = sys.stdout, sys.stderr
    _open_descriptors()
    streams = Streams(command)
    sys.stdout, sys.stderr = cast("TextIO", streams.stdout), cast("TextIO", streams.stderr)
    try:
        yield streams
    finally:
        for output in (streams.stdout, streams.stderr):
            output.flush()
            if output.error is not None:
                _discard(output)
        sys.stdout, sys.stderr = before


def _closed() -> TextIO:
    """Return a stream that is closed: Python has none where the descriptor was closed."""
    stream = io.StringIO()
    stream.close()
    return stream


def _open_descriptors() -> None:
    """Open what is closed of the descriptors 0 to 2.

    The next file that is opened would have its number, and get what a library writes to stdout.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            # Started processes inherit them.
            os.set_inheritable(opened, True)


def _discard(output: Output) -> None:
    # Python flushes its streams when it ends, and would report the error a second time, exit 120.
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, output.fileno())
        os.close(null)
