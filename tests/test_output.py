"""Output that fails is dropped, and never the end of what writes it."""

from __future__ import annotations

import errno
import io
import os
import sys

import pytest

from trickbag.cli.streams import standard_streams
from trickbag.output import (
    Output,
    console,
    guard_streams,
    is_lost,
    print_exact,
    surviving,
    third_party_output,
)
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
    assert output.write("ü") == 1, "no character is an error either"
    stream.flush()
    assert stream.buffer.getvalue() == b"\\xfc"  # type: ignore[attr-defined]  # of BytesIO


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


class Terminal(io.StringIO):
    """A terminal of one encoding; without one it holds all characters."""

    def isatty(self) -> bool:
        return True


def test_what_a_command_prints_moves_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with standard_streams("list"):
        print("a\tb\n\x1b[31m")
        print("c\r\x9b31m", file=sys.stderr)
        with third_party_output():
            print("\r50 %")
            print("\r100 %", file=sys.stderr)
    assert out.getvalue() == "a\tb\n\\x1b[31m\n"
    assert err.getvalue() == "c\\r\\x9b31m\n\r50 %\n\r100 %\n"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
def test_exact_output_is_exact_but_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO
) -> None:
    monkeypatch.setattr(sys, "stdout", stream)
    with standard_streams("report"):
        print_exact("a,\x1b[31m\n")
    assert stream.getvalue() == ("a,\\x1b[31m\n" if stream.isatty() else "a,\x1b[31m\n")


def test_bars_and_tables_move_the_cursor_and_their_texts_do_not() -> None:
    from rich.progress import Progress
    from rich.table import Table

    terminal = Terminal()
    drawn = console(surviving(terminal))
    with Progress(console=drawn) as bar:
        bar.add_task("class \x9b2J", total=2)
        drawn.print("note \x1b[2J \u202e", markup=False, highlight=False)
    table = Table(title="\x1b]0;title\x07")
    table.add_column("a\x1b[5m")
    table.add_row("caf\udce9")
    drawn.print(table)
    text = terminal.getvalue()
    assert "\x1b[?25l" in text, "a bar hides the cursor"
    for sequence in ("\x9b", "\x1b[2J", "\u202e", "\x1b]0", "\x1b[5m", "\udce9"):
        assert sequence not in text
    # A cell has the width of what it was given, and cuts the escape.
    for shown in ("note \\x1b[2J \\u202e", "\\x1b]0;title", "caf\\"):
        assert shown in text


def test_the_streams_of_a_worker_are_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    guard_streams()
    guard_streams()
    print("\x1b[2J")
    print("\x9b", file=sys.stderr)
    assert (out.getvalue(), err.getvalue()) == ("\\x1b[2J\n", "\\x9b\n")
    monkeypatch.setattr(sys, "stdout", None)
    guard_streams()
