"""Lines for a terminal, and progress where there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trickbag.cli import terminal
from trickbag.cli.terminal import aligned, checking_progress, left_out_lines, name_some, printable
from trickbag.data.source import DataError


def test_progress_without_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.0, 10.0, 31.0, 31.0, 40.0, 62.0, 62.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(seconds))
    with checking_progress() as progress:
        for done in (1, 1000, 2000, 3000):
            progress(done, 4000)
    assert capsys.readouterr().err == (
        "checked 1,000 of 4,000 images\nchecked 3,000 of 4,000 images\n"
    )


def test_lines_are_aligned_and_printable() -> None:
    rows = [["a", "long cell", "x"], ["bb\n", "c", "a last cell of any length"]]
    assert list(aligned(rows)) == [
        "a     long cell  x",
        "bb\\n  c          a last cell of any length",
    ]
    assert printable("a\tb\udcff") == "a\\tb\\udcff"


def test_many_names_are_counted() -> None:
    assert name_some(["a", "b"]) == "a, b"
    assert name_some(list("abcde")) == "a, b, c and 2 more"
    errors = [DataError(f"{i}.png", "empty file") for i in range(3)]
    assert list(left_out_lines(errors, 2)) == [
        "left out: 3 files",
        "  0.png  empty file",
        "  1.png  empty file",
        "  and 1 more: --json names them all",
    ]
    assert list(left_out_lines([])) == ["left out: none"]


def test_every_line_that_a_command_prints_is_one_line() -> None:
    # `new` prints source code; the others print names, by `print_line` and the like.
    for file in Path(terminal.__file__).parent.glob("*.py"):
        if file.stem not in ("__init__", "terminal", "new"):
            printed = re.findall(r"^ *print\((.*)", file.read_text(encoding="utf-8"), re.M)
            assert all("printable(" in text or text == ")" for text in printed), file.name
