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
from trickbag.study.designs.leave_one_out import LeaveOneOut
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
    student = recipe(pictures, Distillation(teacher=(str(teacher),), view=view, views=2), Mixup())
    student = student.set("training.epochs", "3")
    fit(student, out=tmp_path / "whole")
    with pytest.raises(Stopped):
        fit(student, out=tmp_path / "run", log=SignalAt(6, signal.SIGTERM))
    fit(student, out=tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    stored = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert str(teacher) not in json.dumps(
        {"resolved": stored["resolved"], "trial": stored["trial"]}
    )
    teacher_file(teacher, seed=1)
    with pytest.raises(UserError, match="holds another trial; these differ: teachers"):
        fit(student, out=tmp_path / "run", resume=True)


def test_stopped_while_the_teacher_computes(pictures: Path, teacher: Path, tmp_path: Path) -> None:
    class Early(RunLog):
        def teacher_logits(self, done: int, total: int) -> None:
            signal.raise_signal(signal.SIGTERM)

    student = recipe(
        pictures,
        Distillation(teacher=(str(teacher),), view="centre", cache=str(tmp_path / "a.arrow")),
    )
    with pytest.raises(Stopped, match="before the first step"):
        fit(student, out=tmp_path / "run", log=Early())
    assert not (tmp_path / "a.arrow").exists()
    # The teacher can take hours: that the run began is known before.
    assert (
        Recipe.from_dict(json.loads((tmp_path / "run" / "recipe.json").read_text())).tricks
        == student.tricks
    )
    fit(student, out=tmp_path / "run", resume=True)
    fit(student, out=tmp_path / "whole")
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.slow
def test_killed_while_the_teacher_computes(pictures: Path, teacher: Path, tmp_path: Path) -> None:
    file = tmp_path / "logits.arrow"
    trick = f"distillation:teacher={teacher},view=replay,views=200,cache={file}"

    def command(out: str) -> list[str]:
        given = train_arguments(pictures, tmp_path / out, epochs=1)
        return [sys.executable, "-m", "trickbag", *given, "--with", trick, "--resume"]

    process = subprocess.Popen(command("run"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob(".logits.arrow.*.tmp")):
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not file.exists()
    for out in ("run", "whole"):
        subprocess.run(command(out), check=True, capture_output=True)
    assert not list(tmp_path.glob(".logits*"))
    assert TeacherLogits.open(file).views == 200
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("workers", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_logits_damaged_while_the_run_was_stopped(
    pictures: Path, teacher: Path, tmp_path: Path, workers: str
) -> None:
    file = tmp_path / "a.arrow"
    student = recipe(
        pictures, Distillation(teacher=(str(teacher),), view="centre", cache=str(file))
    )
    student = student.set("data.workers", workers)
    student = student.set("training.epochs", "1")
    with pytest.raises(Stopped):
        fit(student, out=tmp_path / "run", log=SignalAt(2, signal.SIGTERM))
    data = bytearray(file.read_bytes())
    data[len(data) // 4 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 4)
    file.write_bytes(data)
    with pytest.raises((RunFailed, UserError), match=r"a\.arrow.* damaged") as raised:
        fit(student, out=tmp_path / "run", resume=True)
    assert "Traceback" not in str(raised.value)
    file.unlink()
    fit(student, out=tmp_path / "run", resume=True)
    fit(student, out=tmp_path / "whole")
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_study_pairs_runs_with_and_without_the_teacher(
    pictures: Path, teacher: Path, tmp_path: Path
) -> None:
    teacher_file(teacher, seed=7)  # a teacher that no other test has
    before = set((cache_folder() / "teachers").glob("*.arrow"))
    student = recipe(pictures, Distillation(teacher=(str(teacher),), view="centre"), Mixup()).set(
        "training.epochs", "1"
    )
    findings = Study(
        recipe=student, design=LeaveOneOut(tricks=("distillation", "mixup")), seeds=2
    ).run(out=tmp_path / "s")
    assert [(effect.label, effect.pairs) for effect in findings] == [
        ("distillation", 2),
        ("mixup", 2),
    ]
    assert not [row["error"] for row in findings.results if row["error"]]
    # One file for all trials: neither the seed nor another trick changes the centre.
    assert len(set((cache_folder() / "teachers").glob("*.arrow")) - before) == 1


def test_the_log_counts_the_teachers_logits(capsys: pytest.CaptureFixture[str]) -> None:
    log = PlainLog(every_s=-1)
    for done in (0, 5):
        log.teacher_logits(done, 5)
    assert capsys.readouterr().out.splitlines()[-1] == "teacher logits of 5 of 5 images"
