"""Runs, their files and their folders with names that are not UTF-8."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import pytest

from trickbag.data.dataset import read_errors, write_errors
from trickbag.data.source import DataError
from trickbag.files import read_json, utf8_path, write_json
from trickbag.train.folder.board import Board
from trickbag.train.folder.log import PlainLog, RichLog, choose_log
from trickbag.train.folder.predictions import PredictionRow, read_predictions, write_predictions

if TYPE_CHECKING:
    from pathlib import Path

NAME = "caf\udce9"
ESCAPED = "caf\\udce9"

only_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems take no file name that is not UTF-8"
)


def test_names_in_csv_files_are_escaped_alike(tmp_path: Path) -> None:
    row = PredictionRow(f"{NAME}.png", NAME, "=1+1", 0.5)
    write_predictions(tmp_path / "predictions.csv", [row])
    write_errors([DataError(f"{NAME}.png", "empty file")], tmp_path / "data_errors.csv")
    # What a spreadsheet takes for a formula stays as it is.
    assert (tmp_path / "predictions.csv").read_text() == (
        f"image,label,predicted,confidence\n{ESCAPED}.png,{ESCAPED},=1+1,0.500000\n"
    )
    escaped = row._replace(image=f"{ESCAPED}.png", label=ESCAPED)
    assert read_predictions(tmp_path / "predictions.csv") == [escaped]
    assert read_errors(tmp_path / "data_errors.csv") == [DataError(f"{ESCAPED}.png", "empty file")]


def test_names_in_json_are_read_back_as_they_were(tmp_path: Path) -> None:
    data = {NAME: [NAME, ESCAPED, "\x1b[2J", "ü"]}
    write_json(tmp_path / "a.json", data)
    assert read_json(tmp_path / "a.json") == data
    (tmp_path / "a.json").read_bytes().decode("utf-8")


@only_linux
def test_a_path_in_other_bytes_has_one_in_utf8(tmp_path: Path) -> None:
    for name in ("plain", "café", NAME):
        path = tmp_path / name
        path.write_text(name.encode("utf-8", "replace").decode())
        with utf8_path(path) as text:
            assert (text == str(path)) == (name != NAME)
            text.encode()
            with open(text, encoding="utf-8") as file:
                assert file.read() == path.read_text(encoding="utf-8")
    with pytest.raises(FileNotFoundError), utf8_path(tmp_path / f"no{NAME}"):
        pass


@only_linux
def test_tensorboard_writes_into_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    before = len(os.listdir("/proc/self/fd"))
    board = Board(folder, 0)
    board.add({"epoch": 1, "step": 2, "loss": 0.25, "top1": None}, 1)
    board.close()
    assert [path.name.partition(".tfevents")[0] for path in folder.iterdir()] == ["events.out"]
    assert b"loss" in next(folder.iterdir()).read_bytes()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("tty", [False, True])
def test_a_note_is_one_line_whatever_its_names_hold(
    tty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: tty)
    log = choose_log(stream)
    assert isinstance(log, RichLog if tty else PlainLog)
    log.note(f"no image to train with in: {NAME}\nepoch 1/1\x1b[2J")
    log.stop()
    line = f"no image to train with in: {ESCAPED}\\nepoch 1/1\\x1b[2J\n"
    assert stream.getvalue() == line
