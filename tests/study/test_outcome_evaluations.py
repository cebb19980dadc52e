"""Outcomes that the runs lack: which trials are evaluated, from which weights, and what is kept."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import trickbag as tb
from tests.builders.recipes import study_recipe
from trickbag.errors import Note, UserError
from trickbag.evaluate.extra import EXTRA, ExtraSettings
from trickbag.report import read_study
from trickbag.study.executors import Machine, Task
from trickbag.study.folder import StudyFolder
from trickbag.study.kept_weights import has_weights
from trickbag.study.log import StudyLog
from trickbag.study.merge import merge
from trickbag.study.outcome_evaluations import with_differences
from trickbag.study.records.result import Evaluations, StoredResult, TrialEvaluation
from trickbag.study.study import Study
from trickbag.study.trial import Trial
from trickbag.train.folder.log import RunLog
from trickbag.train.folder.result import Result

ERROR, CONSISTENCY = "mean_corruption_error", "shift_consistency"
FEW, MORE = ExtraSettings(limit=5), ExtraSettings(limit=9)


def stored(trial: str = "0a", *, settings: ExtraSettings | None = None, **metrics: Any) -> Any:
    """A finished trial's result, evaluated with these settings if any are given."""
    evaluation = (
        {"robustness": TrialEvaluation(settings=settings, images=5, seconds=1.5)}
        if settings is not None
        else {}
    )
    return StoredResult(
        trial=trial, label="full", seed=0, model="resnet18", metrics=metrics, evaluations=evaluation
    )


TRAINED = {"top1": 90.0}
EVALUATED = {"top1": 89.0, ERROR: 40.0, "mce": None, "relative_mce": None}


@pytest.mark.parametrize(
    ("lines", "wanted", "lacking", "metrics"),
    [
        ([stored(**TRAINED)], {}, [], TRAINED),
        ([stored(**TRAINED)], {"robustness": FEW}, ["robustness"], TRAINED),
        ([stored(settings=FEW, **EVALUATED)], {"robustness": FEW}, [], EVALUATED),
        ([stored(settings=FEW, **EVALUATED)], {}, [], EVALUATED),
        # Of other images it is another number.
        ([stored(settings=FEW, **EVALUATED)], {"robustness": MORE}, ["robustness"], {"top1": 89.0}),
        # What was trained stays, what was evaluated later is added.
        (
            [stored(**TRAINED), stored(settings=FEW, **EVALUATED)],
            {"robustness": FEW},
            [],
            EVALUATED | TRAINED,
        ),
        (
            [stored(settings=FEW, **EVALUATED), stored(settings=MORE, **EVALUATED | {ERROR: 41.0})],
            {"robustness": MORE},
            [],
            EVALUATED | {ERROR: 41.0},
        ),
        (
            [stored(settings=FEW, **EVALUATED), stored(**TRAINED)],
            {"robustness": FEW},
            [],
            EVALUATED,
        ),
    ],
)
def test_results_of_a_trial_are_joined(
    lines: list[StoredResult],
    wanted: Evaluations,
    lacking: list[str],
    metrics: dict[str, float | None],
) -> None:
    joined = lines[0]
    for line in lines[1:]:
        joined = joined.joined(line)
    assert joined.lacking(wanted) == lacking
    assert joined.metrics_of(wanted) == metrics
    again = StoredResult.from_dict(json.loads(json.dumps(joined.to_dict())))
    assert again == joined


def test_a_line_of_before_is_read_and_written_as_it_was() -> None:
    line = stored(**TRAINED).to_dict()
    assert "evaluations" not in line
    assert StoredResult.from_dict(line).evaluations == {}


def test_numbers_that_another_training_gives_are_named() -> None:
    before = stored(top1=90.0, loss=0.5)
    assert with_differences(stored(top1=90.0, loss=0.5), before).notes == []
    (note,) = with_differences(stored(top1=91.5, loss=0.5), before).notes
    assert "top1 91.5, not 90" in Note.from_dict(note).text


@dataclasses.dataclass
class EvaluatingExecutor:
    """Leaves what a trial leaves, without training; fails for the trials of `broken` labels."""

    folder: Path
    limit: int = 10**6
    broken: tuple[str, ...] = ()
    machine: Machine = Machine(workers=1, threads=1)
    trained: list[str] = dataclasses.field(default_factory=list)
    evaluated: list[str] = dataclasses.field(default_factory=list)

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        evaluations: Evaluations = task.evaluations  # type: ignore[attr-defined]
        for place, trial in enumerate(trials):
            if place == self.limit:
                raise KeyboardInterrupt
            out = self.folder / "trials" / trial.id
            if not has_weights(out):
                self.trained.append(trial.label)
                out.mkdir(parents=True, exist_ok=True)
                for name in ("best.safetensors", "result.json", "recipe.json"):
                    (out / name).write_text("{}")
            if evaluations and trial.label in self.broken:
                ended = {"trial": trial.id, "label": trial.label, "seed": trial.seed}
                yield Result(**ended, metrics={}, error="broken")
                continue
            metrics: dict[str, float | int | None] = {"top1": 90.0 + trial.seed}
            done = {}
            for name, settings in evaluations.items():
                self.evaluated.append(trial.label)
                (out / "evaluations").mkdir(exist_ok=True)
                (out / "evaluations" / f"{name}.json").write_text("{}")
                metrics |= dict.fromkeys(EXTRA[name].metrics, 20.0 + trial.seed)
                done[name] = TrialEvaluation(settings=settings, images=3, seconds=1.0)
            result = Result(trial=trial.id, label=trial.label, seed=trial.seed, metrics=metrics)
            values = {"evaluations": done, **vars(StoredResult.of(result, trial))}
            yield StoredResult(**{**values, "evaluations": done})


class Notes(StudyLog):
    """A log that keeps its notes."""

    def __init__(self) -> None:
        super().__init__(RunLog())
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def study(pictures: Path) -> Study:
    return Study(recipe=study_recipe(pictures), design=tb.LeaveOneOut(tricks=("mixup",)), seeds=2)


def run(
    study: Study, folder: Path, *, add_seeds: int = 0, **settings: Any
) -> tuple[EvaluatingExecutor, str]:
    executor, log = EvaluatingExecutor(folder, **settings), Notes()
    study.run(executor, folder, log=log, add_seeds=add_seeds)
    return executor, "\n".join(log.texts)


def pairs(folder: Path) -> list[int]:
    return [effect["pairs"] for effect in json.loads((folder / "effects.json").read_text())]


def test_each_trial_is_evaluated_before_its_weights_go(study: Study, tmp_path: Path) -> None:
    measured = dataclasses.replace(study, outcome=ERROR, outcome_images=5, keep_weights="none")
    executor, _ = run(measured, tmp_path)
    assert executor.trained == executor.evaluated == ["full", "-mixup"] * 2
    assert not list(tmp_path.glob("trials/*/*.safetensors"))
    record = json.loads((tmp_path / "study.json").read_text())
    assert record["evaluations"] == {"robustness": {"limit": 5, "seed": 0, "directory": None}}
    assert any(
        "mean_corruption_error: errors on corrupted images, on 5 of 12 validation images" in note
        for note in record["notes"]
    )
    assert pairs(tmp_path) == [2]
    # Nothing is left to do, and the number of images is as before.
    again, notes = run(dataclasses.replace(measured, outcome_images=None), tmp_path)
    assert (again.trained, again.evaluated, notes) == ([], [], "")


def test_a_finished_study_is_evaluated_from_weights_or_trained_anew(
    study: Study, tmp_path: Path
) -> None:
    run(study, tmp_path)  # keeps the weights of full
    lines = (tmp_path / "results.jsonl").read_text()
    measured = dataclasses.replace(study, outcome=ERROR, outcome_images=5)
    # Until it is measured, it is missing, whatever the report is of.
    with pytest.raises(KeyboardInterrupt):
        run(measured, tmp_path, limit=1)
    reported = read_study(tmp_path)
    assert reported.counts == {"finished": 1, "open": 3}
    executor, notes = run(measured, tmp_path)
    assert (executor.trained, executor.evaluated) == (["-mixup"] * 2, ["-mixup", "full", "-mixup"])
    assert "1 finished trial is evaluated (robustness) from the weights" in notes
    assert "2 finished trials are trained anew, to be evaluated (robustness)" in notes
    assert (tmp_path / "results.jsonl").read_text().startswith(lines)
    assert pairs(tmp_path) == [2]
    assert read_study(tmp_path).counts == {"finished": 4}
    # The weights of full stay, the others go again.
    assert len(list(tmp_path.glob("trials/*/best.safetensors"))) == 2
    # The old outcome is there as before, and no trial runs.
    back, _ = run(study, tmp_path)
    assert (back.trained, back.evaluated) == ([], [])
    # Of more images each trial is evaluated again.
    more, _ = run(dataclasses.replace(measured, outcome_images=9), tmp_path)
    assert len(more.evaluated) == 4
    assert json.loads((tmp_path / "study.json").read_text())["evaluations"]["robustness"] == {
        "limit": 9,
        "seed": 0,
        "directory": None,
    }


def test_weights_that_were_kept_before_stay(study: Study, tmp_path: Path) -> None:
    run(dataclasses.replace(study, keep_weights="all"), tmp_path)
    run(dataclasses.replace(study, keep_weights="none", outcome=CONSISTENCY), tmp_path)
    assert len(list(tmp_path.glob("trials/*/best.safetensors"))) == 4


def test_seeds_are_added_and_old_trials_evaluated(study: Study, tmp_path: Path) -> None:
    run(dataclasses.replace(study, keep_weights="all"), tmp_path)
    measured = dataclasses.replace(study, outcome="top1", beside=(CONSISTENCY,))
    executor, notes = run(measured, tmp_path, add_seeds=1)
    assert executor.trained == ["full", "-mixup"]
    assert len(executor.evaluated) == 6
    assert "no seeds are added" not in notes
    assert pairs(tmp_path) == [3]
    # What was measured beside is an outcome at once.
    again, _ = run(dataclasses.replace(study, outcome=CONSISTENCY), tmp_path)
    assert (again.trained, again.evaluated) == ([], [])


def test_a_trial_whose_evaluation_fails_is_missing_and_tried_again(
    study: Study, tmp_path: Path
) -> None:
    run(dataclasses.replace(study, keep_weights="all"), tmp_path)
    measured = dataclasses.replace(study, outcome=ERROR, retries=1)
    executor = EvaluatingExecutor(tmp_path, broken=("-mixup",))
    findings = measured.run(executor, tmp_path, log=StudyLog())
    assert findings.missing == ["mixup"]
    rows = {(row["label"], row["seed"]): row for row in findings.results}
    assert rows["-mixup", 1]["error"] == "broken"
    assert rows["-mixup", 1]["top1"] == 91.0
    assert read_study(tmp_path).counts == {"finished": 2, "failed": 2}
    executor, _ = run(measured, tmp_path)
    assert (executor.trained, executor.evaluated) == ([], ["-mixup"] * 2)
    assert pairs(tmp_path) == [2]


def test_shards_bring_their_evaluations_along(study: Study, tmp_path: Path) -> None:
    for part in (1, 2):
        shard = dataclasses.replace(study, shard=(part, 2), outcome=ERROR)
        run(shard, tmp_path / str(part))
    findings = merge([tmp_path / "1", tmp_path / "2"], tmp_path / "all")
    assert findings.missing == []
    assert len(list(tmp_path.glob("all/trials/*/evaluations/robustness.json"))) == 4
    assert read_study(tmp_path / "all").counts == {"finished": 4}


def test_a_study_of_before_is_read(study: Study, tmp_path: Path) -> None:
    run(study, tmp_path)
    file = tmp_path / "study.json"
    data = json.loads(file.read_text())
    file.write_text(
        json.dumps({k: v for k, v in data.items() if k not in ("beside", "evaluations")})
    )
    record = StudyFolder(tmp_path).read_study()
    assert record is not None
    assert (record.beside, record.evaluations, record.wanted_evaluations) == ((), {}, {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"outcome": "mcee"}, "no outcome is called 'mcee'; choose from .*mean_corruption_error"),
        ({"outcome": ERROR, "beside": (ERROR,)}, f"outcome '{ERROR}' is named twice"),
        ({"beside": ("top6",)}, "no outcome is called 'top6'"),
        ({"outcome": f"test_{ERROR}"}, "no outcome is called"),
        ({"outcome_images": 5}, "outcome_images is for the outcomes .*mce.*, not top1"),
        ({"localization": "x", "outcome": ERROR}, "localization is for the outcomes .*max_box_acc"),
        ({"outcome": ERROR, "outcome_images": 0}, "limit = 0: must be"),
    ],
)
def test_outcomes_that_cannot_be(study: Study, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(study, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"outcome": "max_box_acc"}, "'max_box_acc' is measured on images with boxes; name their"),
        ({"outcome": "max_box_acc", "localization": "nowhere"}, "nowhere: no such folder"),
        ({"outcome": "mce"}, "outcome 'mce' is not defined for 3 classes"),
        ({"beside": ("mfr",)}, "outcome 'mfr' is not defined for 3 classes"),
    ],
)
def test_outcomes_that_need_what_is_not_there(
    study: Study, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(study, **settings).prepare(StudyFolder(tmp_path), tb.Inline())
