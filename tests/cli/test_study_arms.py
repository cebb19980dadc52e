"""Arms of a study as people type them: settings, whole recipes, and what was fixed beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.recipes import study_arguments, study_recipe
from tests.builders.studies import LimitedExecutor, effects, results
from trickbag.errors import Stopped
from trickbag.report import answers, read_study, study_page
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.study import Study
from trickbag.study.tuning.tuning import Tuning

pytestmark = pytest.mark.slow

Call = Callable[..., tuple[int, str, str]]

THIN = ("--set", "model.width_factor=0.125")


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    """A recipe's file that leaves open which images there are."""
    path = tmp_path / "mine.json"
    recipe = {
        "data": {"crop_area": [0.5, 1]},
        "model": {"kind": "resnet", "depth": 18, "width_factor": 0.125},
        "training": {"lr": 0.05, "epochs": 9, "batch_size": 16},
        "tricks": {"label_smoothing": {}},
    }
    path.write_text(json.dumps(recipe))
    return path


def test_settings_are_arms(call: Call, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    levels = ("--levels", "training.lr=0.4,0.01", "--levels", "model=resnet34")
    words = study_arguments(pictures, out, *THIN, *levels, "--seeds", "2")
    code, text, _ = call(*words)
    assert code == 0
    rows = effects(out)
    assert [(row["label"], row["plus"], row["minus"], row["pairs"]) for row in rows] == [
        ("training.lr=0.01", "training.lr=0.01", "full", 2),
        ("model=resnet34", "model=resnet34", "full", 2),
    ]
    assert "note: training.lr=0.4 is the recipe's own value" in text
    assert "On this data, against full, " in text
    heads = next(line for line in text.splitlines() if line.startswith("effect "))
    assert "this setting" in heads
    page = (out / "report.html").read_text()
    assert "from this setting minus from <b>" in page
    assert "model=resnet34" in page


def test_recipes_are_arms(call: Call, pictures: Path, tmp_path: Path, recipe_file: Path) -> None:
    out = tmp_path / "study"
    words = study_arguments(pictures, out, *THIN, "--against", str(recipe_file), "--seeds", "2")
    code, text, _ = call(*words, "--dry-run")
    assert code == 0
    assert "note: --image-size --epochs: for every arm" in text
    assert "note: --batch-size --without --set: for the study's own recipe alone" in text
    assert "4 trials to run" in text
    assert not out.exists()

    code, text, _ = call(*words)
    assert code == 0
    assert "On this data, against small, " in text
    (effect,) = effects(out)
    assert (effect["label"], effect["minus"], effect["pairs"]) == ("mine", "small", 2)
    lines = results(out)
    assert {line["metrics"]["epoch"] for line in lines.values()} == {1}, "--epochs is for all"
    trained = {}
    for trial, line in lines.items():
        recipe = json.loads((out / "trials" / trial / "recipe.json").read_text())
        trained[line["label"]] = recipe
        assert recipe["data"]["source"] == str(pictures)
        assert recipe["data"]["image_size"] == 16
    assert trained["mine"]["training"]["batch_size"] == 16
    assert trained["small"]["training"]["batch_size"] == 8
    assert trained["mine"]["data"]["crop_area"] == [0.5, 1]


TUNED = ("--tricks", "mixup", "--tune", "training.lr=0.25x,1x", "--tune-seeds", "2", "--seeds", "2")


def test_arms_are_tuned_and_then_compared(call: Call, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    words = study_arguments(pictures, out, *THIN, *TUNED)
    code, text, _ = call(*words, "--dry-run")
    assert code == 0
    assert "tuning full: 2 configurations, training.lr=0.1 and training.lr=0.4" in text
    assert "tuning: 8 trials first, 2 seeds of each configuration" in text
    assert "4 trials to run" in text
    hashes = [line for line in text.splitlines() if line.startswith("design: ")]
    assert not out.exists()

    code, text, _ = call(*words)
    assert code == 0
    study = json.loads((out / "study.json").read_text())
    assert hashes == [f"design: {study['registration']['hash']}"], "known before the study runs"
    assert study["registration"]["design"]["tuning"]["grid"] == ["training.lr=0.25x,1x"]
    lines = results(out)
    tuned = {trial: line for trial, line in lines.items() if line["seed"] >= 10_000}
    assert (len(lines), len(tuned)) == (12, 8)
    arms = {arm["label"]: arm for arm in study["tuning"]["arms"]}
    assert list(arms) == ["full", "-mixup"]
    for label, arm in arms.items():
        values = []
        for point in arm["points"]:
            assert sorted(point["trials"]) == ["10000", "10001"]
            metrics = [tuned[trial]["metrics"]["top1"] for trial in point["trials"].values()]
            assert point["value"] == pytest.approx(sum(metrics) / 2)
            values.append(point["value"])
            for trial in point["trials"].values():
                recipe = json.loads((out / "trials" / trial / "recipe.json").read_text())
                assert (recipe["data"]["inner_folds"], recipe["data"]["inner_fold"]) == (5, 0)
        assert values[arm["chosen"]] == max(values)
        chosen = float(arm["points"][arm["chosen"]]["settings"]["training.lr"])
        compared = [line for line in lines.values() if line["label"] == label]
        assert [line["seed"] for line in compared] == [0, 1]
        for line in compared:
            recipe = json.loads((out / "trials" / line["trial"] / "recipe.json").read_text())
            assert recipe["training"]["lr"] == chosen
            assert recipe["data"]["inner_folds"] is None
    (effect,) = effects(out)
    assert (effect["label"], effect["pairs"]) == ("mixup", 2)
    # Two values: every choice is at the edge, which stands at the effect.
    assert "is at the edge of its grid" in effect["note"]
    page = (out / "report.html").read_text()
    assert "Every arm was tuned on the same grid before the comparison" in page
    assert "a better value may lie beyond" in page
    assert "Nothing of it has changed since." in page
    assert "every arm was tuned on the same grid" in (out / "methods.txt").read_text()
    assert "zhang2017mixup" in (out / "references.bib").read_text()

    # The same again, without the option, with more seeds: nothing is tuned anew.
    before = (out / "results.jsonl").read_text()
    code, text, _ = call(
        *study_arguments(pictures, out, *THIN, "--tricks", "mixup"), "--add-seeds", "1"
    )
    assert code == 0
    assert (out / "results.jsonl").read_text().removeprefix(before).count("\n") == 2
    again = json.loads((out / "study.json").read_text())
    assert again["tuning"] == study["tuning"]
    assert again["registration"] == study["registration"]
    page = (out / "report.html").read_text()
    assert "Changed afterwards:" in page
    assert "seeds (3, not 2)" in page
    code, _, error = call(*words, "--tune", "mixup.alpha=1x,2x")
    assert code == 2
    assert "it is fixed before the first trial, and this study has training.lr=0.25x,1x" in error


def test_a_study_that_is_stopped_while_it_tunes_goes_on(pictures: Path, tmp_path: Path) -> None:
    recipe = study_recipe(pictures, model__width_factor="0.125")
    design = LeaveOneOut(tricks=("mixup",))
    tuning = Tuning(grid=("training.lr=0.25x,1x",), seeds=1)
    study = Study(recipe=recipe, design=design, seeds=2, tuning=tuning)
    first, second = LimitedExecutor(limit=3), LimitedExecutor()
    with pytest.raises(Stopped, match="3 trials are finished, 1 are left"):
        study.run(first, tmp_path / "study")
    (state,) = answers(read_study(tmp_path / "study"))
    assert state == ("No effect can be told yet: the arms are being tuned: 3 of 4 trials finished.")
    assert "the arms are being tuned: 3 of 4" in study_page(tmp_path / "study").read_text()
    findings = study.run(second, tmp_path / "study")
    assert [effect.pairs for effect in findings] == [2]
    assert len(set(first.ran + second.ran)) == len(first.ran + second.ran) == 8
    assert [name.partition(" [")[0] for name in first.ran + second.ran[:1]] == [
        *("full", "full", "-mixup", "-mixup")
    ]
    uninterrupted = tmp_path / "reference"
    study.run(LimitedExecutor(), uninterrupted)
    for name in ("study.json", "effects.json"):
        data = [json.loads((out / name).read_text()) for out in (tmp_path / "study", uninterrupted)]
        if name == "effects.json":
            data = [[{k: v for k, v in e.items() if k != "cost"} for e in each] for each in data]
        assert data[0] == data[1]
