"""Packs that are interrupted, killed or damaged while they are written: they go on to the same."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.builders.images import photo_folder
from trickbag.data.config import DataConfig
from trickbag.data.packing import chunks
from trickbag.data.packing.pack import PackSummary, write_pack
from trickbag.data.packing.settings import PackSettings

# Two rows a chunk, so that a few small images are many of them.
PROGRAM = (
    "from trickbag.data.packing import chunks; chunks._ROWS = 2; "
    "from trickbag.cli import program; program()"
)

# Stops after its first chunks, so that a signal cannot come too late.
WAITING = (
    "import time; from trickbag.data.packing.partial import PartialPack; "
    "flush = PartialPack.flush; "
    "PartialPack.flush = lambda pack: (flush(pack), pack._file.tell() > 3000 and time.sleep(60)); "
    f"{PROGRAM}"
)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_ROWS", 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("set") / "photos", {"cat": 9, "dog": 8})


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("alone") / "x.arrow"
    before, chunks._ROWS = chunks._ROWS, 2
    try:
        packed(folder, out)
    finally:
        chunks._ROWS = before
    return out.read_bytes()


def packed(folder: Path, out: Path, progress: Any = None) -> PackSummary:
    settings = PackSettings(encoding="raw")
    return write_pack(DataConfig(source=str(folder)), out, settings, workers=1, progress=progress)


def interrupted(folder: Path, out: Path, images: int) -> None:
    """Pack until so many images are written."""

    def stop(done: int, total: int) -> None:
        if done >= images:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packed(folder, out, stop)
    assert not out.exists()


def partial_of(out: Path) -> Path:
    (file,) = out.parent.glob("*.partial")
    return file


def files(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir())


def test_an_interrupted_pack_goes_on_to_the_same_bytes(
    folder: Path, expected: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "x.arrow"
    for images in (4, 11, 12):
        interrupted(folder, out, images)
        # Two where it ended while it copied what was written.
        assert all(name.endswith(".partial") for name in files(out))
    assert packed(folder, out).continued >= 10
    assert out.read_bytes() == expected
    assert files(out) == ["x.arrow"]


def test_whatever_is_left_of_a_killed_pack(folder: Path, expected: bytes, tmp_path: Path) -> None:
    out = tmp_path / "x.arrow"
    interrupted(folder, out, 12)
    name, written = partial_of(out).name, partial_of(out).read_bytes()
    partial_of(out).unlink()
    rng = random.Random(0)
    continued = set()
    for length in [0, 5, 8, 100, *rng.sample(range(len(written)), 8)]:
        (tmp_path / name).write_bytes(written[:length])
        continued.add(packed(folder, out).continued)
        assert out.read_bytes() == expected
        assert files(out) == ["x.arrow"]
        out.unlink()
    assert len(continued) > 2
    for place in rng.sample(range(len(written)), 8):
        damaged = bytearray(written)
        damaged[place] ^= 1 << rng.randrange(8)
        (tmp_path / name).write_bytes(damaged)
        packed(folder, out)
        assert out.read_bytes() == expected
        out.unlink()


def test_a_pack_that_is_killed_while_it_copies_what_was_written(
    folder: Path, expected: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "x.arrow"
    interrupted(folder, out, 12)
    written = partial_of(out)
    earlier = written.with_name(written.name.replace(".partial", ".earlier.partial"))
    earlier.write_bytes(written.read_bytes())
    written.write_bytes(earlier.read_bytes()[:2000])
    assert packed(folder, out).continued >= 10
    assert out.read_bytes() == expected
    assert files(out) == ["x.arrow"]


def test_other_images_begin_anew(folder: Path, tmp_path: Path) -> None:
    root = photo_folder(tmp_path / "other", {"cat": 6, "dog": 6}, seed=3)
    out = tmp_path / "out" / "x.arrow"
    out.parent.mkdir()
    interrupted(root, out, 4)
    first = sorted((root / "cat").iterdir())[0]
    # Of the same size: the time tells.
    data = bytearray(first.read_bytes())
    time.sleep(0.01)
    first.write_bytes(data)
    # Of a pack whose name begins with the name of this one.
    (out.parent / "x.arrow.y.arrow.0123456789abcdef.partial").write_text("")
    reasons: list[str] = []
    summary = write_pack(
        DataConfig(source=str(root)),
        out,
        PackSettings(encoding="raw"),
        on_start=lambda _, notes: reasons.extend(note.reason for note in notes),
    )
    assert summary.continued == 0
    assert any(
        "an unfinished pack of other images or options; it is removed" in text for text in reasons
    )
    assert files(out) == ["x.arrow", "x.arrow.y.arrow.0123456789abcdef.partial"]


def command(folder: Path, out: Path, *more: str) -> list[str]:
    words = ["pack", str(folder), "--out", str(out), "--encoding", "raw", *more]
    return [sys.executable, "-c", PROGRAM, *words]


@pytest.mark.slow
def test_killed_processes_go_on_to_the_same_bytes(
    folder: Path, expected: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "x.arrow"
    rng = random.Random(1)
    for least in (2000, 6000):
        process = subprocess.Popen(command(folder, out), stderr=subprocess.PIPE)
        while process.poll() is None and not any(
            file.stat().st_size >= least for file in tmp_path.glob("*.partial")
        ):
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.002))
        process.kill()
        process.communicate()
    if not out.exists():
        subprocess.run(command(folder, out, "--workers", "2"), check=True, capture_output=True)
    assert out.read_bytes() == expected
    assert files(out) == ["x.arrow"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_exits_with_75(number: signal.Signals, tmp_path: Path) -> None:
    root = photo_folder(tmp_path / "many", {"cat": 40, "dog": 40})
    out = tmp_path / "out" / "x.arrow"
    out.parent.mkdir()
    python, option, _, *words = command(root, out)
    process = subprocess.Popen(
        [python, option, WAITING, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not [
        file for file in out.parent.glob("*.partial") if file.stat().st_size > 3000
    ]:
        time.sleep(0.001)
    process.send_signal(number)
    printed, error = process.communicate()
    assert process.returncode == 75, error
    assert printed == ""
    last = error.splitlines()[-1]
    assert last == (
        f"trickbag pack: stopped; what is written of {out} is kept; the same command goes on there"
    )
    assert not out.exists()
    done = subprocess.run(command(root, out), capture_output=True, text=True, check=True)
    assert "images were written by an earlier call" in done.stdout
    assert files(out) == ["x.arrow"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are of POSIX systems")
def test_a_file_that_cannot_grow_is_kept_and_goes_on(
    folder: Path, expected: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "x.arrow"
    limited = [
        *("bash", "-c", 'ulimit -f 8; trap "" XFSZ; exec "$@"', "bash"),
        *command(folder, out),
    ]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"trickbag pack: cannot write {out}: ")
    assert last.endswith("what is written of it is kept; the same command goes on there")
    assert files(out) == [partial_of(out).name]
    assert packed(folder, out).continued > 0
    assert out.read_bytes() == expected
