"""Output that may fail while the work goes on: it is dropped then, and the error is kept.

A terminal is lost, the reader of a pipe ends (`| head`), a disk is full: none of it may end a
training that takes days. Nor may a character that the stream's encoding lacks.

Control characters become escapes: a name from outside moves no cursor. Bars and live tables need
such characters of their own: their `console` writes past this, and neutralises the texts in it.
What another program reads is left as it is (`print_exact`).
"""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from trickbag.text import encodable, lines_for, printable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Output",
    "console",
    "guard_streams",
    "is_lost",
    "print_exact",
    "surviving",
    "third_party_output",
]

_NO_READER = (errno.EPIPE, errno.ESHUTDOWN, errno.ECONNRESET)


class Output:
    """A text stream whose failure is no error, and which writes control characters as escapes.

    All else is as in the stream that it is made of. `error` is the first error, after which
    everything is dropped; `on_failure` is called with it.
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
        """Write a text, or drop it; line breaks and tabs are the only control characters."""
        self.write_exact(lines_for(self._stream, text))
        return len(text)

    def write_exact(self, text: str) -> int:
        """Write a text with its control characters, or drop it."""
        if self.error is None:
            try:
                self._stream.write(encodable(self._stream, text))
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


def guard_streams() -> None:
    """Make stdout and stderr of this process, a worker, outputs to its end."""
    if sys.stdout is not None:  # a process without a console has none
        sys.stdout = surviving(sys.stdout)
    if sys.stderr is not None:
        sys.stderr = surviving(sys.stderr)


def is_lost(stream: TextIO | None) -> bool:
    """Tell whether nobody reads what is written to a stream."""
    return isinstance(stream, Output) and stream.error is not None


class _Exact:
    """An output whose control characters are written as they are."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.write = output.write_exact

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


def _exact(stream: TextIO) -> TextIO:
    return cast("TextIO", _Exact(stream)) if isinstance(stream, Output) else stream


def print_exact(text: str) -> None:
    """Write a text for another program to stdout as it is; to a terminal without controls."""
    (sys.stdout if sys.stdout.isatty() else _exact(sys.stdout)).write(text)


@contextlib.contextmanager
def third_party_output() -> Iterator[None]:
    """Let the progress bars of other libraries draw on stderr; what they print goes there too."""
    # Standard output belongs to the command's own results.
    stream = _exact(sys.stderr)
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield


def console(file: TextIO) -> Console:
    """Return a console of rich for bars and tables, in whose texts control characters are escapes.

    What cannot be written is dropped.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class GuardedConsole(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            # What moves the cursor is marked as control; all else is text.
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield Segment(printable(segment.text, keep="\n\t"), segment.style)

    return GuardedConsole(file=cast("IO[str]", _exact(surviving(file))))
