"""A study of whole recipes from end to end."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.builders.recipes import study_recipe
from tests.builders.studies import effects, results
from trickbag.errors import UserError
from trickbag.recipe import Recipe
from trickbag.report import answers, read_study, study_page, study_table
from trickbag.study.designs.recipes import Recipes
from trickbag.study.dry_run import trial_rows
from trickbag.study.executors.inline import Inline
from trickbag.study.folder import StudyFolder
from trickbag.study.study import Study
from trickbag.tricks.compound_scaling import CompoundScaling

pytestmark = pytest.mark.slow


def scaled(recipe: Recipe, name: str, **settings: float) -> Recipe:
    return recipe.plus(CompoundScaling(**settings)).replace(name=name)


@pytest.fixture(scope="module")
def base(pictures: Path) -> Recipe:
    recipe = study_recipe(pictures, model__width_factor="0.125").only("label_smoothing")
    return scaled(recipe, "compound", phi=1)


@pytest.fixture(scope="module")
def design(base: Recipe) -> Recipes:
    wide = scaled(base, "wide", alpha=1, beta=1.5, gamma=1)
    # Another size, schedule and tricks, and the epochs of its own.
    other = base.only("label_smoothing").set_all(
        {"data.image_size": "20", "training.epochs": "2", "training.lr": "0.01"}
    )
    return Recipes(others=(wide, other.replace(name="other")))


@pytest.fixture(scope="module")
def finished(base: Recipe, design: Recipes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("recipes") / "study"
    Study(recipe=base, design=design, seeds=2).run(out=out)
    return out


def test_effects_are_paired_with_the_first_recipe(finished: Path) -> None:
    rows = effects(finished)
    assert [(row["label"], row["plus"], row["minus"], row["pairs"]) for row in rows] == [
        ("wide", "wide", "compound", 2),
        ("other", "other", "compound", 2),
    ]
    lines = {(line["label"], line["seed"]): line["metrics"] for line in results(finished).values()}
    assert len(lines) == 6
    for row in rows:
        pairs = [lines[row["label"], s]["top1"] - lines["compound", s]["top1"] for s in (0, 1)]
        assert row["delta"] == pytest.approx(sum(pairs) / 2, abs=1e-9)
    assert all(
        line["epoch"] == (2 if label == "other" else 1) for (label, _), line in lines.items()
    )
    assert len({metrics["macs"] for metrics in lines.values()}) == 3


def test_the_page_and_the_tables_speak_of_recipes(finished: Path, tmp_path: Path) -> None:
    (answer,) = answers(read_study(finished))
    assert answer.startswith("On this data, against compound, ")
    page = study_page(finished, tmp_path / "report.html").read_text()
    assert "from this recipe minus from <b>" in page
    assert "This recipe over the first, paired by seed" in page
    assert "In the papers" not in page
    assert "training.epochs" in page, "what a recipe changes stands at its trials"
    head = study_table(finished).splitlines()[0]
    cells = [cell.strip() for cell in head.strip("|").split("|")]
    assert cells[:3] == ["effect", "compound", "this recipe"]


def test_a_finished_study_goes_on_and_others_join_it(
    base: Recipe, design: Recipes, finished: Path, tmp_path: Path
) -> None:
    before = (finished / "results.jsonl").read_bytes()
    Study(recipe=base, design=design, seeds=2).run(out=finished)
    assert (finished / "results.jsonl").read_bytes() == before

    folder = StudyFolder(finished)
    narrow = scaled(base, "narrow", alpha=1, beta=1, gamma=1.5)
    study = Study(recipe=base, design=Recipes(others=(narrow,))).prepare(folder, Inline())
    pending = study.progress.pending(0)
    assert [(trial.label, trial.seed) for trial in pending] == [("narrow", 0), ("narrow", 1)]
    cells = {row[1]: row[2:] for row in trial_rows(study, pending)}
    assert cells["narrow"] == ("0-1", "label_smoothing, compound_scaling")
    assert cells["other"] == ("done", "label_smoothing")


def test_what_makes_it_another_study(base: Recipe, design: Recipes, finished: Path) -> None:
    folder = StudyFolder(finished)

    def prepare(recipe: Recipe, other: Recipe) -> None:
        Study(recipe=recipe, design=Recipes(others=(other,))).prepare(folder, Inline())

    changed = design.others[1].set("training.lr", "0.02")
    with pytest.raises(UserError, match=r"differ: other.training.lr \(0.02, not 0.01\); choose"):
        prepare(base, changed)
    with pytest.raises(UserError, match="holds a study against compound, not against first"):
        prepare(base.replace(name="first"), changed)
    stored = json.loads((finished / "study.json").read_text())["design"]
    assert stored["others"] == [other.to_dict() for other in design.others]
    assert dataclasses.replace(design).to_dict() == stored
