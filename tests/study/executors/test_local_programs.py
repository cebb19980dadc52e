"""Programs that run trials in worker processes, and end in every way that programs end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.study.executors import executor_tasks as tasks
from tests.study.executors.executor_tasks import alive, pid_of, wait_for, wait_for_end
from trickbag.errors import RunFailed


class Driver:
    """A program that runs trials in worker processes, in a process group as under a terminal."""

    GUARDED = """
import sys
from pathlib import Path
from tests.study.executors.executor_tasks import Fit, trials
from trickbag.errors import TrickbagError
from trickbag.study.executors.local import Local

def main():
    try:
        for result in Local(workers=2, threads=1).run(Fit(Path(sys.argv[1])), trials(4)):
            print(result.trial, flush=True)
    except TrickbagError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
"""

    def __init__(self, folder: Path, last_lines: str) -> None:
        self.folder = folder
        script = folder / "driver.py"
        script.write_text(self.GUARDED + last_lines)
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=tasks.program_environment(),
        )

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=tasks.TIMEOUT_S)
        return self.process.returncode, out, err


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    program = Driver(tmp_path, '\nif __name__ == "__main__":\n    main()\n')
    yield program
    if program.process.poll() is None:
        program.process.kill()
    program.process.communicate()


def test_workers_end_when_their_parent_is_killed(driver: Driver) -> None:
    pids = [pid_of(driver.folder, name) for name in ("t0", "t1")]
    driver.process.kill()
    for pid in pids:
        wait_for_end(pid)
    assert driver.process.wait() == -signal.SIGKILL
    assert not list(driver.folder.glob("*.saved"))


def test_idle_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    lines = """
if __name__ == "__main__":
    import time
    folder = Path(sys.argv[1])
    (folder / "t0.go").touch()
    (folder / "t1.go").touch()
    run = Local(workers=2, threads=1).run(Fit(folder), trials(2))
    next(run), next(run)
    (folder / "idle").touch()
    time.sleep(600)
"""
    driver = Driver(tmp_path, lines)
    wait_for(tmp_path / "idle")
    pids = {pid_of(tmp_path, name) for name in ("t0", "t1")}
    assert any(alive(pid) for pid in pids)
    driver.process.kill()
    for pid in pids:
        wait_for_end(pid)
    driver.end()


def test_ctrl_c_in_a_terminal_stops_once_and_cleanly(driver: Driver) -> None:
    pids = [pid_of(driver.folder, name) for name in ("t0", "t1")]
    os.killpg(driver.process.pid, signal.SIGINT)
    code, out, err = driver.end()
    assert (code, err) == (75, "")
    assert out == "Stopped: stopped by SIGINT; 2 trials were saved in mid-run\n"
    assert sorted(path.stem for path in driver.folder.glob("*.saved")) == ["t0", "t1"]
    assert not any(alive(pid) for pid in pids)


@pytest.mark.slow
def test_a_second_sigint_ends_the_program_at_once(tmp_path: Path) -> None:
    lines = """
if __name__ == "__main__":
    from tests.study.executors.executor_tasks import Ignore
    Fit = Ignore
    main()
"""
    driver = Driver(tmp_path, lines)
    pids = [pid_of(tmp_path, name) for name in ("t0", "t1")]
    driver.process.send_signal(signal.SIGINT)
    deadline_guard = 0
    while driver.process.poll() is None and deadline_guard < 1000:
        # Two signals at one moment are one signal, so the second is repeated until the program is
        # gone.
        threading.Event().wait(0.1)
        driver.process.send_signal(signal.SIGINT)
        deadline_guard += 1
    code, out, _ = driver.end()
    assert (code, out) in ((130, ""), (-signal.SIGINT, ""))
    for pid in pids:
        wait_for_end(pid)


@pytest.mark.slow
def test_a_program_that_forgets_a_run_still_ends(tmp_path: Path) -> None:
    lines = """
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "t0.go").touch()
    run = Local(workers=2, threads=1).run(Fit(folder), trials(3))
    print(next(run).trial)
    sys.modules["kept"] = run
"""
    code, out, err = Driver(tmp_path, lines).end()
    assert (code, out, err) == (0, "t0\n", "")
    for path in tmp_path.glob("*.pid"):
        assert not alive(int(path.read_text()))


@pytest.mark.slow
def test_a_script_without_a_main_guard_is_told(tmp_path: Path) -> None:
    code, out, err = Driver(tmp_path, "\nmain()\n").end()
    assert code == 2
    assert out.startswith("UserError: a worker process ended while it started (exit code")
    assert "if __name__ == '__main__':" in out
    assert "Traceback" in err, "Python's own message of the worker says the rest"
    assert not list(tmp_path.glob("*.pid"))


def test_workers_that_are_killed_while_they_start(tmp_path: Path) -> None:
    lines = """
import os, signal
if __name__ == "__mp_main__":
    with (Path(sys.argv[1]) / "starts").open("a") as file:
        file.write("x")
    if (Path(sys.argv[1]) / "starts").stat().st_size <= int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    (Path(sys.argv[1]) / "go").touch()
    main()
"""
    script = tmp_path / "driver.py"
    script.write_text(Driver.GUARDED + lines)
    outcomes = []
    for kills in ("2", "99"):
        (tmp_path / "starts").unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path), kills],
            capture_output=True,
            text=True,
            check=False,
            timeout=tasks.TIMEOUT_S,
            env=tasks.program_environment(),
        )
        outcomes.append((done.returncode, done.stdout))
    assert (outcomes[0][0], sorted(outcomes[0][1].split())) == (0, ["t0", "t1", "t2", "t3"])
    assert outcomes[1][0] == RunFailed.exit_code
    assert outcomes[1][1].startswith(
        "RunFailed: worker processes died while they started (SIGKILL)"
    )
