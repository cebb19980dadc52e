"""Trials that several processes train together, by Ray Train: the same run as with `torchrun`."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builders.recipes import train_arguments
from tests.builders.runs import assert_same_run
from tests.builders.studies import study_record
from tests.study.executors.runs import RAY, by_trial, until_stopped, when
from tests.train.processes import end, start
from trickbag.cli import main
from trickbag.errors import UserError
from trickbag.recipe import Recipe, digest
from trickbag.study.executors.ray import Ray
from trickbag.study.extend import require_processes
from trickbag.study.task import TrainTrial
from trickbag.study.trial import Trial
from trickbag.train.folder.caller import COMMAND_LINE, PYTHON, Caller
from trickbag.train.folder.result import Result


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"devices": 0}, "devices = 0: must be at least 1"),
        ({"devices": 2, "gpus": 0.5}, "gpus = 0.5: each of 2 processes .* give 1 or 0"),
    ],
)
def test_wrong_settings(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Ray(**wrong)  # type: ignore[arg-type]


def test_devices_are_for_ray(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--devices", "2"]) == 2
    assert capsys.readouterr().err == "trickbag study: --devices is for --executor ray\n"


@pytest.mark.parametrize(
    ("processes", "before", "caller", "way"),
    [
        (1, 2, COMMAND_LINE, "--executor ray --devices 2, or choose another --out"),
        (4, 1, COMMAND_LINE, "no --devices, or choose another --out"),
        (1, 2, PYTHON, "tb.Ray(devices=2), or choose another out"),
        (4, 1, PYTHON, "devices=1, or choose another out"),
    ],
)
def test_a_study_goes_on_with_as_many_processes(
    processes: int, before: int, caller: Caller, way: str
) -> None:
    record = study_record(processes=before)
    require_processes(before, record, caller)
    with pytest.raises(UserError) as error:
        require_processes(processes, record, caller)
    assert str(error.value).endswith(
        f"trained by {before} processes each, not {processes}: go on with {way}"
    )


@dataclass(frozen=True)
class DyingOnce:
    """Trains; the second process kills itself once there is a checkpoint, the first time."""

    task: TrainTrial

    def __call__(self, trial: Trial) -> Result:
        out = self.task.folder / trial.id
        if os.environ["RANK"] == "1" and not (died := out.with_suffix(".died")).exists():

            def die() -> None:
                while not (out / "last.ckpt").exists():
                    time.sleep(0.002)
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)

            threading.Thread(target=die, daemon=True).start()
        return self.task(trial)


class TestTraining:
    pytestmark = RAY

    @pytest.fixture(scope="class")
    def two_cores(self) -> Iterator[None]:
        ray = pytest.importorskip("ray")
        before = signal.getsignal(signal.SIGTERM)
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
        )
        yield
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)

    @pytest.fixture(scope="class")
    def reference(self, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A run of two processes without Ray."""
        out = tmp_path_factory.mktemp("reference") / "run"
        codes, errors = end(
            start(2, ["-m", "trickbag", *train_arguments(pictures, out), "--seed", "3"])
        )
        assert (codes, errors) == ([0, 0], [])
        return out

    @pytest.fixture
    def trial(self, reference: Path) -> Trial:
        """The trial of the reference."""
        stored = json.loads((reference / "recipe.json").read_text())
        recipe = Recipe.from_dict(stored)
        return Trial(
            id=digest(stored["trial"]), label="small", model="resnet18_d", recipe=recipe, seed=3
        )

    def test_one_that_is_killed_goes_on(
        self, two_cores: None, reference: Path, trial: Trial, tmp_path: Path
    ) -> None:
        executor = Ray(devices=2, gpus=0)
        assert executor.machine == (1, 1, "cpu", False, 2)
        wild = dataclasses.replace(trial.recipe.training, lr=1e30)
        other = dataclasses.replace(
            trial, id="wild", recipe=trial.recipe.without("warmup").replace(training=wild)
        )
        result_of = by_trial(
            list(executor.run(DyingOnce(TrainTrial(folder=tmp_path)), [trial, other]))
        )
        assert (tmp_path / f"{trial.id}.died").exists()
        assert result_of[trial.id].error is None
        assert_same_run(tmp_path / trial.id, reference)
        assert "the loss is not finite at step" in (result_of["wild"].error or "")

    @pytest.mark.long
    def test_one_that_is_stopped_goes_on(
        self, two_cores: None, reference: Path, trial: Trial, tmp_path: Path
    ) -> None:
        executor, task = Ray(devices=2, gpus=0), TrainTrial(folder=tmp_path)
        thread = when(
            tmp_path / trial.id / "last.ckpt", lambda: os.kill(os.getpid(), signal.SIGTERM)
        )
        results, stopped = until_stopped(executor.run(task, [trial]))
        thread.join()
        assert (results, str(stopped)) == ([], "stopped by SIGTERM; 1 trial was saved in mid-run")
        assert not (tmp_path / trial.id / "result.json").exists()
        assert [result.error for result in executor.run(task, [trial])] == [None]
        assert_same_run(tmp_path / trial.id, reference)
