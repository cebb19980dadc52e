"""Paths of what is no plain file, or cannot be read: one line of error, and no wait."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from trickbag.errors import UserError, shown
from trickbag.files import read_json, read_text, require_shallow
from trickbag.models.weights import weights_digest
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.paths import (
    MAPPED,
    RECORD,
    WEIGHTS,
    FileKind,
    exists,
    expanded,
    file_name,
    given_path,
    is_file,
    is_folder,
    open_regular,
    read_bytes,
)
from trickbag.train.folder.run_folder import fresh_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOBODY = 65534


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user who may not read what others keep to themselves."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def bind(path: Path) -> None:
    # A socket's path has a hundred bytes at most: the name alone, from its folder.
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


NO_PLAIN_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "named pipe": (os.mkfifo, "it is a named pipe"),
    "folder": (lambda path: path.mkdir(), "it is a folder"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    "socket": (bind, "it is a socket"),
    "link to itself": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "huge": (lambda path: (path.touch(), os.truncate(path, 2**41)), "bytes, and a record"),
}


@pytest.mark.parametrize("form", NO_PLAIN_FILES)
def test_what_is_no_plain_file(tmp_path: Path, form: str) -> None:
    make, says = NO_PLAIN_FILES[form]
    path = tmp_path / "a.json"
    make(path)
    for read in (read_json, read_text, lambda path: read_bytes(path, RECORD)):
        with pytest.raises(UserError, match=says) as error:
            read(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_nothing_is_none_and_a_file_is_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert read_bytes(path, RECORD) is None
    assert read_bytes(path / "within a file", RECORD) is None
    path.write_bytes(b"[1]")
    assert read_bytes(path / "within a file", RECORD) is None
    assert read_bytes(path, RECORD) == b"[1]"
    link = tmp_path / "link"
    link.symlink_to(path.name)
    assert read_json(link) == [1]
    (tmp_path / "dangling").symlink_to("nowhere")
    assert read_json(tmp_path / "dangling") is None
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing", RECORD)


def test_each_kind_has_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    small = FileKind("a note", 4)
    with pytest.raises(UserError, match="5 bytes, and a note has at most 4"):
        open_regular(path, small)
    for kind in (FileKind("a note", 5), WEIGHTS, MAPPED):
        open_regular(path, kind).close()


@pytest.mark.parametrize("ask", [exists, is_file, is_folder, lambda p: read_bytes(p, RECORD)])
def test_what_the_system_does_not_tell(tmp_path: Path, ask: Callable[[Path], object]) -> None:
    with pytest.raises(UserError, match="File name too long; give a shorter name"):
        ask(tmp_path / ("x" * 300))
    with pytest.raises(UserError, match="no name of a file"):
        ask(tmp_path / "a\0b")
    locked = tmp_path / "locked"
    locked.mkdir()
    (locked / "a").touch()
    locked.chmod(0)
    try:
        with as_nobody(), pytest.raises(UserError, match="Permission denied; let this user"):
            ask(locked / "a")
    finally:
        locked.chmod(0o755)


def test_a_file_that_this_user_may_not_read(tmp_path: Path) -> None:
    # The folders above the test's are closed to others too: the message is the same.
    path = tmp_path / "a"
    path.touch(mode=0)
    for read in (lambda p: read_bytes(p, RECORD), WeightsMetadata.read, weights_digest):
        with as_nobody(), pytest.raises(UserError, match="Permission denied"):
            read(path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("small-digits", "small-digits"),
        ("my photos, größe 2", "my photos, größe 2"),
        ("timm:resnet50", "timm-resnet50"),
        ("../../x", "-.-..-x"),
        ("/etc/x", "-etc-x"),
        (".hidden", "-hidden"),
        ("a\nb\x1b[31m\0", "a-b-[31m-"),
        ("half \udc80", "half -"),
        ("", "unnamed"),
        ("ä" * 500, "ä" * 60),
    ],
)
def test_names_of_default_folders(tmp_path: Path, text: str, name: str) -> None:
    assert file_name(text) == name
    folder = fresh_folder(text, tmp_path)
    assert folder.parent == tmp_path
    assert folder.is_dir()
    assert fresh_folder(text, tmp_path).name == f"{name}-2"


def test_a_home_that_is_not_there() -> None:
    with pytest.raises(UserError, match="'~no such user/x': there is no such home folder"):
        expanded("~no such user/x")


@pytest.mark.parametrize("text", ["", " ", "\t"])
def test_an_empty_path_is_not_the_current_folder(text: str) -> None:
    with pytest.raises(UserError, match="--out is empty"):
        given_path(text, "--out")


def test_plain_data_without_end() -> None:
    within: list[object] = []
    within.append(within)
    bomb: list[object] = [0] * 1000
    for _ in range(9):
        bomb = [bomb] * 1000
    deep: object = 1
    for _ in range(70):
        deep = [deep]
    for data in (within, bomb, deep, {"a": within}):
        with pytest.raises(ValueError, match=r"nested deeper|more than"):
            require_shallow(data)
    require_shallow({"a": [{"b": [1, 2, {}]}]})


def test_values_in_messages_are_short() -> None:
    assert shown("x") == "'x'"
    assert len(shown("x" * 10_000)) < 300
    assert "int" in shown(16**5000)
