"""Runs that end before their last epoch: by patience, and by a time limit."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.builders.recipes import bare_recipe, study_arguments, tiny_recipe
from tests.builders.runs import assert_same_run
from tests.train.test_fit import SignalAt
from trickbag.cli import main
from trickbag.data.dataset import prepare
from trickbag.errors import Stopped, UserError
from trickbag.optim.config import TrainConfig
from trickbag.recipe import Recipe
from trickbag.train.checkpoint import Progress
from trickbag.train.ending import Clock, ending, ending_note, last_better
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog
from trickbag.train.plan.plan import Plan
from trickbag.train.plan.resolve import resolve

EPOCHS = 6


class Lines(RunLog):
    """Keeps the notes that are shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


class SetClock(Clock):
    """A clock that shows a given time, after a last epoch of a given length."""

    def __init__(self, elapsed_s: float, last_s: float) -> None:
        super().__init__(0.0)
        self.shown_s, self.last_s = elapsed_s, last_s

    def epoch_s(self, epochs: int) -> float:
        return max(self.last_s, self.shown_s / epochs)


@pytest.fixture(scope="module")
def plan(pictures: Path) -> Plan:
    recipe = tiny_recipe(pictures, epochs=EPOCHS)
    return resolve(recipe, prepare(recipe.data), 0)[0]


def with_training(plan: Plan, **changes: Any) -> Plan:
    return dataclasses.replace(plan, training=dataclasses.replace(plan.training, **changes))


def ends(plan: Plan, scores: list[float | None], clock: SetClock | None = None) -> str | None:
    clock = clock or SetClock(0.0, 0.0)
    progress = Progress.start(torch.device("cpu"))
    progress.epoch, progress.elapsed_s = len(scores), clock.shown_s
    return ending(plan, progress, clock, [{plan.score: score} for score in scores])


@pytest.mark.parametrize(
    ("scores", "epoch"),
    [
        ([], 0),
        ([None, None], 0),
        ([50.0], 1),
        ([50.0, 50.0], 1),
        ([50.0, None, 60.0, 55.0], 3),
        ([60.0, 50.0, 60.0], 1),
    ],
)
def test_the_last_epoch_with_a_better_score(scores: list[float | None], epoch: int) -> None:
    assert last_better(scores, "top1") == epoch
    assert last_better([None if s is None else -s for s in scores], "loss") == epoch


def test_patience_counts_epochs_without_a_better_score(plan: Plan) -> None:
    patient = with_training(plan, patience=2)
    assert ends(patient, []) is None
    assert ends(patient, [50.0, 40.0]) is None
    reason = ends(patient, [50.0, 40.0, 50.0])
    assert reason == "training.patience = 2: no epoch after epoch 1 had a better top1"
    # A score that is not defined in any epoch says nothing.
    assert ends(patient, [None] * 5) is None
    assert ends(plan, [50.0, 40.0, 50.0]) is None
    after_head = with_training(plan, patience=2, head_epochs=2)
    assert ends(after_head, [50.0, 40.0, 40.0]) is None
    assert ends(after_head, [50.0, 40.0, 40.0, 40.0])


def test_no_epoch_begins_that_would_not_fit(plan: Plan) -> None:
    limited = with_training(plan, time_limit="10min")
    assert ends(limited, [1.0, 2.0], SetClock(400.0, 190.0)) is None
    assert ends(limited, [1.0, 2.0], SetClock(400.0, 201.0))
    # The mean of the epochs before, as of parts that another process trained.
    assert ends(limited, [1.0], SetClock(301.0, 0.0))
    # The first epoch is always trained.
    assert ends(limited, [], SetClock(10_000.0, 1.0)) is None
    reason = ends(limited, [1.0, 2.0], SetClock(480.0, 240.0))
    assert reason == "training.time_limit = 10min: 8 min are over, and an epoch takes about 4 min"


def test_the_note_says_where_the_schedule_was(plan: Plan) -> None:
    progress = Progress.start(torch.device("cpu"))
    progress.epoch = 3
    text = ending_note(plan, progress, "why").text
    assert f"the run ended after 3 of {EPOCHS} epochs, why; the schedule did not end" in text
    lr = plan.lr(3 * plan.steps_per_epoch - 1)
    assert f"the learning rate was {lr:.4g} in the last step, of {plan.training.lr:g}" in text


@pytest.mark.parametrize("text", ["soon", "0s", "-1h", "5"])
def test_a_time_limit_that_is_no_time(text: str) -> None:
    with pytest.raises(UserError, match=r"training.time_limit = .*: must be a time such as 2h"):
        TrainConfig(time_limit=text)


def test_notes_on_a_patience(pictures: Path) -> None:
    def notes(**settings: str) -> str:
        recipe = bare_recipe(pictures, **({"training.epochs": "4"} | settings))
        return " ".join(note.text for note in resolve(recipe, prepare(recipe.data), 0)[1])

    assert "cannot end this run" in notes(**{"training.patience": "3"})
    assert "keeps the weights of the last one" in notes(**{"training.patience": "2"})
    assert "patience" not in notes(**{"training.patience": "2", "training.keep": "best"})


def still(pictures: Path, **settings: str) -> Recipe:
    """A run that learns nothing, so that its score stays as it is or nearly so."""
    recipe = tiny_recipe(pictures, epochs=EPOCHS).only()
    fixed = {"training.lr": "1e-30", "training.keep": "best", "training.patience": "1"}
    return recipe.set_all(fixed | settings)


def test_a_run_that_ends_by_patience(pictures: Path, tmp_path: Path) -> None:
    folder, log = tmp_path / "run", Lines()
    result = fit(still(pictures), 0, folder, log=log)
    epochs = len((folder / "metrics.jsonl").read_text().splitlines())
    assert 2 <= epochs < EPOCHS
    assert result.weights is not None
    assert result.weights.epochs == epochs
    reason = f"the run ended after {epochs} of {EPOCHS} epochs, training.patience = 1"
    stored = json.loads((folder / "result.json").read_text())
    assert any(reason in text for text in stored["warnings"])
    assert any(reason in line for line in log.lines)
    assert "calibrated_ece" in result.metrics
    assert main(["report", str(folder)]) == 0
    assert reason in (folder / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("steps", [2, 8])
def test_stopped_and_resumed_it_ends_alike(pictures: Path, tmp_path: Path, steps: int) -> None:
    recipe = still(pictures)
    fit(recipe, 0, tmp_path / "whole", log=RunLog())
    with pytest.raises(Stopped):
        fit(recipe, 0, tmp_path / "run", log=SignalAt(steps, signal.SIGTERM))
    fit(recipe, 0, tmp_path / "run", resume=True, log=RunLog())
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    # The end was reached, the result was not written: it ends again, without another epoch.
    (tmp_path / "run" / "result.json").unlink()
    fit(recipe, 0, tmp_path / "run", resume=True, log=RunLog())
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_run_that_ends_by_its_time_limit(pictures: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(pictures, epochs=EPOCHS).set("training.time_limit", "0.001s")
    result = fit(recipe, 0, tmp_path / "run", log=RunLog())
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1
    assert result.metrics["epoch"] == 1
    assert any("ended after 1 of 6 epochs, training.time_limit" in t for t in result.warnings)
    assert (tmp_path / "run" / "predictions.csv").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--set", "training.patience=2"), "training.patience = 2 of the recipe small"),
        (("--set", "training.time_limit=1h"), "training.time_limit = 1h of the recipe small"),
        (("--levels", "training.patience=1,2"), "arms cannot differ in training.patience"),
    ],
)
def test_a_study_refuses_them(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: Any, says: str
) -> None:
    arguments = study_arguments(pictures, tmp_path / "study", *options, "--dry-run")
    assert main(arguments) == 2
    assert says in capsys.readouterr().err
