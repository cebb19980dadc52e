"""A study's intervals for new images, from real trials: what they are computed of, and when."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trickbag as tb
from tests.builders.recipes import study_recipe
from tests.builders.studies import LimitedExecutor, effects, results
from trickbag.report import study_page, study_table
from trickbag.study.analysis.images import image_interval
from trickbag.study.log import StudyLog
from trickbag.study.merge import merge
from trickbag.study.study import Study
from trickbag.train.folder.image_scores import read_image_scores
from trickbag.train.folder.predictions import read_predictions


def study_of(pictures: Path, **settings: Any) -> Study:
    design = tb.LeaveOneOut(tricks=("mixup",))
    return Study(recipe=study_recipe(pictures), design=design, seeds=2, **settings)


@pytest.fixture(scope="module")
def finished(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one trick and two seeds, judged by the loss; read only."""
    out = tmp_path_factory.mktemp("studies") / "study"
    study_of(pictures, outcome="loss").run(LimitedExecutor(), out, log=StudyLog())
    return out


def copy_of(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "study"))


def test_each_trial_has_the_scores_whose_means_are_its_metrics(finished: Path) -> None:
    for trial, line in results(finished).items():
        folder = finished / "trials" / trial
        for metric in ("top1", "loss", "brier"):
            scores = read_image_scores(folder / "image_scores.npz", "val", metric)
            assert scores is not None
            assert scores.mean(dtype=float) == pytest.approx(line["metrics"][metric], rel=1e-6)
        right = [100.0 * row.right for row in read_predictions(folder / "predictions.csv") or []]
        top1 = read_image_scores(folder / "image_scores.npz", "val", "top1")
        assert top1 is not None
        assert top1.tolist() == right


def test_the_interval_is_that_of_the_differences_by_seed_and_image(finished: Path) -> None:
    (effect,) = effects(finished)
    scores = {}
    for trial, line in results(finished).items():
        file = finished / "trials" / trial / "image_scores.npz"
        scores[line["label"], line["seed"]] = read_image_scores(file, "val", "loss")
    rows = [
        np.asarray(scores["full", s], float) - np.asarray(scores["-mixup", s], float)
        for s in (0, 1)
    ]
    interval = image_interval(np.stack(rows), 1.0)
    assert interval is not None
    for name in ("low", "high"):
        assert effect[f"{name}_images"] == pytest.approx(getattr(interval, name), rel=1e-6)
    middle = (effect["low_images"] + effect["high_images"]) / 2
    assert middle == pytest.approx(effect["delta"], rel=1e-5)
    # Scores are stored in float32.
    assert effect["low_images"] <= effect["low"] + 1e-6 * abs(effect["low"])
    assert effect["high_images"] >= effect["high"] - 1e-6 * abs(effect["high"])
    assert effect["images"] == interval.images
    assert effect["verdict_images"] == "undetermined"


def test_page_and_tables_show_both(finished: Path, tmp_path: Path) -> None:
    page = study_page(finished, tmp_path / "page.html").read_text()
    assert "for new seeds on these images" in page
    assert "for new seeds and new images" in page
    for form in ("md", "latex"):
        assert "new images" in study_table(finished, form)
    (entry,) = json.loads(study_table(finished, "json"))
    assert entry["low_images"] < entry["high_images"]
    assert "low_images,high_images,p_images" in study_table(finished, "csv").splitlines()[0]


def test_another_outcome_has_its_interval_without_a_trial(
    finished: Path, pictures: Path, tmp_path: Path
) -> None:
    folder, executor = copy_of(finished, tmp_path), LimitedExecutor()
    # So small a network is sure of one class: neither outcome has a spread over the seeds.
    for outcome in ("brier", "top1"):
        study_of(pictures, outcome=outcome).run(executor, folder, log=StudyLog())
        (effect,) = effects(folder)
        assert effect["pairs"] == 2
    study_of(pictures, outcome="loss").run(executor, folder, log=StudyLog())
    assert effects(folder)[0]["low_images"] == effects(finished)[0]["low_images"]
    assert executor.ran == []
    # The calibration error has no difference by image.
    study_of(pictures, outcome="ece").run(executor, folder, log=StudyLog())
    assert "low_images" not in effects(folder)[0]
    assert "no mean over images" in study_page(folder, tmp_path / "page.html").read_text()


def test_a_trial_whose_scores_are_lost_leaves_a_note(
    finished: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = copy_of(finished, tmp_path)
    next((folder / "trials").glob("*/image_scores.npz")).write_bytes(b"PK not an archive")
    study_of(pictures, outcome="loss").run(LimitedExecutor(), folder, log=StudyLog())
    (effect,) = effects(folder)
    assert "low_images" not in effect
    assert effect["p"] is not None
    assert "a trial has no scores of its images" in effect["note"]


@pytest.mark.slow
def test_merged_shards_have_the_interval_of_the_study(
    finished: Path, pictures: Path, tmp_path: Path
) -> None:
    parts = [tmp_path / "first", tmp_path / "second"]
    for i, part in enumerate(parts, 1):
        shard = study_of(pictures, outcome="loss", shard=(i, 2))
        shard.run(LimitedExecutor(), part, log=StudyLog())
    merge(parts, tmp_path / "all")
    names = ("images", "low_images", "high_images", "p_images", "verdict_images")
    (merged,), (whole_study,) = effects(tmp_path / "all"), effects(finished)
    assert {name: merged[name] for name in names} == {name: whole_study[name] for name in names}
    # The merged study goes on with the scores.
    study_of(pictures, outcome="loss").run(LimitedExecutor(), tmp_path / "all", log=StudyLog())
    assert effects(tmp_path / "all")[0]["low_images"] == merged["low_images"]
