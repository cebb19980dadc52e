"""Locks of folders: one process at a time, no file left, and every odd place in one line."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from trickbag import locks
from trickbag.errors import UserError
from trickbag.locks import LOCK_FILE, is_locked, locked, locked_folder, refusal

HOLD = (
    "import sys; from pathlib import Path; from trickbag.locks import locked_folder\n"
    "with locked_folder(Path(sys.argv[1]), print):\n"
    "    print('in', flush=True); sys.stdin.read()"
)


def refuse(holder: str) -> NoReturn:
    raise UserError(holder)


def hold(folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"in\n"
    return process


def test_the_second_process_is_given_the_name_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with hold(folder) as other:
        with (
            pytest.raises(UserError, match=f"^process {other.pid} on {platform.node()}$"),
            locked_folder(folder, refuse),
        ):
            pass
        other.kill()
        other.wait()
        assert (folder / LOCK_FILE).exists()
        with locked_folder(folder, refuse) as note:  # the kernel freed it
            assert note is None
            assert json.loads((folder / LOCK_FILE).read_text())["pid"] == os.getpid()
    assert not list(folder.iterdir())


def test_whether_a_process_holds_a_lock(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with hold(folder) as other:
        assert is_locked(folder / LOCK_FILE)
        other.kill()
        other.wait()
        assert (folder / LOCK_FILE).exists()
        assert not is_locked(folder / LOCK_FILE)
        assert not (folder / LOCK_FILE).exists()  # nobody needs what a killed process left
    assert not is_locked(folder / LOCK_FILE)
    # What is no lock file stays.
    foreign, link = folder / "foreign", folder / "link"
    foreign.write_text("text")
    link.symlink_to(foreign)
    os.mkfifo(folder / "pipe")
    for file in (foreign, link, folder / "pipe", folder):
        assert not is_locked(file)
        assert file.exists()
    assert foreign.read_text() == "text"


def test_a_new_folder_that_stays_empty_is_removed(tmp_path: Path) -> None:
    new, filled, old = tmp_path / "a" / "new", tmp_path / "filled", tmp_path / "old"
    old.mkdir()
    for folder in (new, filled, old):
        with locked_folder(folder, refuse):
            if folder == filled:
                (folder / "file").touch()
    assert not new.exists()
    assert [path.name for path in filled.iterdir()] == ["file"]
    assert old.exists()


def test_no_two_hold_a_lock_whose_file_comes_and_goes(tmp_path: Path) -> None:
    inside, most, rounds = [0], [0], [0]

    def work() -> None:
        for _ in range(60):
            with locked_folder(tmp_path / "run", lambda _: None):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                rounds[0] += 1
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    poll, locks._POLL_S = locks._POLL_S, 0.0
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        locks._POLL_S = poll
    assert (most[0], rounds[0]) == (1, 240)
    assert not (tmp_path / "run" / LOCK_FILE).exists()


def test_whoever_waits_gets_a_lock_whose_file_was_removed(tmp_path: Path) -> None:
    file, first = tmp_path / "x.lock", locked(tmp_path / "x.lock", refuse)
    first.__enter__()

    def busy(holder: str) -> None:
        assert holder == f"process {os.getpid()} on {platform.node()}"
        first.__exit__(None, None, None)
        assert not file.exists()

    with locked(file, busy):
        assert file.exists()
    assert not file.exists()


def a_link(file: Path) -> None:
    (file.parent / "target").write_text("precious")
    file.symlink_to("target")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Path.mkdir, "Is a directory"),
        (a_link, "it is a link"),
        (os.mkfifo, "it is no regular file"),
        (lambda file: file.write_text("precious"), "it holds something else"),
        (lambda file: file.write_text("[" * 2000), "it holds something else"),
    ],
    ids=["folder", "link", "pipe", "file", "brackets"],
)
def test_what_else_lies_there_is_named_and_left(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    file = tmp_path / LOCK_FILE
    make(file)
    before = file.lstat()
    message = rf"cannot use the lock file .*\.lock: {reason}.*; move it away"
    with pytest.raises(UserError, match=message), locked_folder(tmp_path, refuse):
        pass
    assert file.lstat().st_ino == before.st_ino
    assert file.lstat().st_size == before.st_size
    if file.is_symlink():
        assert file.read_text() == "precious"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def flock(*_: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    for _ in range(2):
        with locked_folder(tmp_path, refuse) as note:
            assert note is not None
            assert (note.kind, note.trick) == ("folder", None)
            assert f"the disk of {tmp_path} has no locks ({os.strerror(code)})" in note.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_needs_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def denied(*_: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks.os, "open", denied)
    with locked_folder(tmp_path, refuse) as note:
        assert note is None
    message = f"cannot write in {tmp_path}: {os.strerror(code)}"
    with pytest.raises(UserError, match=message), locked(tmp_path / "x.lock", refuse):
        pass


def test_a_lock_file_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LOCK_FILE).touch()

    def denied(*_: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(locks.os, "open", denied)
    message = r"cannot use the lock file .*\.lock: Permission denied"
    with pytest.raises(UserError, match=message), locked_folder(tmp_path, refuse):
        pass


def test_the_refusal_names_the_process_and_the_way_out(tmp_path: Path) -> None:
    error = refusal("process 7 on gpu1", tmp_path, "--out")
    assert str(error) == (
        f"process 7 on gpu1 works in {tmp_path}; wait for its end, stop it, or choose another --out"
    )
