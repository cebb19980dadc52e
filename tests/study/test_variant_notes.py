"""What a study says of its variants before a trial runs."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

import trickbag as tb
from tests.builders.images import digit_folder
from tests.builders.recipes import study_recipe
from trickbag.errors import Note
from trickbag.study.folder import StudyFolder
from trickbag.study.records.result import StoredResult
from trickbag.study.records.study import StudyRecord
from trickbag.tricks.cosine_decay import CosineDecay

NONE = StudyFolder(Path("none"))


@pytest.mark.parametrize("design", [tb.LeaveOneOut(), tb.OneAtATime(), tb.Cumulative()])
def test_settings_that_hide_others_are_named_with_their_variants(
    pictures: Path, design: tb.LeaveOneOut
) -> None:
    # One epoch of warm-up in a run of one epoch.
    recipe = study_recipe(pictures).plus(CosineDecay())
    study = tb.Study(recipe=recipe, design=design, seeds=1).prepare(NONE, tb.Inline())
    hidden = Note("no_effect", "cosine_decay", "the warm-up of 1 epoch fills the run")
    texts = [note.reason for note in study.notes if note.trick == "cosine_decay"]
    expected = {
        "leave-one-out": [f"full, -label_smoothing and -mixup: {hidden.text}"],
        "one-at-a-time": [],
        "cumulative": [f"+cosine_decay: {hidden.text}"],
    }
    assert texts == expected[design.kind]
    fills = [note.reason for note in study.notes if "fills the run: " in note.reason]
    assert len(fills) == (2 if design.kind != "one-at-a-time" else 1)
    assert not [note for note in study.notes if note.kind == "study" and "no_effect" in note.reason]


@pytest.mark.parametrize("names", [{"1": 1, "2": 2, "10": 0}, {"01": 1, "02": 2, "10": 0}])
def test_grades_that_kappa_takes_in_another_order_are_noted(
    names: dict[str, int], tmp_path: Path
) -> None:
    photos = digit_folder(tmp_path / "grades", names, 8)
    study = tb.Study(recipe=study_recipe(photos), seeds=1)
    for outcome, beside in (("quadratic_kappa", ()), ("top1", ("last_quadratic_kappa",))):
        outcome = dataclasses.replace(study, outcome=outcome, beside=beside)
        notes = [note.reason for note in outcome.prepare(NONE, tb.Inline()).notes]
        assert ["order 1, 10, 2" in note for note in notes].count(True) == ("1" in names)
    assert not any("grades" in note.reason for note in study.prepare(NONE, tb.Inline()).notes)


def ended(trial: str, label: str, seed: int, **metrics: float) -> StoredResult:
    return StoredResult(
        trial=trial, label=label, seed=seed, metrics=metrics, environment={}, notes=[], model="x"
    )


@pytest.mark.parametrize("networks", [(), ("resnet18", "resnet34")])
def test_variants_at_chance_are_notes_of_the_study(
    pictures: Path, networks: tuple[str, ...]
) -> None:
    study = tb.Study(recipe=study_recipe(pictures), models=networks, seeds=2)
    prepared = study.prepare(NONE, tb.Inline())
    assert prepared.progress.answers["val"].values["top1"] == pytest.approx(100 / 3)
    assert prepared.progress.answers["val"].values["loss"] == pytest.approx(math.log(3))
    plan = prepared.progress.trial_plan
    for trial in plan.trials.values():
        low = trial.label == "full" and trial.seed == 1
        metrics = {"top1": 25.0 if low else 100.0, "loss": 1.2 if low else 0.3}
        prepared.progress.add(ended(trial.id, trial.label, trial.seed, **metrics))
    texts = [note.reason for note in prepared.notes if note.kind == "chance"]
    images = prepared.progress.answers["val"].images
    expected = [
        f"full (1 of 2 seeds) is at chance: top1 25; a constant answer has 33.33 ({images} images)",
        "the loss of full (1 of 2 seeds) is not below that of a constant answer: 1.2; a constant "
        "answer has 1.099",
    ]
    where = [f"on {name} " for name in networks] or [""]
    assert texts == [start + text for start in where for text in expected]
    record = StudyRecord.from_dict(json.loads(json.dumps(prepared.record().to_dict())), "x")
    assert record.answers == prepared.progress.answers
    assert {note.text for note in record.notes} >= set(texts)
