"""Runs with a teacher: stopped, resumed, studied."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.builders.recipes import train_arguments
from tests.builders.runs import assert_same_run
from tests.builders.teachers import teacher_file
from tests.train.teachers.batches import recipe
from tests.train.test_fit import SignalAt
from trickbag.data.decoding.cache import cache_folder
from trickbag.data.teacher_logits import TeacherLogits
from trickbag.errors import RunFailed, Stopped, UserError
from trickbag.recipe import Recipe
from trickbag.study.designs.design import LeaveOneOut
from trickbag.study.study import Study
from trickbag.train.fit import fit
from trickbag.train.folder.log import PlainLog, RunLog
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.trick import View


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    return teacher_file(tmp_path / "teacher.safetensors")


@pytest.mark.parametrize("view", ["online", "replay"])
def test_stopped_and_resumed_is_the_run_that_was_never_stopped(
    pictures: Path, teacher: Path, tmp_path: Path, view: View
) -> None:
    made = recipe(pictures, Distillation(teacher=(str(teacher),), view=view, views=2), Mixup())
    made = made.set("training.epochs", "3")
    fit(made, out=tmp_path / "whole")
    with pytest.raises(Stopped):
        fit(made, out=tmp_path / "run", log=SignalAt(6, signal.SIGTERM))
    fit(made, out=tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    stored = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert str(teacher) not in json.dumps(
        {"resolved": stored["resolved"], "trial": stored["trial"]}
    )
    teacher_file(teacher, seed=1)
    with pytest.raises(UserError, match="holds another trial; these differ: teachers"):
        fit(made, out=tmp_path / "run", resume=True)


def test_stopped_before_the_teacher_has_said_all(
    pictures: Path, teacher: Path, tmp_path: Path
) -> None:
    class Early(RunLog):
        def teacher_logits(self, done: int, total: int) -> None:
            signal.raise_signal(signal.SIGTERM)

    made = recipe(
        pictures,
        Distillation(teacher=(str(teacher),), view="centre", cache=str(tmp_path / "a.arrow")),
    )
    with pytest.raises(Stopped, match="before the first step"):
        fit(made, out=tmp_path / "run", log=Early())
    assert not (tmp_path / "a.arrow").exists()
    # The teacher can take hours: that the run began is known before.
    assert (
        Recipe.from_dict(json.loads((tmp_path / "run" / "recipe.json").read_text())).tricks
        == made.tricks
    )
    fit(made, out=tmp_path / "run", resume=True)
    fit(made, out=tmp_path / "whole")
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.slow
def test_killed_while_the_teacher_is_asked(pictures: Path, teacher: Path, tmp_path: Path) -> None:
    file = tmp_path / "answers.arrow"
    trick = f"distillation:teacher={teacher},view=replay,views=200,cache={file}"

    def command(out: str) -> list[str]:
        given = train_arguments(pictures, tmp_path / out, epochs=1)
        return [sys.executable, "-m", "trickbag", *given, "--with", trick, "--resume"]

    process = subprocess.Popen(command("run"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob(".teacher_logits.arrow.*.tmp")):
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not file.exists()
    for out in ("run", "whole"):
        subprocess.run(command(out), check=True, capture_output=True)
    assert [path.name for path in tmp_path.glob(".teacher_logits*")] == [
        ".teacher_logits.arrow.lock"
    ]
    assert TeacherLogits.open(file).views == 200
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("workers", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_answers_damaged_while_the_run_was_stopped(
    pictures: Path, teacher: Path, tmp_path: Path, workers: str
) -> None:
    file = tmp_path / "a.arrow"
    made = recipe(pictures, Distillation(teacher=(str(teacher),), view="centre", cache=str(file)))
    made = made.set("data.workers", workers)
    made = made.set("training.epochs", "1")
    with pytest.raises(Stopped):
        fit(made, out=tmp_path / "run", log=SignalAt(2, signal.SIGTERM))
    data = bytearray(file.read_bytes())
    data[len(data) // 4 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 4)
    file.write_bytes(data)
    with pytest.raises((RunFailed, UserError), match=r"a\.arrow.* damaged") as raised:
        fit(made, out=tmp_path / "run", resume=True)
    assert "Traceback" not in str(raised.value)
    file.unlink()
    fit(made, out=tmp_path / "run", resume=True)
    fit(made, out=tmp_path / "whole")
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_study_pairs_runs_with_and_without_the_teacher(
    pictures: Path, teacher: Path, tmp_path: Path
) -> None:
    teacher_file(teacher, seed=7)  # a teacher that no other test asks
    before = set((cache_folder() / "teachers").glob("*.arrow"))
    made = recipe(pictures, Distillation(teacher=(str(teacher),), view="centre"), Mixup()).set(
        "training.epochs", "1"
    )
    found = Study(recipe=made, design=LeaveOneOut(tricks=("distillation", "mixup")), seeds=2).run(
        out=tmp_path / "s"
    )
    assert [(effect.label, effect.pairs) for effect in found] == [("distillation", 2), ("mixup", 2)]
    assert not [row["error"] for row in found.results if row["error"]]
    # One file of answers for all trials: neither the seed nor another trick changes what the centre
    # is.
    assert len(set((cache_folder() / "teachers").glob("*.arrow")) - before) == 1


def test_the_log_counts_answers(capsys: pytest.CaptureFixture[str]) -> None:
    log = PlainLog(every_s=-1)
    for done in (0, 5):
        log.teacher_logits(done, 5)
    assert capsys.readouterr().out.splitlines()[-1] == "asked the teacher about 5 of 5 images"
