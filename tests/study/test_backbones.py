"""A study of backbones from end to end: classifiers are trained, and segmenters from them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import trickbag as tb
from tests.builders.masks import mask_folder
from tests.builders.recipes import study_recipe
from tests.builders.studies import effects, results
from trickbag import recipes
from trickbag.errors import UserError
from trickbag.models.weights import weights_digest
from trickbag.recipe import Recipe
from trickbag.report import answers, read_study, study_page, study_table
from trickbag.study.backbones import backbones
from trickbag.study.study import Study
from trickbag.train.folder.run_recipe import RunRecipe

NAMES = tuple(f"image{i}" for i in range(6))


@pytest.fixture(scope="module")
def classifiers(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of classifiers of which the weights are kept; read only."""
    out = tmp_path_factory.mktemp("classifiers") / "study"
    recipe = study_recipe(pictures, model__width_factor="0.125")
    Study(
        recipe=recipe,
        design=tb.OneAtATime(tricks=("label_smoothing",)),
        seeds=2,
        keep_weights="all",
    ).run(out=out)
    return out


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    source = mask_folder(tmp_path_factory.mktemp("masks"), {"train": NAMES[:4], "val": NAMES[4:]})
    settings = {
        "data.source": str(source),
        "data.image_size": "32x48",
        "data.workers": "0",
        "training.epochs": "1",
        "training.batch_size": "4",
        "training.device": "cpu",
        "training.threads": "1",
    }
    return recipes.segmentation(data="x").without("mixed_precision").set_all(settings)


@pytest.fixture(scope="module")
def finished(classifiers: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Segmenters from these classifiers; read only."""
    out = tmp_path_factory.mktemp("segmenters") / "study"
    design = backbones(["scratch", str(classifiers)])
    Study(recipe=recipe, design=design).run(out=out)
    return out


def starts(study: Path) -> dict[str, dict[str, Any]]:
    """From what each trial started: label -> seed -> the digest of its weights."""
    record = json.loads((study / "study.json").read_text())
    digests: dict[str, dict[str, Any]] = {}
    for variant in record["layouts"][0]["variants"]:
        for seed, trial in variant["trials"].items():
            run = RunRecipe.read(study / "trials" / trial / "recipe.json")
            assert run is not None
            assert run.trial is not None
            digests.setdefault(variant["label"], {})[seed] = run.trial["init"]
    return digests


def test_seeds_start_from_the_trials_with_the_same_seed(classifiers: Path, finished: Path) -> None:
    trained = json.loads((classifiers / "study.json").read_text())["layouts"][0]["variants"]
    expected = {
        variant["label"]: {
            seed: weights_digest(classifiers / "trials" / trial)
            for seed, trial in variant["trials"].items()
        }
        for variant in trained
    }
    assert starts(finished) == {"scratch": {"0": None, "1": None}, **expected}
    assert len({*expected["bare"].values(), *expected["+label_smoothing"].values()}) == 4


def test_effects_are_against_the_first_arm_on_the_score_of_the_task(finished: Path) -> None:
    rows = effects(finished)
    assert [(row["label"], row["plus"], row["minus"], row["pairs"]) for row in rows] == [
        ("bare", "bare", "scratch", 2),
        ("+label_smoothing", "+label_smoothing", "scratch", 2),
    ]
    values = {
        (line["label"], line["seed"]): line["metrics"]["miou"]
        for line in results(finished).values()
    }
    for row in rows:
        differences = [values[row["label"], s] - values["scratch", s] for s in (0, 1)]
        assert row["delta"] == pytest.approx(sum(differences) / 2, abs=1e-9)


def test_the_page_and_the_tables_speak_of_backbones(finished: Path, tmp_path: Path) -> None:
    study = read_study(finished)
    (answer,) = answers(study)
    assert answer.startswith("On this data, against scratch, ")
    assert "no backbone is shown to help" in answer or " helps by " in answer
    page = study_page(finished, tmp_path / "report.html").read_text()
    assert "from this backbone minus from" in page
    assert "pairs share them, and the intervals are about backbones" in page
    assert "In the papers" not in page
    head = study_table(finished).splitlines()[0]
    assert [cell.strip() for cell in head.strip("|").split("|")][:3] == [
        "effect",
        "scratch",
        "this backbone",
    ]


def test_the_constant_answer_is_that_of_pixels(finished: Path) -> None:
    answer = json.loads((finished / "study.json").read_text())["constant_answers"]["val"]
    assert answer["images"] == 2
    assert set(answer["values"]) == {"miou", "pixel_accuracy", "mean_class_accuracy"}
    assert answer["values"]["miou"] < answer["values"]["pixel_accuracy"] < 100


def test_a_finished_study_is_left_as_it_is_and_more_arms_join_it(
    classifiers: Path, recipe: Recipe, finished: Path, tmp_path: Path
) -> None:
    before = (finished / "results.jsonl").read_bytes()
    arms = backbones(["scratch", str(classifiers)])
    Study(recipe=recipe, design=arms).run(out=finished)
    assert (finished / "results.jsonl").read_bytes() == before

    out = tmp_path / "grown"
    first = backbones(["scratch", f"{classifiers}:bare"])
    Study(recipe=recipe, design=first).run(out=out)
    kept = (out / "results.jsonl").read_bytes()
    assert len(results(out)) == 4
    second = backbones(["scratch", f"{classifiers}:+label_smoothing"])
    Study(recipe=recipe, design=second).run(out=out)
    assert effects(out) == effects(finished)
    assert (out / "results.jsonl").read_bytes().startswith(kept)


def test_other_weights_under_a_label_are_refused(
    classifiers: Path, recipe: Recipe, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    out.mkdir()
    for name in ("study.json", "results.jsonl"):
        shutil.copyfile(finished / name, out / name)
    record = json.loads((classifiers / "study.json").read_text())
    bare, smoothed = (
        [str(classifiers / "trials" / trial) for trial in variant["trials"].values()]
        for variant in record["layouts"][0]["variants"]
    )
    design = tb.Backbones.of({"scratch": "scratch", "bare": smoothed})
    with pytest.raises(UserError, match="bare, seed 0 started from other weights; choose another"):
        Study(recipe=recipe, design=design).run(out=out)
    design = tb.Backbones.of({"bare": bare, "scratch": "scratch"})
    with pytest.raises(UserError, match="holds a study against scratch, not against bare"):
        Study(recipe=recipe, design=design).run(out=out)


def test_more_seeds_than_runs_are_refused(classifiers: Path, recipe: Recipe) -> None:
    design = backbones(["scratch", f"bare={classifiers}:bare"])
    assert Study(recipe=recipe, design=design).number_of_seeds == 2
    message = r"seeds = 3: bare has 2 runs, one for each seed; take 2 seeds, or give more runs"
    with pytest.raises(UserError, match=message):
        Study(recipe=recipe, design=design, seeds=3)
    with pytest.raises(UserError, match="models = resnet18: the backbones of a study name its"):
        dataclasses.replace(Study(recipe=recipe, design=design), models=("resnet18",))


def test_backbones_as_texts(classifiers: Path, tmp_path: Path) -> None:
    record = json.loads((classifiers / "study.json").read_text())
    trials = [
        [str(classifiers / "trials" / trial) for trial in variant["trials"].values()]
        for variant in record["layouts"][0]["variants"]
    ]
    for seed, trial in enumerate(trials[0]):
        # In the order of the names the seeds are turned round.
        shutil.copytree(trial, tmp_path / f"plain-{9 - seed}")
    pattern = backbones(["resnet18", f"plain={tmp_path}/plain-*"])
    assert pattern.arms[1][1] == (f"{tmp_path}/plain-9", f"{tmp_path}/plain-8")
    assert pattern.arms[0] == ("resnet18", ("resnet18",))
    listed = backbones([f"a={trials[0][0]},{trials[0][1]}", trials[1][0]])
    assert listed.arms == (("a", tuple(trials[0])), (Path(trials[1][0]).name, (trials[1][0],)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=runs/a", "it has no label before the =; write LABEL=RUN"),
        ("a=runs/a,", "a comma has no backbone beside it"),
        ("a={study}", "is a study, whose variants are an arm each; name one, a=.*:VARIANT"),
        ("a={study}:-mixup", r"has no variant '-mixup'; choose from \+label_smoothing, bare"),
        ("a={study}/absent-*", "nothing is called .*absent-"),
        ("a={study}/trials/*", r"needs one run of each seed \(.*seed 0"),
    ],
)
def test_texts_that_are_no_backbone(classifiers: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        backbones(["scratch", text.format(study=classifiers)])
