"""Worker processes whose parent is killed: real processes, at moments from their start on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.builders.images import photo_folder
from tests.builders.recipes import train_arguments

END_S = 20.0
"""How long a worker may need: what it imports when its parent dies takes seconds on a busy core."""


def session(leader: int) -> list[int]:
    """Return the living processes of a session."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, in_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(in_session) == leader and state != "Z":
                members.append(int(entry.name))
    return members


def workers(leader: int) -> list[int]:
    """Return the processes of a session that `multiprocessing` has started to work."""
    pids = []
    for pid in session(leader):
        try:
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                pids.append(pid)
        except OSError:
            continue
    return pids


def assert_no_orphans(process: subprocess.Popen[bytes]) -> None:
    """Assert that nothing lives on, and that whoever reads the output sees its end."""
    assert process.stdout is not None
    started = time.monotonic()
    os.set_blocking(process.stdout.fileno(), False)
    output: bytes | None = b"?"
    while time.monotonic() - started < END_S:
        # None while it is open and empty, b"" at its end.
        output = process.stdout.read()
        if output == b"" and not session(process.pid):
            break
        time.sleep(0.05)
    left = session(process.pid)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert (output, left) == (b"", [])


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


LOADING = """
import sys
from trickbag.data.config import DataConfig
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.sources import open_source

data = DataConfig(source=sys.argv[1])
part = open_source(data).parts["train"]
with Loader(part, data, Preprocessing.of(data, 16), train=True, batch_size=2, workers=2) as loader:
    for epoch in range(100_000):
        for _ in loader.epoch(epoch):
            pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("later_s", [0.0, 0.02, 0.1, 0.3, 1.0, 2.0, 4.0])
def test_no_worker_outlives_its_parent(
    tmp_path: Path, later_s: float, signal_number: signal.Signals
) -> None:
    source = photo_folder(tmp_path / "set", {"a": 8, "b": 8})
    with start(["-c", LOADING, str(source)]) as process:
        while not workers(process.pid):
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(later_s)
        process.send_signal(signal_number)
        assert process.wait() == -signal_number
        assert_no_orphans(process)


@pytest.mark.slow
@pytest.mark.parametrize("later_s", [0.0, 0.5, 3.0])
def test_no_worker_outlives_a_killed_training(tmp_path: Path, later_s: float) -> None:
    source = photo_folder(tmp_path / "set", {"a": 8, "b": 8})
    arguments = train_arguments(source, tmp_path / "run", epochs=500)
    with start(["-m", "trickbag", *arguments, "--set", "data.workers=2"]) as process:
        while not workers(process.pid):
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(later_s)
        process.kill()
        process.wait()
        assert_no_orphans(process)
