"""The disk that a study is said to take, against what a study leaves."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

import trickbag as tb
from tests.builders.recipes import study_arguments, study_recipe
from trickbag.cli import main
from trickbag.data.dataset import Dataset
from trickbag.recipe import Recipe
from trickbag.study.disk import DiskUse, disk_use
from trickbag.study.dry_run import disk_lines, disk_warning, size_text
from trickbag.study.executors import Machine, Task
from trickbag.study.folder import StudyFolder
from trickbag.study.kept_weights import KeepWeights
from trickbag.study.log import StudyLog
from trickbag.study.study import Study
from trickbag.study.trial import Trial
from trickbag.train.disk import RunBytes
from trickbag.train.folder.result import Result
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.trick import TeacherSpec

FACTOR, FACTOR_OF_RESULTS = 1.3, 2.0
"""How far a forecast may be from what is there, up and down: in all, and without weights."""


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@dataclasses.dataclass
class WeighingExecutor:
    """Runs trials in this process, and keeps the most bytes that the folder has meanwhile."""

    folder: Path
    most: int = 0
    machine: Machine = Machine(workers=1, threads=1)

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        for trial in trials:
            result = task(trial)
            self.most = max(self.most, folder_bytes(self.folder))
            yield result


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keep", "settings"),
    [
        ("none", {}),
        ("full", {}),
        ("all", {}),
        ("all", {"training.optimizer": "adamw", "training.epochs": "3"}),
    ],
)
def test_a_study_leaves_what_was_forecast(
    pictures: Path, tmp_path: Path, keep: KeepWeights, settings: dict[str, str]
) -> None:
    recipe = study_recipe(pictures, **{"model.width_factor": "0.25"} | settings)
    study = Study(
        recipe=recipe, design=tb.LeaveOneOut(tricks=("mixup",)), seeds=1, keep_weights=keep
    )
    out = tmp_path / "study"
    executor = WeighingExecutor(out)
    prepared = study.prepare(StudyFolder(out), executor, log=StudyLog())
    expected = disk_use(prepared, executor.machine, out)
    study.run(executor, out, log=StudyLog())
    assert main(["report", str(out)]) == 0
    left = folder_bytes(out)
    factor = FACTOR if expected.kept else FACTOR_OF_RESULTS
    assert left / factor < expected.end < left * factor
    assert executor.most < expected.peak
    # A checkpoint lies there twice while it is replaced, which nobody sees between trials, and the
    # last trial to run has weights that may stay.
    assert expected.peak < 2 * executor.most
    done = disk_use(study.prepare(StudyFolder(out), executor), executor.machine, out)
    assert (done.trials, done.peak) == (0, 0)


SPEC = TeacherSpec(teachers=("a", "b"), view="replay")


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of 100 bytes of weights, 1,000 with mixup, and logits of 7 bytes."""

    def run_bytes(recipe: Recipe, dataset: Dataset) -> RunBytes:
        size = 1000 if "mixup" in recipe.trick_names else 100
        return RunBytes(weights=size, checkpoint=2 * size, other=10, teacher_logits={SPEC: 7})

    monkeypatch.setattr("trickbag.train.disk.run_bytes", run_bytes)


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize(
    ("workers", "keep", "shares_memory", "weights", "running"),
    [
        (1, "full", True, 3 * 1000, 5 * 1000),
        (1, "none", True, 0, 5 * 1000),
        (4, "all", False, 3 * 1000 + 3 * 100, 3 * 5 * 1000 + 5 * 100),
        (100, None, False, 3 * 1000, 3 * 5 * 1000 + 3 * 5 * 100),
    ],
)
def test_the_parts_of_a_forecast(
    pictures: Path,
    tmp_path: Path,
    workers: int,
    keep: KeepWeights | None,
    shares_memory: bool,
    weights: int,
    running: int,
) -> None:
    study = Study(
        recipe=study_recipe(pictures),
        design=tb.LeaveOneOut(tricks=("mixup",)),
        seeds=3,
        keep_weights=keep,
    )
    prepared = study.prepare(StudyFolder(tmp_path / "none"), tb.Inline(), log=StudyLog())
    machine = Machine(workers=workers, threads=1, shares_memory=shares_memory)
    use = disk_use(prepared, machine, tmp_path / "none")
    assert (use.weights, use.running) == (weights, running)
    # 60 pictures of 24 by 24 pixels; each seed replays crops of its own.
    assert (use.decoded, use.teacher_logits) == (60 * 24 * 24 * 3 if shares_memory else 0, 3 * 7)
    assert use.peak == use.end + running + use.decoded
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("sizes")
def test_logits_in_a_file_that_is_named_are_there_once(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.study.test_disk.SPEC", TeacherSpec(teachers=("a",), cache="a.arrow"))
    study = Study(recipe=study_recipe(pictures), design=tb.LeaveOneOut(tricks=("mixup",)), seeds=3)
    prepared = study.prepare(StudyFolder(tmp_path / "none"), tb.Inline(), log=StudyLog())
    assert disk_use(prepared, Machine(1, 1), tmp_path).teacher_logits == 7


def test_teacher_logits_of_a_run(pictures: Path) -> None:
    from trickbag.data.dataset import prepare
    from trickbag.train.disk import run_bytes

    recipe = study_recipe(pictures).plus(
        Distillation(teacher=("timm:test_resnet",), view="centre", top=2)
    )
    (size,) = run_bytes(recipe, prepare(recipe.data)).teacher_logits.values()
    # Two classes of each of 48 training images: a logit and a number each, the rest, a checksum.
    assert size == 48 * (2 * (2 + 4) + 4 + 4)


def test_the_lines() -> None:
    use = DiskUse(
        folder=Path("runs/which"),
        trials=16,
        kept=3,
        weights=282_000_000,
        other=400_000,
        running=1_200_000_000,
        decoded=0,
        teacher_logits=2_500_000,
        free=9_900_000_000,
    )
    assert disk_lines(use) == [
        "disk: about 282 MB in the end, at most 1.5 GB while it runs (weights of 3 of 16 trials "
        "282 MB, results 400 KB, trials that run 1.2 GB); 9.9 GB are free at runs/which",
        "disk: about 2.5 MB of teachers' logits, in the user's cache folder unless the recipe "
        "names a file",
    ]
    assert disk_warning(use) is None
    small = dataclasses.replace(use, free=1_000_000_000)
    assert disk_warning(small) == (
        "the disk of runs/which has 1.0 GB free, and the study takes at most 1.5 GB: choose "
        "another --out, --keep-weights none, or fewer --workers"
    )
    assert disk_lines(dataclasses.replace(use, trials=0)) == []


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 KB"),
        (9_960, "10.0 KB"),
        (45_678, "46 KB"),
        (999_999, "1.0 MB"),
        (4_200_000_000, "4.2 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes_are_written(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.usefixtures("sizes")
def test_a_dry_run_warns_of_a_full_disk(
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("trickbag.train.pilot.run_seconds", lambda *_: 1.0)
    command = study_arguments(pictures, tmp_path / "study", "--dry-run", "--workers", "1")
    assert main(command) == 0
    output = capsys.readouterr()
    assert "\ndisk: about " in output.out
    assert output.err == ""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**6, 10**6 - 500, 500))
    assert main(command) == 0
    warning = capsys.readouterr().err
    assert f"the disk of {tmp_path / 'study'} has 500 bytes free" in warning
    assert not (tmp_path / "study").exists()
