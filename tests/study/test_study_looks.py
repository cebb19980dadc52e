"""Studies that grow, by real trials: looks in `study.json`, verdicts that stay, largest seeds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import trickbag as tb
from tests.builders.recipes import study_recipe
from tests.builders.studies import LimitedExecutor, effects
from trickbag.errors import UserError
from trickbag.report import study_page
from trickbag.study.log import StudyLog
from trickbag.study.study import Study

LOG = StudyLog()


def study_of(pictures: Path, **settings: Any) -> Study:
    design = tb.LeaveOneOut(tricks=("mixup",))
    return Study(recipe=study_recipe(pictures), design=design, outcome="loss", **settings)


def looks(folder: Path) -> list[dict[str, Any]]:
    stored: list[dict[str, Any]] = json.loads((folder / "study.json").read_text())["looks"]
    return stored


@pytest.mark.slow
def test_added_seeds_are_another_look_and_the_first_one_has_spent_the_5_percent(
    pictures: Path, tmp_path: Path
) -> None:
    study, folder = study_of(pictures, seeds=2), tmp_path / "study"
    study.run(LimitedExecutor(), folder, log=LOG)
    (first,) = effects(folder)
    assert [(look["seeds"], look["level"]) for look in looks(folder)] == [(2, 0.05)]
    # The same call again is the same look.
    study.run(LimitedExecutor(), folder, log=LOG)
    assert len(looks(folder)) == 1
    study_of(pictures).run(LimitedExecutor(), folder, add_seeds=1, log=LOG)
    (later,) = effects(folder)
    assert [(look["seeds"], look["level"]) for look in looks(folder)] == [(2, 0.05), (3, 0.0)]
    assert later["verdict"] == first["verdict"]
    assert later["pairs"] == 3
    assert later["exploratory"] is True
    assert "exploratory" not in first
    page = study_page(folder, tmp_path / "page.html").read_text()
    assert "2, at 2 and 3 seeds" in page
    assert "(exploratory)" in page
    # What was not fixed before the first trial is not fixed after it.
    with pytest.raises(UserError, match="fixed before the first trial"):
        study_of(pictures, max_seeds=9).run(LimitedExecutor(), folder, log=LOG)


@pytest.mark.slow
def test_a_largest_number_of_seeds_is_kept_and_not_exceeded(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    study_of(pictures, seeds=1, max_seeds=2).run(LimitedExecutor(), folder, log=LOG)
    study_of(pictures).run(LimitedExecutor(), folder, add_seeds=1, log=LOG)
    stored = json.loads((folder / "study.json").read_text())
    assert stored["max_seeds"] == 2
    levels = [look["level"] for look in stored["looks"]]
    assert sum(levels) == pytest.approx(0.05)
    assert "exploratory" not in effects(folder)[0]
    assert "2, at 1 and 2 of at most 2 seeds" in study_page(folder, tmp_path / "p").read_text()
    with pytest.raises(UserError, match="at most 2 seeds"):
        study_of(pictures).run(LimitedExecutor(), folder, add_seeds=1, log=LOG)
    with pytest.raises(UserError, match="max_seeds = 2 are the most"):
        study_of(pictures, seeds=3).run(LimitedExecutor(), folder, log=LOG)


def test_a_new_study_has_no_more_seeds_than_its_largest_number(pictures: Path) -> None:
    assert study_of(pictures, max_seeds=3).number_of_seeds == 3
    with pytest.raises(UserError, match="max_seeds"):
        study_of(pictures, seeds=4, max_seeds=3)
    with pytest.raises(UserError, match="max_seeds"):
        study_of(pictures, max_seeds=1)
    assert dataclasses.replace(study_of(pictures, seeds=3), max_seeds=3).seeds == 3


@pytest.mark.slow
def test_a_study_until_settled_stops_once_it_is(pictures: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"seeds": 2, "max_seeds": 4, "until_settled": True}
    # At so low a rate every difference is smaller than this margin.
    recipe = study_recipe(pictures).set("training.lr", "0.00001")
    study = dataclasses.replace(study_of(pictures, margin=1e6, **settings), recipe=recipe)
    executor, folder = LimitedExecutor(), tmp_path / "study"
    (effect,) = study.run(executor, folder, log=LOG)
    assert effect.verdict == "equivalent"
    assert [note.kind for note in effect.notes if note.kind == "stopped_early"]
    assert "biased outwards" in (effect.note or "")
    assert len(executor.ran) == 4
    assert len(looks(folder)) == 1
    # Nothing is left to be run, whoever asks.
    again_of = dataclasses.replace(study_of(pictures), recipe=recipe)
    (again,) = again_of.run(executor, folder, log=LOG)
    assert (again.verdict, len(executor.ran)) == ("equivalent", 4)
    stored = json.loads((folder / "study.json").read_text())
    assert (stored["until_settled"], stored["margin"]) == (True, 1e6)
