"""What a study says before it runs: its trials, their time, the smallest effect that it can see."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scipy import stats

import trickbag as tb
from tests.builders.recipes import study_arguments, study_recipe
from trickbag.cli import main
from trickbag.data.dataset import Dataset
from trickbag.errors import UserError
from trickbag.recipe import Recipe
from trickbag.study.dry_run import forecast_lines
from trickbag.study.folder import StudyFolder
from trickbag.study.forecast import forecast, seeds_within
from trickbag.study.limits import MAX_SEEDS
from trickbag.study.study import Study
from trickbag.study.tuning.tuning import Tuning
from trickbag.train.machine.load import MEASURED_S

NAMED = {"model.width_factor": "1"}
"""A network of another width has no name."""
NAMED_OPTION = ("--set", "model.width_factor=1")


@pytest.fixture(scope="module")
def study(pictures: Path) -> Study:
    return Study(recipe=study_recipe(pictures, training__epochs="3"), seeds=4)


def test_the_price_of_a_study(study: Study, tmp_path: Path) -> None:
    prepared = study.prepare(StudyFolder(tmp_path / "none"), tb.Inline())
    expected = forecast(prepared, tb.Inline(), sd=0.5)
    assert len(expected.pending) == 16
    assert (expected.workers, expected.comparisons, expected.sd) == (1, 3, 0.5)
    # A warmup changes the learning rate alone: without it a run costs the same.
    assert [(cost.model, cost.labels, cost.epochs, cost.timed) for cost in expected.costs] == [
        ("resnet18, changed", ("full", "-warmup"), 3, True),
        ("resnet18, changed", ("-label_smoothing",), 3, True),
        ("resnet18, changed", ("-mixup",), 3, True),
    ]
    run_s = [cost.run_s for cost in expected.costs]
    assert all(0 < seconds < 180 for seconds in run_s)
    assert expected.total_s == pytest.approx(4 * (2 * run_s[0] + run_s[1] + run_s[2]))
    # The power of a paired t test at this effect, by hand: three effects share 5 %.
    assert expected.smallest is not None
    critical, shift = stats.t.ppf(1 - 0.05 / 6, 3), expected.smallest / (0.5 / 4**0.5)
    power = stats.nct.sf(critical, 3, shift) + stats.nct.cdf(-critical, 3, shift)
    assert power == pytest.approx(0.8, abs=1e-6)
    assert not (tmp_path / "none").exists()


@pytest.fixture
def seconds_of_tricks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Let a run take a second, and one more for each of its tricks; the tricks that were timed."""
    timed: list[tuple[str, ...]] = []

    def run_seconds(recipe: Recipe, dataset: Dataset, limit_s: float) -> float:
        timed.append(recipe.trick_names)
        return 1.0 + len(recipe.tricks)

    monkeypatch.setattr("trickbag.train.pilot.run_seconds", run_seconds)
    return timed


def test_of_many_costs_some_are_timed_and_bound_the_others(
    pictures: Path, tmp_path: Path, seconds_of_tricks: list[tuple[str, ...]]
) -> None:
    tricks = ("resnet_d", "label_smoothing", "mixup", "ema", "no_bias_decay")
    recipe = study_recipe(pictures, **NAMED).only()
    study = Study(recipe=recipe, design=tb.Factorial(tricks=tricks), seeds=2)
    prepared = study.prepare(StudyFolder(tmp_path / "none"), tb.Inline())
    expected = forecast(prepared, tb.Inline())
    timed = [cost for cost in expected.costs if cost.timed]
    assert (len(expected.costs), len(timed), len(seconds_of_tricks)) == (32, 16, 16)
    # Nothing, everything, and each trick alone.
    assert {(), tuple(tricks), *((trick,) for trick in tricks)} <= set(seconds_of_tricks)
    assert {cost.run_s for cost in expected.costs if not cost.timed} == {6.0}
    lines = forecast_lines(prepared, expected)
    assert "resnet18, 16 other variants: counted as the slowest of these" in lines
    plain = "-resnet_d-label_smoothing-mixup-ema-no_bias_decay"
    assert f"resnet18, {plain}: 1.0 s an epoch, measured" in lines


@pytest.mark.usefixtures("seconds_of_tricks")
def test_the_longest_trial_bounds_a_study_of_many_workers(study: Study, tmp_path: Path) -> None:
    prepared = study.prepare(StudyFolder(tmp_path / "none"), tb.Inline())
    # Of 16 trials the longest has two tricks that cost something.
    assert forecast(prepared, tb.Local(workers=100)).total_s == 3.0
    assert forecast(prepared, tb.Local(workers=2)).total_s == 4 * (2 * 3 + 2 + 2) / 2


@pytest.mark.usefixtures("seconds_of_tricks")
def test_seeds_for_a_time(study: Study, tmp_path: Path) -> None:
    single = Study(recipe=study.recipe, seeds=1).prepare(StudyFolder(tmp_path), tb.Inline())
    inline, eight = tb.Inline(), tb.Local(workers=8)
    of_one, of_eight = forecast(single, inline), forecast(single, eight)
    assert seeds_within(36_000, single, inline, of_one) == 3600
    assert seeds_within(9_000, single, eight, of_eight) == 8 * 900
    assert seeds_within(360_000, single, eight, of_eight) == MAX_SEEDS
    assert seeds_within(3, single, eight, of_eight) == 2
    with pytest.raises(
        UserError, match=r"--budget 2 s: one seed of the 4 trials takes about 10 s; give more time"
    ):
        seeds_within(2, single, inline, of_one)
    loaded = dataclasses.replace(of_one, busy_cores=1.25)
    with pytest.raises(UserError, match=r"10 s \(other work used 1\.[23] of \d+ cores while"):
        seeds_within(2, single, inline, loaded)


def test_times_of_a_busy_machine_are_named(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_seconds(recipe: Recipe, dataset: Dataset, limit_s: float) -> float:
        time.sleep(MEASURED_S)
        return 1.0

    monkeypatch.setattr("trickbag.train.pilot.run_seconds", run_seconds)
    prepared = study.prepare(StudyFolder(tmp_path), tb.Inline())
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            expected = forecast(prepared, tb.Inline())
        finally:
            busy.kill()
    assert expected.busy_cores > 0.3
    assert expected.load_text in forecast_lines(prepared, expected)
    free = dataclasses.replace(expected, busy_cores=0.1)
    assert not any("other work" in line for line in forecast_lines(prepared, free))


@pytest.mark.usefixtures("seconds_of_tricks")
def test_dry_run(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "study"
    more = (
        "--dry-run",
        "--seeds",
        "3",
        "--models",
        "resnet18,timm:resnet10t",
        "--with",
        "resnet_d",
        "--workers",
        "1",
    )
    assert main(study_arguments(pictures, out, *more, *NAMED_OPTION)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["network", "variant", "seeds", "tricks"]
    assert lines[1].split() == [
        "resnet18",
        "full",
        "0-2",
        "warmup,",
        "label_smoothing,",
        "mixup,",
        "resnet_d",
    ]
    assert any(
        line.startswith("timm:resnet10t  -resnet_d") and "does not apply: " in line
        for line in lines
    )
    assert any(
        line.startswith("resnet18, full") and line.endswith(" s an epoch, measured")
        for line in lines
    )
    assert any(line.startswith("27 trials to run, 1 at a time: about ") for line in lines)
    assert lines[-2].startswith("3 seeds see an effect of ")
    assert lines[-1].startswith("design: ")
    assert "--sd S gives it in units of top1" in lines[-2]
    assert not out.exists()


@pytest.mark.usefixtures("seconds_of_tricks")
def test_dry_run_of_a_fraction_names_what_it_cannot_tell_apart(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--dry-run", "--seeds", "1", "--design", "factorial", "--resolution", "3")
    assert main(study_arguments(pictures, tmp_path / "study", *more, *NAMED_OPTION)) == 0
    out = capsys.readouterr().out
    assert "mixup = warmup*label_smoothing" in out
    assert "4 trials to run" in out
    assert "with one seed no effect has an interval" in out


@pytest.mark.slow
def test_a_budget_chooses_the_seeds_once(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    command = study_arguments(
        pictures, out, "--tricks", "mixup", "--budget", "1h", "--workers", "1"
    )
    assert main([*command, "--dry-run"]) == 0
    output = capsys.readouterr().out
    seeds = int(output.partition("the budget of 1 h allows ")[2].split()[0])
    assert seeds > 10
    assert f"0-{seeds - 1}" in output
    study = Study(recipe=study_recipe(pictures), design=tb.LeaveOneOut(tricks=("mixup",)), seeds=1)
    study.run(tb.Inline(), out)
    assert main([*command, "--dry-run"]) == 0
    assert "0 trials to run" in capsys.readouterr().out


def test_what_a_study_costs_at_most_that_goes_on_until_it_is_settled(
    study: Study, tmp_path: Path, seconds_of_tricks: list[tuple[str, ...]]
) -> None:
    sequential = dataclasses.replace(study, seeds=3, max_seeds=10, until_settled=True)
    prepared = sequential.prepare(StudyFolder(tmp_path / "none"), tb.Inline())
    expected = forecast(prepared, tb.Inline(), sd=0.5)
    # Four variants; a run takes a second, and one more for each trick that costs time.
    per_seed = 2 * 3 + 2 * 2
    assert (len(expected.pending), expected.total_s) == (12, 3 * per_seed)
    assert (expected.most_seeds, expected.most_trials) == (10, 40)
    assert expected.most_s == 10 * per_seed
    at_most = forecast(
        dataclasses.replace(study, seeds=10).prepare(StudyFolder(tmp_path / "b"), tb.Inline()),
        tb.Inline(),
        sd=0.5,
    )
    assert expected.smallest == at_most.smallest
    text = "\n".join(forecast_lines(prepared, expected))
    assert "12 trials to run, 1 at a time: about 30 s" in text
    assert (
        "this is the look at 3 seeds; at most, with 10 seeds of every arm, 40 trials to run: about "
        "1 min 40 s" in text
    )
    assert "10 seeds see an effect of" in text


def test_the_price_of_the_tuning(
    study: Study, tmp_path: Path, seconds_of_tricks: list[tuple[str, ...]]
) -> None:
    tuning = Tuning(grid=("training.lr=0.5x,1x,2x", "mixup.alpha=1x,2x"), seeds=2)
    tuned = dataclasses.replace(study, seeds=2, tuning=tuning)
    prepared = tuned.prepare(StudyFolder(tmp_path / "none"), tb.Inline())
    expected = forecast(prepared, tb.Inline())
    # Three arms with mixup have six configurations each, the other has three; two seeds of each.
    assert expected.tuning == 2 * (3 * 6 + 3)
    # Each has four fifths of the images of its arm's trials.
    assert expected.tuning_s == pytest.approx(0.8 * 2 * (6 * (3 + 3 + 2) + 3 * 2))
    assert len(expected.pending) == 8
    single = dataclasses.replace(tuned, seeds=1).prepare(StudyFolder(tmp_path / "b"), tb.Inline())
    budget_s = expected.tuning_s + 31
    of_one = forecast(single, tb.Inline())
    assert seeds_within(budget_s, single, tb.Inline(), of_one) == 3, "a seed takes ten seconds"
    with pytest.raises(UserError, match="the tuning and one seed of the 4 trials takes about"):
        seeds_within(expected.tuning_s + 9, single, tb.Inline(), of_one)
