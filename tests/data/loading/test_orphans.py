"""Worker processes whose parent is killed: real processes, at moments from their start on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.images import photo_folder
from tests.builders.marks import long
from tests.builders.recipes import study_arguments, train_arguments

PROCESSES = ("--set", "data.worker_kind=processes")

END_S = 20.0
"""How long a worker may need: what it imports when its parent dies takes seconds on a busy core."""


def session(leader: int) -> list[int]:
    """Return the living processes of a session."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, in_session = (
                    (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                )
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
    os.set_blocking(process.stdout.fileno(), False)
    output: bytes | None = b"?"
    last_s = time.monotonic() + END_S
    while time.monotonic() < last_s:
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


def wait_for_an_epoch(process: subprocess.Popen[bytes], out: Path) -> None:
    """Wait until a run has trained an epoch: its workers are there, and work."""
    metrics = out / "metrics.jsonl"
    # The file is there, and empty, before the first epoch.
    while not metrics.exists() or not metrics.stat().st_size:
        assert process.poll() is None
        time.sleep(0.005)


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
@pytest.mark.parametrize("later_s", [0.0, 2.0, *map(long, (0.02, 0.1, 0.3, 1.0, 4.0))])
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
def test_a_stop_is_looked_at_while_workers_are_waited_for(tmp_path: Path) -> None:
    source, out = photo_folder(tmp_path / "set", {"a": 16, "b": 16}), tmp_path / "run"
    arguments = [*train_arguments(source, out, epochs=6), "--set", "data.workers=1", *PROCESSES]
    with start(["-m", "trickbag", *arguments]) as process:
        wait_for_an_epoch(process, out)
        # From here on no worker sends anything.
        for pid in workers(process.pid):
            os.kill(pid, signal.SIGSTOP)
        process.terminate()
        assert process.wait(timeout=60) == 75
        assert_no_orphans(process)
    resumed = [sys.executable, "-m", "trickbag", *arguments, "--resume"]
    subprocess.run(resumed, check=True, capture_output=True, timeout=300)
    reference = [*train_arguments(source, tmp_path / "reference", epochs=6)]
    subprocess.run([sys.executable, "-m", "trickbag", *reference], check=True, timeout=300)
    name = "best.safetensors"
    assert (out / name).read_bytes() == (tmp_path / "reference" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [train_arguments, study_arguments])
@pytest.mark.parametrize("later_s", [0.0, 3.0, *map(long, (0.5, 9.0))])
def test_no_worker_outlives_a_killed_command(
    tmp_path: Path, arguments: Callable[..., list[str]], later_s: float
) -> None:
    source = photo_folder(tmp_path / "set", {"a": 16, "b": 16})
    command = arguments(source, tmp_path / "out", epochs=500)
    # The workers of a study have such workers in their turn.
    with start(["-m", "trickbag", *command, "--set", "data.workers=2", *PROCESSES]) as process:
        while not workers(process.pid):
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(later_s)
        process.kill()
        process.wait()
        assert_no_orphans(process)


@pytest.mark.slow
def test_a_killed_worker_ends_the_command_in_a_line(tmp_path: Path) -> None:
    source, out = photo_folder(tmp_path / "set", {"a": 16, "b": 16}), tmp_path / "run"
    arguments = [*train_arguments(source, out, epochs=500), "--set", "data.workers=2", *PROCESSES]
    with start(["-m", "trickbag", *arguments]) as process:
        wait_for_an_epoch(process, out)
        os.kill(workers(process.pid)[-1], signal.SIGKILL)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    last = output.decode().splitlines()[-1]
    assert "a data worker process died (SIGKILL)" in last
    assert "data.workers" in last
    assert b"Traceback" not in output
