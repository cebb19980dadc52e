"""Studies on folds of real images: their trials and records, how they go on, what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trickbag as tb
from tests.builders.recipes import tiny_recipe
from tests.builders.runs import without_times
from tests.builders.sources import drawn_items, write_csv
from tests.builders.studies import LimitedExecutor, effects, results, study_record
from trickbag.data.dataset import prepare
from trickbag.errors import Stopped, UserError
from trickbag.recipes import small
from trickbag.report import read_study, study_page
from trickbag.study.disk import disk_use
from trickbag.study.dry_run import forecast_lines, trial_rows
from trickbag.study.fold_notes import fold_notes
from trickbag.study.folder import StudyFolder
from trickbag.study.forecast import forecast
from trickbag.study.log import StudyLog
from trickbag.study.merge import merge
from trickbag.study.records.study import LayoutRecord, StudyRecord, VariantRecord
from trickbag.study.study import Study
from trickbag.study.tuning.tuning import Tuning
from trickbag.study.units import Folds, FoldSeed
from trickbag.train.folder.run_folder import RunFolder
from trickbag.train.folder.run_recipe import RunRecipe

FOLDS = 3


@pytest.fixture(scope="module")
def study(pictures: Path) -> Study:
    return Study(
        recipe=tiny_recipe(pictures, epochs=1).only("linear_scaling", "label_smoothing"),
        design=tb.LeaveOneOut(tricks=("label_smoothing",)),
        seeds=1,
        folds=FOLDS,
        splits=2,
    )


@pytest.fixture(scope="module")
def finished(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, undisturbed; read only."""
    out = tmp_path_factory.mktemp("whole") / "study"
    study.run(LimitedExecutor(), out)
    return out


@pytest.mark.slow
def test_every_arm_runs_on_each_fold(study: Study, finished: Path) -> None:
    lines = results(finished).values()
    places = [(split, fold) for split in range(2) for fold in range(FOLDS)]
    for label in ("full", "-label_smoothing"):
        of_arm = [(r["split"], r["fold"]) for r in lines if r["label"] == label]
        assert sorted(of_arm) == places
    images: dict[int, list[str]] = {0: [], 1: []}
    for line in lines:
        folder = finished / "trials" / line["trial"]
        data = json.loads((folder / "recipe.json").read_text())["data"]
        assert (data["folds"], data["fold"]) == (FOLDS, line["fold"])
        assert data["split_seed"] == line["split"]
        if line["label"] == "full":
            text = (folder / "predictions.csv").read_text().splitlines()[1:]
            images[line["split"]] += [row.split(",")[0] for row in text]
    # Each image validates once in a split.
    assert len(set(images[0])) == len(images[0])
    assert sorted(images[0]) == sorted(images[1])
    assert images[0] != images[1]


@pytest.mark.slow
def test_a_trial_is_the_run_of_its_fold(study: Study, finished: Path, tmp_path: Path) -> None:
    line = next(
        r
        for r in results(finished).values()
        if (r["label"], r["fold"], r["split"]) == ("full", 1, 1)
    )
    recipe = study.recipe.set_all({"training.device": "cpu", "training.threads": "1"})
    alone = tb.fit(
        recipe.set_all({"data.folds": str(FOLDS), "data.fold": "1", "data.split_seed": "1"}),
        seed=line["seed"],
        out=tmp_path / "run",
    )
    assert (alone.trial, line["seed"]) == (line["trial"], 4000)
    assert without_times(alone.metrics) == line["metrics"]


@pytest.mark.slow
def test_effects_are_the_means_of_the_folds(finished: Path) -> None:
    top1 = {
        (line["label"], line["split"], line["fold"]): line["metrics"]["top1"]
        for line in results(finished).values()
    }
    (effect,) = effects(finished)
    by_hand = [
        top1["full", split, fold] - top1["-label_smoothing", split, fold]
        for split in range(2)
        for fold in range(FOLDS)
    ]
    assert effect["delta"] == pytest.approx(np.mean(by_hand), abs=1e-12)
    assert [e["delta"] for e in effect["fold_differences"]] == pytest.approx(by_hand)
    assert (effect["folds"], effect["splits"], effect["seeds"], effect["pairs"]) == (3, 2, 1, 6)
    assert "verdict_images" not in effect
    stored = json.loads((finished / "study.json").read_text())
    assert (stored["folds"], stored["splits"]) == (FOLDS, 2)
    assert stored["registration"]["design"]["folds"] == FOLDS
    variant = stored["layouts"][0]["variants"][0]
    assert variant["trials"] == {}
    assert {(t["split"], t["fold"], t["seed"]) for t in variant["fold_trials"]} == {
        (split, fold, 1000 * (FOLDS * split + fold)) for split in range(2) for fold in range(FOLDS)
    }
    record = StudyFolder(finished).read_study()
    assert record is not None
    assert FoldSeed(1, 2, 5000) in record.layouts[0].variants[0].trials


@pytest.mark.slow
def test_the_page_says_for_what_the_interval_is(finished: Path, tmp_path: Path) -> None:
    text = study_page(finished, tmp_path / "page.html").read_text()
    assert "for new splits of this data" in text
    assert "On new splits of this data" in text
    assert "split 1, fold 2" in text
    assert "Nadeau and Bengio" in text
    assert "There is no second interval and no second verdict for new images" in text
    assert "for new seeds on these images" not in text
    assert read_study(finished).counts["finished"] == 12


@pytest.mark.slow
def test_one_that_was_stopped_goes_on(study: Study, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    with pytest.raises(Stopped, match="5 trials are finished, 7 are left"):
        study.run(LimitedExecutor(5), out)
    # Folds and splits are those of the folder.
    rest = LimitedExecutor()
    dataclasses.replace(study, folds=None, splits=None).run(rest, out)
    assert len(rest.ran) == 7
    assert effects(out) == effects(finished)
    assert results(out) == results(finished)
    for change in ({"folds": 4, "splits": None}, {"splits": 1}):
        with pytest.raises(UserError, match="another division of the images is another study"):
            dataclasses.replace(study, **change).run(LimitedExecutor(), out)


@pytest.mark.slow
def test_shards_are_merged(study: Study, finished: Path, tmp_path: Path) -> None:
    for i in (1, 2):
        dataclasses.replace(study, shard=(i, 2)).run(LimitedExecutor(), tmp_path / f"{i}")
    merge([tmp_path / "1", tmp_path / "2"], tmp_path / "all")
    assert effects(tmp_path / "all") == effects(finished)


@pytest.mark.slow
def test_a_dry_run_times_the_runs_of_one_fold(study: Study, tmp_path: Path) -> None:
    executor = LimitedExecutor()
    prepared = study.prepare(StudyFolder(tmp_path / "study"), executor, log=StudyLog())
    expected = forecast(prepared, executor)
    assert len(expected.pending) == 12
    assert [label for cost in expected.costs for label in cost.labels] == [
        "full",
        "-label_smoothing",
    ]
    assert [row[1:3] for row in trial_rows(prepared, expected.pending)] == [
        ("variant", "on 6 folds"),
        ("full", "1 seed of each"),
        ("-label_smoothing", "1 seed of each"),
    ]
    lines = "\n".join(forecast_lines(prepared, expected))
    assert "12 trials to run, 1 at a time" in lines
    assert "6 folds, whose training images overlap, see an effect of" in lines
    disk = disk_use(prepared, executor.machine, tmp_path)
    assert (disk.trials, disk.kept, disk.decoded) == (12, 6, 0)
    reasons = [note.reason for note in prepared.notes]
    assert any("divided into 3 folds, 2 times" in reason for reason in reasons)
    assert not any("validates (data.folds)" in reason for reason in reasons)


def test_groups_are_whole_on_every_fold(tmp_path: Path) -> None:
    items = [item._replace(group=f"patient{i % 5}") for i, item in enumerate(drawn_items(count=8))]
    settings = {**write_csv(tmp_path, items), "group_column": "patient"}
    recipe = small().set_all({f"data.{name}": str(value) for name, value in settings.items()})
    study = Study(recipe=recipe, folds=3, splits=2)
    plan = study.trial_plan({}, "0f1e")
    full = [trial for trial in plan.trials.values() if trial.label == "full"]
    assert [(trial.split, trial.fold) for trial in full] == [
        (s, f) for s in (0, 1) for f in range(3)
    ]
    undivided = prepare(recipe.data)
    for split in (0, 1):
        names: list[str] = []
        for trial in full:
            if trial.split == split:
                dataset = prepare(trial.recipe.data)
                assert not set(dataset.train.groups) & set(dataset.val.groups)
                names += dataset.val.names
        assert sorted(names) == sorted([*undivided.train.names, *undivided.val.names])


def test_weights_that_have_seen_the_images_are_named(tmp_path: Path) -> None:
    known, other = tmp_path / "known", tmp_path / "other"
    for run, data in ((known, "0f1e"), (other, "1e0f")):
        run.mkdir()
        record = RunRecipe(recipe=small().to_dict(), trial={"data": data})
        record.write(RunFolder(run).recipe)
    starts = (str(known), str(other), str(tmp_path / "unknown"))
    recipes = [small().set("training.init", start) for start in starts]
    study = Study(recipe=small(), folds=3)
    reasons = [note.reason for note in fold_notes(study, recipes, "0f1e")]
    assert "divided into 3 folds; every arm" in reasons[0]
    assert "each fold has seeds of its own" in reasons[0]
    assert f"{known} was trained on these images" in reasons[1]
    assert f"on which images {tmp_path / 'unknown'} was trained is not known" in reasons[2]
    assert len(reasons) == 3
    assert fold_notes(Study(recipe=small()), recipes, "0f1e") == []


def record_on_folds() -> StudyRecord:
    variant = VariantRecord(label="full", trials={FoldSeed(1, 2, 0): "0a", FoldSeed(0, 0, 0): "1b"})
    layout = LayoutRecord(model="resnet18", variants=(variant,))
    return study_record(folds=3, splits=2, layouts=(layout,))


def test_records_are_read_as_they_were_written() -> None:
    record = record_on_folds()
    data = json.loads(json.dumps(record.to_dict()))
    assert StudyRecord.from_dict(data, "study.json") == record
    assert data["layouts"][0]["variants"][0]["fold_trials"][0] == {
        "split": 1,
        "fold": 2,
        "seed": 0,
        "trial": "0a",
    }
    before = study_record().to_dict()
    assert not before.keys() & {"folds", "splits"}
    assert "fold_trials" not in before["layouts"][0]["variants"][0]
    registered = study_record().registered.to_dict()
    assert not registered.keys() & {"folds", "splits"}
    assert record.registered.to_dict()["folds"] == 3


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("folds", 1),
        ("folds", "3"),
        ("splits", 0),
        ("splits", True),
        ("fold", -1),
        ("seed", "0"),
        ("split", None),
        ("trial", "../0a"),
    ],
)
def test_a_damaged_record_is_refused(place: str, value: object) -> None:
    data = json.loads(json.dumps(record_on_folds().to_dict()))
    owner = data if place in data else data["layouts"][0]["variants"][0]["fold_trials"][0]
    owner[place] = value
    with pytest.raises(UserError, match=place if place in data else "fold_trials"):
        StudyRecord.from_dict(data, "study.json")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"folds": 1}, "folds = 1: must be from 2 to 100"),
        ({"folds": 101}, "folds = 101"),
        ({"splits": 2}, "splits = 2: they are of folds"),
        ({"folds": 3, "splits": 0}, "splits = 0: must be from 1 to 100"),
        ({"folds": 3, "seeds": 1001}, "seeds = 1001: a fold has at most 1000"),
        ({"folds": 3, "max_seeds": 9}, "max_seeds and folds exclude each other"),
        ({"folds": 3, "until_settled": True, "seeds": 2}, "until_settled and folds exclude"),
        ({"folds": 3, "tuning": Tuning(grid=("training.lr=1x,2x",))}, "tuning and folds exclude"),
        ({"folds": 3, "outcome": "test_top1"}, "every fold has the same test images"),
    ],
)
def test_what_has_no_valid_rule_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Study(recipe=small(), **changes)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"data.folds": "3", "data.fold": "1"}, "names fold 1 of 3"),
        ({"data.folds": "3"}, "names fold 0 of 3"),
        ({"data.inner_folds": "4"}, "judges each run by its fold"),
        ({"data.split_seed": str(2**63 - 1)}, "2 splits need the seeds that follow it"),
    ],
)
def test_a_recipe_that_names_a_fold_is_refused(settings: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Study(recipe=small().set_all(settings), folds=3, splits=2)


@given(count=st.integers(2, 20), splits=st.integers(1, 10), seeds=st.integers(1, 5))
def test_no_two_folds_share_a_seed(count: int, splits: int, seeds: int) -> None:
    units = Folds(count=count, splits=splits).units(range(seeds))
    assert len({unit.seed for unit in units}) == len(units) == count * splits * seeds
    assert {unit.number for unit in units} == set(range(seeds))
    # Seeds that are added follow those that are there.
    more = Folds(count=count, splits=splits).units(range(seeds + 1))
    assert set(units) < set(more)


def test_a_study_of_before_has_the_ids_of_before() -> None:
    plain = Study(recipe=small())
    assert plain.trial_plan({}, "0f1e").folds is None
    again = Study(recipe=small(), folds=3)
    assert again.recipe.id == plain.recipe.id
    assert (plain.number_of_seeds, again.number_of_seeds) == (5, 1)
