"""The strict check of all files: its results, and the cache that keeps them."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.builders.images import encode, exif, photo, photo_folder, with_exif
from trickbag.data.config import DataConfig
from trickbag.data.decoding import check as module
from trickbag.data.decoding.cache import CheckCache, DecodeResult, cache_folder
from trickbag.data.decoding.check import CheckResult, check_parts
from trickbag.data.source import EncodedPart
from trickbag.data.sources import open_source


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return photo_folder(tmp_path / "set", {"a": 40, "b": 40})


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that the check decodes, while it goes on."""
    paths: list[str] = []
    real = module._check_file

    def noted(part: EncodedPart, i: int) -> DecodeResult:
        paths.append(str(Path(part.place, part.names[i])))
        return real(part, i)

    monkeypatch.setattr(module, "_check_file", noted)
    return paths


def checked(tree: Path, cache: Path) -> CheckResult:
    return check_parts(open_source(DataConfig(source=str(tree))).parts, None, cache)


def test_results_are_in_the_order_of_the_part(tree: Path, tmp_path: Path) -> None:
    (tree / "a" / "007.png").write_bytes(b"")
    (tree / "b" / "001.png").write_bytes(with_exif(encode(photo(30, 20), "JPEG"), exif(6)))
    results = checked(tree, tmp_path / "cache").results["train"]
    assert len(results) == 80
    facts = [(r.reason, r.format, r.width, r.height) for r in results]
    assert facts[7] == ("empty file", "", 0, 0)
    assert facts[41] == (None, "JPEG", 20, 30)  # upright
    assert facts[2] == (None, "PNG", 22, 16)
    digest = hashlib.blake2b((tree / "a" / "002.png").read_bytes(), digest_size=8).hexdigest()
    assert results[2].digest == digest


def test_an_unchanged_file_is_decoded_once(tree: Path, tmp_path: Path, decoded: list[str]) -> None:
    first = checked(tree, tmp_path / "cache")
    assert len(decoded) == 80
    assert checked(tree, tmp_path / "cache").results == first.results
    assert len(decoded) == 80
    changed = tree / "b" / "003.png"
    changed.write_bytes(b"damaged")
    touched = tree / "a" / "000.png"
    os.utime(touched, ns=(1, 1))
    assert checked(tree, tmp_path / "cache").results["train"][43].reason is not None
    assert sorted(decoded[80:]) == sorted([str(changed), str(touched)])


def test_the_same_size_and_name_at_another_time_is_decoded_again(
    tree: Path, tmp_path: Path
) -> None:
    assert checked(tree, tmp_path / "cache").results["train"][0].reason is None
    path = tree / "a" / "000.png"
    before = path.stat().st_mtime_ns
    path.write_bytes(bytes(path.stat().st_size))
    os.utime(path, ns=(before + 1, before + 1))
    assert checked(tree, tmp_path / "cache").results["train"][0].reason is not None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"version": 3}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_damaged_cache_is_written_again(
    tree: Path, tmp_path: Path, decoded: list[str], damage: bytes
) -> None:
    first = checked(tree, tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "checks").iterdir()
    file.write_bytes(damage)
    again = checked(tree, tmp_path / "cache")
    assert again.results == first.results
    assert [note.kind for note in again.notes] == ["damage"]
    assert f"{file} was damaged: they are checked again" in again.notes[0].text
    assert checked(tree, tmp_path / "cache").notes == ()
    assert len(decoded) == 160
    assert len(json.loads(file.read_bytes())["files"]) == 80


@pytest.mark.parametrize(
    "entry",
    [
        [1, 2],
        "x",
        None,
        [1, 2, None, "PNG", 1, 1],
        [1, 2, 3, *DecodeResult(None, "PNG", 1, 1).to_plain()[1:]],
        [1, "2", *DecodeResult(None, "PNG", 1, 1).to_plain()],
        {},
    ],
)
def test_a_wrong_entry_in_the_cache_is_no_error(tree: Path, tmp_path: Path, entry: object) -> None:
    first = checked(tree, tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "checks").iterdir()
    stored = json.loads(file.read_bytes())
    stored["files"][str(tree / "a" / "000.png")] = entry
    file.write_text(json.dumps(stored))
    again = checked(tree, tmp_path / "cache")
    assert (again.results, [note.kind for note in again.notes]) == (first.results, ["damage"])


def test_results_of_other_decoders_do_not_count(
    tree: Path, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("trickbag.data.decoding.stamped_cache.version", lambda name: "0.0")
        checked(tree, tmp_path / "cache")
    assert checked(tree, tmp_path / "cache").notes == ()
    assert len(decoded) == 160


def test_what_was_refused_without_an_extra_is_checked_again_with_it(
    tree: Path, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_extra(name: str) -> str:
        if name == "pillow-heif":
            raise PackageNotFoundError(name)
        return version(name)

    with monkeypatch.context() as patch:
        patch.setattr("trickbag.data.decoding.stamped_cache.version", without_extra)
        checked(tree, tmp_path / "cache")
        assert len(decoded) == 80
    checked(tree, tmp_path / "cache")
    assert len(decoded) == 160


def test_a_cache_of_before_there_were_checksums_is_not_damaged(tree: Path, tmp_path: Path) -> None:
    checked(tree, tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "checks").iterdir()
    file.write_text(json.dumps({"version": "1, simplejpeg 1, Pillow 1", "files": {}}))
    assert checked(tree, tmp_path / "cache").notes == ()


def test_a_cache_that_cannot_be_written_is_a_note(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    check = checked(tree, tmp_path / "cache")
    assert len(check.results["train"]) == 80
    assert "not kept for the next run" in check.notes[0].text


def test_an_interrupted_check_keeps_its_results(
    tree: Path, tmp_path: Path, decoded: list[str]
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        check_parts(open_source(DataConfig(source=str(tree))).parts, interrupt, cache)
    (file,) = (cache / "checks").iterdir()
    kept = len(json.loads(file.read_bytes())["files"])
    assert kept >= 16
    del decoded[:]
    checked(tree, cache)
    assert len(decoded) == 80 - kept


def test_progress_is_called_while_a_file_is_waited_for(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    calls: list[int] = []

    def slow(part: EncodedPart, i: int) -> DecodeResult:
        assert released.wait(60)
        return DecodeResult("slow", "", 0, 0)

    def progress(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 4:
            released.set()

    monkeypatch.setattr(module, "_check_file", slow)
    monkeypatch.setattr(module, "_POLL_S", 0.01)
    check_parts(open_source(DataConfig(source=str(tree))).parts, progress, tmp_path / "cache")
    assert calls[:4] == [0, 0, 0, 0]
    assert calls[-1] == 80


def test_a_stopped_check_begins_no_further_file(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def slow(part: EncodedPart, i: int) -> DecodeResult:
        begun.append(part.names[i])
        time.sleep(0.02)
        return DecodeResult("slow", "", 0, 0)

    def stop(done: int, total: int) -> None:
        if begun:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_check_file", slow)
    monkeypatch.setattr(module, "_POLL_S", 0.01)
    monkeypatch.setattr(module, "usable_cores", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        check_parts(open_source(DataConfig(source=str(tree))).parts, stop, tmp_path / "cache")
    assert len(begun) < 20  # of a chunk of 32


def test_the_cache_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "trickbag"
    for ignored in ("", "relative"):  # as the XDG specification says
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder() == Path.home() / ".cache" / "trickbag"


def test_the_cache_file_is_replaced_atomically(tmp_path: Path) -> None:
    cache = CheckCache(tmp_path, "/root")
    cache.put("/root/a", 1, 2, DecodeResult(None, "PNG", 3, 4))
    assert cache.save() is None
    assert [entry.name for entry in cache.path.parent.iterdir()] == [cache.path.name]
    assert CheckCache(tmp_path, "/root").get("/root/a", 1, 2) == DecodeResult(None, "PNG", 3, 4)
    assert CheckCache(tmp_path, "/root").get("/root/a", 1, 3) is None
    assert CheckCache(tmp_path, "/other").get("/root/a", 1, 2) is None
