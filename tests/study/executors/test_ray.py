"""What only the executor of Ray must do; test_executors.py has what every executor must do."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.study.executors import executor_tasks as tasks
from tests.study.executors.executor_tasks import pid_of, trials, wait_for_end
from tests.study.executors.runs import HAS_RAY, RAY, by_trial, when
from trickbag.errors import Stopped, UserError
from trickbag.study.executors.ray import Ray

needs_ray = pytest.mark.skipif(not HAS_RAY, reason="ray is not installed")


@pytest.mark.skipif(HAS_RAY, reason="ray is installed")
def test_ray_is_not_installed() -> None:
    with pytest.raises(
        UserError, match=r"^the ray executor needs ray: pip install trickbag\[ray\]$"
    ):
        list(Ray().run(tasks.Report(), trials(1)))
    with pytest.raises(UserError, match="needs ray"):
        _ = Ray().machine


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workers": 0}, "workers = 0"),
        ({"cpus": 0}, "cpus = 0: must be above 0"),
        ({"gpus": -1}, "gpus = -1"),
        ({"retries": -1}, "retries = -1"),
    ],
)
def test_wrong_settings(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Ray(**wrong)  # type: ignore[arg-type]


@needs_ray
@pytest.mark.parametrize(
    "address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "http://127.0.0.1:{port}", "a:b", ""]
)
def test_an_address_where_nothing_listens(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = address.format(port=server.getsockname()[1])
    with pytest.raises(UserError) as error:
        list(Ray(address=address).run(tasks.Report(), trials(1)))
    assert f"address = {address!r}" in str(error.value)
    assert "\n" not in str(error.value)


@needs_ray
def test_no_cluster_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(
        UserError,
        match=r"address = 'auto': cannot join a Ray cluster there .*; start one with `ray start "
        r"--head`",
    ):
        _ = Ray(address="auto").machine


@needs_ray
@pytest.mark.slow
@pytest.mark.long
def test_an_address_where_something_else_listens() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(UserError, match=r"cannot join a Ray cluster there \(no answer within 30 s"),
    ):
        list(Ray(address=f"127.0.0.1:{server.getsockname()[1]}").run(tasks.Report(), trials(1)))


@needs_ray
def test_a_trial_that_asks_for_more_than_this_machine_has() -> None:
    with pytest.raises(UserError, match="fewer than the 4096 cores and 9 GPUs"):
        list(Ray(cpus=4096, gpus=9).run(tasks.Report(), trials(1)))


@pytest.fixture
def cluster() -> Iterator[dict[str, str]]:
    """The environment that leads to a cluster of two cores, which another program has started."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    environment = {
        **tasks.program_environment(),
        "RAY_ADDRESS": f"127.0.0.1:{port}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    ray = str(Path(sys.executable).with_name("ray"))
    with tempfile.TemporaryDirectory(
        prefix="ray"
    ) as folder:  # not pytest's: the names of sockets must be short
        options = [
            f"--port={port}",
            f"--temp-dir={folder}",
            "--num-cpus=2",
            "--include-dashboard=false",
        ]
        process = subprocess.Popen(
            [ray, "start", "--head", "--block", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in environment.items() if name != "RAY_ADDRESS"},
        )
        try:
            yield environment
        finally:
            process.terminate()
            process.wait()


ON_A_CLUSTER = """
import os, signal, sys, time
from pathlib import Path
import ray
from tests.study.executors.executor_tasks import Fit, Report, trials
from tests.study.executors.runs import by_trial, until_stopped, when
from trickbag.errors import UserError
from trickbag.study.executors.ray import Ray

folder = Path(sys.argv[1])
for _ in range(60):
    try:
        executor = Ray(address=os.environ["RAY_ADDRESS"])
        assert executor.machine == (2, 1, "cpu", False, 1), executor.machine
        break
    except UserError as error:
        print(error, file=sys.stderr)
        time.sleep(1)
result_of = by_trial(list(executor.run(Report(), trials(3))))
assert {result.error for result in result_of.values()} == {None}, result_of
assert not ray.is_initialized()
thread = when(folder / "t1.pid", lambda: os.kill(os.getpid(), signal.SIGINT))
results, stopped = until_stopped(Ray(address="auto").run(Fit(folder), trials(5)))
thread.join()
assert results == [], results
print(stopped)
"""

UNDER_A_TERMINAL = """
import sys
from pathlib import Path
from tests.study.executors.executor_tasks import Fit, trials
from trickbag.errors import Stopped
from trickbag.study.executors.ray import Ray
try:
    list(Ray().run(Fit(Path(sys.argv[1])), trials(1)))
except Stopped as error:
    print(error)
    sys.exit(error.exit_code)
"""


def program(folder: Path, text: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start a program in a session of its own."""
    script = folder / "program.py"
    script.write_text(text)
    return subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment,
    )


class TestWithRay:
    pytestmark = RAY

    def test_one_is_started_and_ended(self) -> None:
        ray = pytest.importorskip("ray")

        handler = signal.getsignal(signal.SIGTERM)
        result_of = by_trial(list(Ray().run(tasks.Report(), trials(3))))
        assert {result.error for result in result_of.values()} == {None}
        assert len(result_of) == 3
        assert not ray.is_initialized()
        assert signal.getsignal(signal.SIGTERM) is handler
        for result in result_of.values():
            wait_for_end(int(result.metrics["pid"] or 0))

    def test_a_trial_whose_worker_is_killed_is_run_again(self, tmp_path: Path) -> None:
        result_of = by_trial(list(Ray(retries=2).run(tasks.Die(tmp_path, "t1", 2), trials(3))))
        assert {name: result.error for name, result in result_of.items()} == dict.fromkeys(
            ["t0", "t1", "t2"]
        )
        assert {name: result.metrics["runs"] for name, result in result_of.items()} == {
            "t0": 1,
            "t1": 3,
            "t2": 1,
        }

    def test_a_trial_that_keeps_killing_its_worker_is_given_up(self, tmp_path: Path) -> None:
        result_of = by_trial(list(Ray(retries=1).run(tasks.Die(tmp_path, "t0", 9), trials(2))))
        assert result_of["t0"].error == "the worker process died 2 times (WorkerCrashedError)"
        assert result_of["t1"].error is None

    def test_a_task_that_cannot_be_read(self) -> None:
        results = list(Ray().run(tasks.Unreadable(), trials(1)))
        assert "the module of the trick is not here" in (results[0].error or "")

    def test_trials_that_do_not_stop_are_killed(self, tmp_path: Path) -> None:
        thread = when(tmp_path / "t0.pid", lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped, match=r"^stopped by SIGTERM; 1 trial was killed in mid-run$"):
            list(Ray(cpus=1, grace_s=0.5).run(tasks.Ignore(tmp_path), trials(1)))
        thread.join()
        wait_for_end(pid_of(tmp_path, "t0"))

    def test_a_caller_that_leaves_early_ends_what_runs(self, tmp_path: Path) -> None:
        (tmp_path / "t0.go").touch()
        run = Ray().run(tasks.Fit(tmp_path), trials(2))
        assert next(run).trial == "t0"
        pid = pid_of(tmp_path, "t1")
        run.close()  # type: ignore[attr-defined]
        wait_for_end(pid)

    def test_a_cluster_of_another_program(self, cluster: dict[str, str], tmp_path: Path) -> None:
        process = program(tmp_path, ON_A_CLUSTER, cluster)
        out, err = process.communicate(timeout=3 * tasks.TIMEOUT_S)
        assert (process.returncode, out) == (
            0,
            "stopped by SIGINT; 2 trials were saved in mid-run\n",
        ), err
        assert sorted(path.stem for path in tmp_path.glob("*.saved")) == ["t0", "t1"]

    def test_ctrl_c_in_a_terminal(self, tmp_path: Path) -> None:
        process = program(tmp_path, UNDER_A_TERMINAL, tasks.program_environment())
        pid = pid_of(tmp_path, "t0")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=tasks.TIMEOUT_S)
        assert (process.returncode, out) == (
            75,
            "stopped by SIGINT; 1 trial was saved in mid-run\n",
        ), err
        wait_for_end(pid)
