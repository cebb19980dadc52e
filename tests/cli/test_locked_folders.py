"""Folders that another process works in, or whose lock file is something else: one line, exit 2."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.recipes import train_arguments
from trickbag.errors import UserError
from trickbag.locks import LOCK_FILE, locked_folder
from trickbag.study.folder import StudyFolder
from trickbag.train.folder.caller import COMMAND_LINE

Call = Callable[..., tuple[int, str, str]]

IN_ITS_PLACE: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder": (Path.mkdir, "Is a directory"),
    "link": (lambda file: file.symlink_to("/dev/zero"), "it is a link"),
    "dangling link": (lambda file: file.symlink_to("nowhere"), "it is a link"),
    "pipe": (os.mkfifo, "it is no regular file"),
    "file": (lambda file: file.write_text("precious"), "it holds something else"),
}


@pytest.mark.parametrize("more", [(), ("--resume",)], ids=["new", "resumed"])
def test_training_where_another_process_trains(
    call: Call, photos: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    out = tmp_path / "run"
    with locked_folder(out, lambda _: None):
        code, printed, err = call(*train_arguments(photos, out), *more)
    assert (code, printed) == (2, "")
    assert err.startswith(f"trickbag train: process {os.getpid()} on ")
    assert err.endswith(f" works in {out}; wait for its end, stop it, or choose another --out\n")
    assert not out.exists()


@pytest.mark.parametrize("kind", IN_ITS_PLACE)
def test_something_else_in_the_place_of_the_lock_file(
    call: Call, photos: Path, tmp_path: Path, kind: str
) -> None:
    make, reason = IN_ITS_PLACE[kind]
    make(tmp_path / LOCK_FILE)
    code, printed, err = call(*train_arguments(photos, tmp_path))
    assert (code, printed) == (2, "")
    assert err.startswith(f"trickbag train: cannot use the lock file {tmp_path / LOCK_FILE}: ")
    assert reason in err
    assert err.endswith("; move it away\n")
    assert err.count("\n") == 1
    with pytest.raises(UserError, match=reason), StudyFolder(tmp_path).locked(COMMAND_LINE):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]


@pytest.mark.parametrize(
    "words",
    ["evaluate {run} --workers 0", "predict {run} {image}", "report {run} --format md"],
)
def test_what_only_reads_needs_no_lock(call: Call, run: Path, photos: Path, words: str) -> None:
    with locked_folder(run, lambda _: None):
        code, printed, err = call(*words.format(run=run, image=photos / "one/000.png").split())
    assert (code, err) == (0, "")
    assert printed
