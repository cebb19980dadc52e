"""Which trials of a study keep their weights, whatever stops it and whoever runs it."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import trickbag as tb
from tests.builders.recipes import study_arguments, study_recipe
from trickbag.cli import main
from trickbag.errors import UserError
from trickbag.models.deleted_weights import DELETED_WEIGHTS, DeletedWeights
from trickbag.study.designs.design import Design
from trickbag.study.executors import Executor, Machine, Task
from trickbag.study.folder import StudyFolder
from trickbag.study.kept_weights import KeepWeights
from trickbag.study.log import StudyLog
from trickbag.study.merge import merge
from trickbag.study.study import Study
from trickbag.study.trial import Trial
from trickbag.train.folder.log import RunLog
from trickbag.train.folder.result import Result

WEIGHTS = ("best.safetensors", "last.safetensors")


@dataclasses.dataclass
class WritingExecutor:
    """Writes what a trial leaves, without training; dies before the trial number `limit`."""

    folder: Path
    limit: int = 10**6
    machine: Machine = Machine(workers=1, threads=1)

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        for place, trial in enumerate(trials):
            if place == self.limit:
                raise KeyboardInterrupt
            out = self.folder / "trials" / trial.id
            out.mkdir(parents=True, exist_ok=True)
            for name in (*WEIGHTS, "last.ckpt", "result.json"):
                (out / name).write_text("x")
            metrics: dict[str, float | int | None] = {"top1": 90.0}
            yield Result(trial=trial.id, label=trial.label, seed=trial.seed, metrics=metrics)


class Notes(StudyLog):
    """A log that keeps its notes on weights."""

    def __init__(self) -> None:
        super().__init__(RunLog())
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        if "weights of trials" in text:
            self.texts.append(text)


@pytest.fixture(scope="module")
def study(pictures: Path) -> Study:
    return Study(
        recipe=study_recipe(pictures),
        # A level that is the recipe's setting is the same run as `full`.
        design=tb.LeaveOneOut(tricks=("mixup",), levels=("mixup.alpha=0.2,1",)),
        seeds=1,
    )


def labels_with(folder: Path, name: str) -> set[str]:
    """The variants of which a trial has a file."""
    lines = (folder / "results.jsonl").read_text().splitlines()
    label_of = {line["trial"]: line["label"] for line in map(json.loads, lines)}
    return {label_of[file.parent.name] for file in folder.glob(f"trials/*/{name}")}


def run(study: Study, folder: Path, limit: int = 10**6) -> list[str]:
    log = Notes()
    study.run(WritingExecutor(folder, limit), folder, log=log)
    return log.texts


EVERY = {"full", "-mixup", "mixup.alpha=1"}


@pytest.mark.parametrize(
    ("design", "keep", "labels"),
    [
        (None, None, {"full"}),
        (None, "full", {"full"}),
        (None, "none", set()),
        (None, "all", EVERY),
        (tb.OneAtATime(tricks=("mixup",)), None, set()),
        (tb.OneAtATime(tricks=("mixup",)), "all", {"bare", "+mixup"}),
        (tb.Cumulative(tricks=("mixup",)), None, set()),
        (tb.Factorial(tricks=("mixup", "warmup")), None, set()),
    ],
)
def test_the_weights_that_stay(
    study: Study,
    tmp_path: Path,
    design: Design | None,
    keep: KeepWeights | None,
    labels: set[str],
) -> None:
    study = dataclasses.replace(study, design=design or study.design, keep_weights=keep)
    assert run(study, tmp_path) == []
    for name in WEIGHTS:
        assert labels_with(tmp_path, name) == labels
    assert labels_with(tmp_path, "last.ckpt") == set()
    every = labels_with(tmp_path, "result.json")
    assert labels_with(tmp_path, DELETED_WEIGHTS) == every - labels
    stored = StudyFolder(tmp_path).read_study()
    assert stored is not None
    assert stored.keep_weights == study.weights_kept


@pytest.mark.parametrize(
    ("first", "then", "kept", "note"),
    [
        ("all", "none", {"full"}, "the weights of trials that finished before stay (1): "),
        ("none", "all", EVERY - {"full"}, "the weights of trials that finished before are"),
        ("none", None, set(), ""),
        ("all", None, EVERY, ""),
        (None, "full", {"full"}, ""),
    ],
)
def test_another_setting_holds_from_then_on(
    study: Study,
    tmp_path: Path,
    first: KeepWeights | None,
    then: KeepWeights | None,
    kept: set[str],
    note: str,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(dataclasses.replace(study, keep_weights=first), tmp_path, limit=1)
    notes = run(dataclasses.replace(study, keep_weights=then), tmp_path)
    assert labels_with(tmp_path, "best.safetensors") == kept
    assert [text.startswith(note) for text in notes] == [True] * bool(note)


def test_what_a_killed_driver_could_not_delete_goes(study: Study, tmp_path: Path) -> None:
    study = dataclasses.replace(study, keep_weights="none")
    run(study, tmp_path)
    for trial in (tmp_path / "trials").iterdir():
        for name in (*WEIGHTS, "last.ckpt"):
            (trial / name).write_text("x")
    assert run(study, tmp_path) == []
    assert not list(tmp_path.glob("trials/*/*.safetensors"))
    assert not list(tmp_path.glob("trials/*/last.ckpt"))


@pytest.mark.parametrize(
    ("first", "second", "labels"),
    [
        ("all", "all", EVERY),
        ("none", "none", set()),
        ("all", "none", {"full", "mixup.alpha=1"}),
        (None, None, {"full"}),
    ],
)
def test_the_weights_that_shards_keep_come_along(
    study: Study,
    tmp_path: Path,
    first: KeepWeights | None,
    second: KeepWeights | None,
    labels: set[str],
) -> None:
    for part, keep in ((1, first), (2, second)):
        shard = dataclasses.replace(study, shard=(part, 2), keep_weights=keep)
        run(shard, tmp_path / str(part))
    merge([tmp_path / "1", tmp_path / "2"], tmp_path / "all")
    for name in WEIGHTS:
        assert labels_with(tmp_path / "all", name) == labels
    assert labels_with(tmp_path / "all", DELETED_WEIGHTS) == EVERY - labels
    stored = StudyFolder(tmp_path / "all").read_study()
    assert stored is not None
    assert stored.keep_weights == ((first or "full") if first == second else None)


def test_a_design_without_the_full_recipe_cannot_keep_its_weights(study: Study) -> None:
    with pytest.raises(UserError, match=r"design cumulative has no variant .*; choose none or all"):
        dataclasses.replace(study, design=tb.Cumulative(), keep_weights="full")
    with pytest.raises(UserError, match=r"keep_weights = 'some': must be one of none, full, all"):
        dataclasses.replace(study, keep_weights="some")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ['{"schema": 2}', "[]", '{"schema": 1, "keep_weights": "none"}'])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / DELETED_WEIGHTS).write_text(text)
    with pytest.raises(UserError, match=DELETED_WEIGHTS):
        DeletedWeights.read(tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "executor",
    [
        tb.Inline(),
        tb.Local(workers=2),
        pytest.param(
            tb.Ray(workers=1),
            marks=pytest.mark.skipif(
                importlib.util.find_spec("ray") is None, reason="ray is not installed"
            ),
        ),
    ],
    ids=["inline", "local", "ray"],
)
def test_every_executor_leaves_the_same(study: Study, tmp_path: Path, executor: Executor) -> None:
    small = dataclasses.replace(study, design=tb.LeaveOneOut(tricks=("mixup",)))
    small.run(executor, tmp_path, log=StudyLog())
    assert labels_with(tmp_path, "best.safetensors") == {"full"}
    assert labels_with(tmp_path, "last.ckpt") == set()
    (deleted,) = tmp_path.glob(f"trials/*/{DELETED_WEIGHTS}")
    # The way out is one: the run trains again, with the numbers that its result has.
    again = tmp_path / "again"
    assert main(["train", str(deleted.parent), "--seed", "0", "--out", str(again)]) == 0
    top1 = [
        json.loads((folder / "result.json").read_text())["metrics"]["top1"]
        for folder in (deleted.parent, again)
    ]
    assert top1[0] == top1[1]


@pytest.mark.slow
def test_the_option(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    more = ("--tricks", "mixup", "--seeds", "1", "--workers", "1", "--keep-weights", "none")
    assert main(study_arguments(pictures, out, *more)) == 0
    assert labels_with(out, "best.safetensors") == set()
