"""Output that fails is dropped, and never the end of what writes it."""

from __future__ import annotations

import errno
import io
import os

import pytest

from trickbag.output import Output, is_lost, surviving
from trickbag.train.folder.log import PlainLog, RichLog, choose_log, live_console


class Failing(io.StringIO):
    """A stream that takes some texts, and fails from then on."""

    def __init__(self, code: int, takes: int = 0, terminal: bool = False) -> None:
        super().__init__()
        self.code, self.left, self.terminal = code, takes, terminal

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        if self.left <= 0:
            raise OSError(self.code, os.strerror(self.code))
        self.left -= 1
        return super().write(text)

    def flush(self) -> None:
        if self.left <= 0:
            raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize(
    ("code", "terminal", "has_lost_its_reader"),
    [
        (errno.EPIPE, False, True),
        (errno.EIO, True, True),
        (errno.EIO, False, False),
        (errno.ENOSPC, False, False),
        (errno.EBADF, False, False),
    ],
)
def test_the_first_failure_is_kept(code: int, terminal: bool, has_lost_its_reader: bool) -> None:
    errors: list[OSError] = []
    stream = Failing(code, takes=1, terminal=terminal)
    output = Output(stream, errors.append)
    print("a", file=output)  # text and line end: two writes
    for _ in range(3):
        output.write("b")
        output.flush()
    assert stream.getvalue() == "a"
    assert [error.errno for error in errors] == [code]
    assert output.error is errors[0]
    assert output.has_lost_its_reader == has_lost_its_reader
    assert is_lost(output)
    assert not is_lost(stream)


def test_a_closed_stream() -> None:
    stream = io.StringIO()
    output = Output(stream)
    output.write("a")
    stream.close()
    output.flush()
    assert output.error is None
    assert not output.isatty()
    output.writelines(["b"])
    assert output.error is not None
    assert output.error.errno == errno.EBADF


def test_all_else_is_the_streams() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    output = surviving(stream)
    assert output.encoding == "ascii"
    assert surviving(output) is output
    with pytest.raises(UnicodeEncodeError):
        output.write("ü")


@pytest.mark.parametrize("takes", [0, 1, 4])
@pytest.mark.parametrize("terminal", [False, True])
def test_no_log_ends_a_run(takes: int, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Failing(errno.EIO, takes, terminal)
    log = choose_log(stream)
    assert isinstance(log, RichLog if terminal else PlainLog)
    for _ in range(3):
        log.note("a note")
        log.teacher_logits(1, 2)
    log.stop()
    console = live_console(stream)
    assert (console is not None) == terminal
