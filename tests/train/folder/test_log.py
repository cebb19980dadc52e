"""Logs of a run: which one a stream gets, and what plain lines show."""

from __future__ import annotations

import importlib.util
import io
import sys
from typing import Any

import pytest

from trickbag.train.folder.log import PlainLog, RichLog, choose_log, live_console


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_bar_and_a_file_has_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(choose_log(Terminal()), RichLog)
    assert type(choose_log(io.StringIO())) is PlainLog
    monkeypatch.setenv("FORCE_COLOR", "1")  # for which rich takes any stream for a terminal
    assert type(choose_log(io.StringIO())) is PlainLog


def test_lines_go_to_stderr_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    choose_log().note("left out 2 files")
    assert capsys.readouterr() == ("", "left out 2 files\n")
    choose_log(sys.stdout).note("left out 3 files")
    assert capsys.readouterr() == ("left out 3 files\n", "")


@pytest.mark.parametrize("widgets", [True, False])
def test_a_notebook_has_a_bar_if_it_can_draw_one(
    monkeypatch: pytest.MonkeyPatch, widgets: bool
) -> None:
    spec = importlib.util.find_spec

    def find_spec(name: str, *more: Any) -> Any:
        return (object() if widgets else None) if name == "ipywidgets" else spec(name, *more)

    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    assert (live_console(io.StringIO()) is not None) is widgets


def test_plain_lines_show_a_count_only_if_the_work_lasts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    quick, slow = PlainLog(), PlainLog(every_s=-1)
    for log in (quick, slow):
        for done in range(4):
            log.checking(done, 3)
    assert capsys.readouterr().out.splitlines() == [
        f"checked {done} of 3 images" for done in range(4)
    ]
