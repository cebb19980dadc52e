"""Commands as processes: two in one folder, streams that fail, signals from the first moment on."""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.marks import long
from tests.builders.recipes import study_arguments, train_arguments
from tests.builders.runs import assert_same_run
from tests.builders.studies import effects

pytestmark = pytest.mark.slow

# A shell starts what runs in its background with SIGINT ignored, and so the commands ignore it too.
IGNORED = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
SIGNALS = (signal.SIGTERM, signal.SIGTERM if IGNORED else signal.SIGINT)

EPOCHS = 4
STUDY = ("--tricks", "mixup", "--seeds", "2", "--workers", "2")


def words(arguments: list[str], *more: str) -> list[str]:
    return [sys.executable, "-m", "trickbag", *arguments, *more]


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )


@pytest.fixture(scope="module")
def reference(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "run"
    subprocess.run(words(train_arguments(pictures, out, EPOCHS)), check=True, capture_output=True)
    return out


def test_two_trainings_in_one_folder(pictures: Path, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    processes = [start(words(train_arguments(pictures, out, EPOCHS))) for _ in range(2)]
    errors = [process.communicate()[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 2], errors
    refused = errors[codes.index(2)]
    assert refused.count("\n") == 1
    holder = processes[codes.index(0)].pid
    # Unless it came so late that the other one had finished.
    assert f"process {holder} on " in refused or "already holds a run" in refused
    assert_same_run(out, reference)


def test_resume_beside_the_live_run(pictures: Path, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    live = start(words(train_arguments(pictures, out, EPOCHS)))
    while not (out / "recipe.json").exists() and live.poll() is None:
        time.sleep(0.005)
    live.send_signal(signal.SIGSTOP)  # so that it lives as long as the others need
    try:
        for more in (["--resume"], []):
            arguments = words(train_arguments(pictures, out, EPOCHS), *more)
            second = subprocess.run(arguments, capture_output=True, text=True, check=False)
            assert second.returncode == 2
            assert f"process {live.pid} on " in second.stderr
            assert second.stderr.count("\n") == 1
    finally:
        live.send_signal(signal.SIGCONT)
    assert live.communicate()[1] == ""
    assert_same_run(out, reference)


def close_after_a_line(command: list[str]) -> tuple[int, str]:
    """`COMMAND | head -1`."""
    with start(command) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    return process.returncode, err


def full_disk(command: list[str]) -> tuple[int, str]:
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    return process.returncode, process.stderr


def closed(command: list[str]) -> tuple[int, str]:
    process = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return process.returncode, process.stderr


def lost_terminal(command: list[str]) -> tuple[int, str]:
    """Close the terminal after the first output: the kernel sends SIGHUP, and writing fails."""
    pid, master = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    os.read(master, 1)
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), ""


LOST: dict[str, tuple[Callable[[list[str]], tuple[int, str]], int, str]] = {
    "pipe": (close_after_a_line, 0, "Broken pipe"),
    "full": (full_disk, 1, "No space left on device"),
    "closed": (closed, 0, "it is closed"),
    "terminal": (lost_terminal, 0, ""),
}


@pytest.mark.parametrize("how", [how if how in ("pipe", "full") else long(how) for how in LOST])
def test_a_training_outlives_its_output(
    pictures: Path, reference: Path, tmp_path: Path, how: str
) -> None:
    out = tmp_path / "run"
    run, code, reason = LOST[how]
    ended, err = run(words(train_arguments(pictures, out, EPOCHS)))
    assert ended == code, err
    assert reason in err
    assert err.count("\n") == bool(reason)
    assert_same_run(out, reference)
    assert (out / "report.html").exists()


@pytest.mark.parametrize("how", [how if how == "pipe" else long(how) for how in LOST])
def test_a_study_outlives_its_output(pictures: Path, tmp_path: Path, how: str) -> None:
    out = tmp_path / "study"
    run, code, reason = LOST[how]
    ended, err = run(words(study_arguments(pictures, out, *STUDY)))
    assert ended == code, err
    assert err.count("\n") == bool(reason)
    assert [effect["pairs"] for effect in effects(out)] == [2]
    assert not list(out.glob(".*"))


def test_the_exit_code_is_ours_though_the_interrupt_left_an_exec(tmp_path: Path) -> None:
    # As where a signal comes while a dataclass is defined: CPython would end by SIGINT.
    (tmp_path / "interrupted.py").write_text(
        "from trickbag import cli\n"
        "def interrupted(*_):\n"
        "    exec('raise KeyboardInterrupt')\n"
        "cli._run = interrupted\n"
        "cli.program()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "interrupted"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (75, 1), ended.stderr


def has_handler(pid: int) -> bool:
    """Tell whether a process catches SIGTERM: before that Python itself has hardly started."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return False


@pytest.mark.parametrize("seed", [0, *map(long, (1, 2))])
def test_a_signal_at_any_moment_exits_with_75(
    pictures: Path, reference: Path, tmp_path: Path, seed: int
) -> None:
    out, rng, stops = tmp_path / "run", random.Random(seed), 0
    while True:
        process = start(words(train_arguments(pictures, out, EPOCHS), "--resume"))
        while process.poll() is None and not has_handler(process.pid):
            time.sleep(0.001)
        try:
            _, err = process.communicate(timeout=rng.choice((0.3, 3, 9)) * rng.random())
        except subprocess.TimeoutExpired:
            process.send_signal(SIGNALS[int(2 * rng.random())])
            _, err = process.communicate()
            stops += 1
        finished = (out / "result.json").exists() and (out / "report.html").exists()
        if process.returncode == 0:
            assert finished
            break
        assert process.returncode == 75, err
        assert err.count("\n") == 1, err
        assert "stopped" in err
        if stops == 8:
            subprocess.run(
                words(train_arguments(pictures, out, EPOCHS), "--resume"),
                check=True,
                capture_output=True,
            )
            break
    assert_same_run(out, reference)
    assert json.loads((out / "result.json").read_text())["error"] is None


@pytest.mark.long
def test_a_signal_at_any_moment_of_a_study_exits_with_75(pictures: Path, tmp_path: Path) -> None:
    quiet, out, rng = tmp_path / "quiet", tmp_path / "study", random.Random(0)
    subprocess.run(words(study_arguments(pictures, quiet, *STUDY)), check=True, capture_output=True)
    for stops in range(7):
        process = start(words(study_arguments(pictures, out, *STUDY)))
        while process.poll() is None and not has_handler(process.pid):
            time.sleep(0.001)
        try:
            limit = None if stops == 6 else rng.choice((1, 6, 12)) * rng.random()
            _, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.send_signal(SIGNALS[int(2 * rng.random())])
            _, err = process.communicate()
        assert process.returncode in (0, 75), err
        assert err.count("\n") == (process.returncode == 75), err
        if process.returncode == 0:
            break
    assert effects(out) == effects(quiet)
