"""What a study says before it spends: its trials, their time, and the smallest effect that it can
see."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats

import trickbag as tb
from tests.builders.recipes import study_arguments, study_recipe
from trickbag.cli import main
from trickbag.errors import UserError
from trickbag.study.folder import StudyFolder
from trickbag.study.forecast import forecast, seeds_within
from trickbag.study.study import Study


@pytest.fixture(scope="module")
def study(pictures: Path) -> Study:
    return Study(recipe=study_recipe(pictures, training__epochs="3"), seeds=4)


def test_the_price_of_a_study(study: Study, tmp_path: Path) -> None:
    work = study.prepare(StudyFolder(tmp_path / "none"), tb.Inline())
    found = forecast(work, tb.Inline(), sd=0.5)
    assert len(found.pending) == 16
    assert (found.workers, found.comparisons, found.sd) == (1, 3, 0.5)
    assert list(found.epoch_s) == ["resnet18"]
    assert 0 < found.epoch_s["resnet18"] < 60
    assert found.total_s == pytest.approx(16 * 3 * found.epoch_s["resnet18"])
    # The power of a paired t test at this effect, by hand: three effects share 5 %.
    assert found.smallest is not None
    critical, shift = stats.t.ppf(1 - 0.05 / 6, 3), found.smallest / (0.5 / 4**0.5)
    power = stats.nct.sf(critical, 3, shift) + stats.nct.cdf(-critical, 3, shift)
    assert power == pytest.approx(0.8, abs=1e-6)
    assert not (tmp_path / "none").exists()


def test_seeds_for_a_time(study: Study, tmp_path: Path) -> None:
    one = Study(recipe=study.recipe, seeds=1).prepare(StudyFolder(tmp_path), tb.Inline())
    assert 2 <= seeds_within(36_000, one, tb.Inline()) < 100_000
    with pytest.raises(
        UserError, match=r"--budget 0 s: one seed of the 4 trials takes about .*; give more time"
    ):
        seeds_within(0.01, one, tb.Inline())


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
    assert main(study_arguments(pictures, out, *more)) == 0
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
        line.startswith("resnet18: ") and line.endswith(" s an epoch, measured") for line in lines
    )
    assert any(line.startswith("27 trials to run, 1 at a time: about ") for line in lines)
    assert lines[-1].startswith("3 seeds see an effect of ")
    assert "--sd S gives it in units of top1" in lines[-1]
    assert not out.exists()


def test_dry_run_of_a_fraction_names_what_it_cannot_tell_apart(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--dry-run", "--seeds", "1", "--design", "factorial", "--resolution", "3")
    assert main(study_arguments(pictures, tmp_path / "study", *more)) == 0
    out = capsys.readouterr().out
    assert "mixup = warmup*label_smoothing" in out
    assert "4 trials to run" in out
    assert "with one seed no effect has an interval" in out


def test_a_budget_chooses_the_seeds_once(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    asked = study_arguments(pictures, out, "--tricks", "mixup", "--budget", "1h", "--workers", "1")
    assert main([*asked, "--dry-run"]) == 0
    said = capsys.readouterr().out
    seeds = int(said.partition("the budget of 1 h allows ")[2].split()[0])
    assert seeds > 10
    assert f"0-{seeds - 1}" in said
    study = Study(recipe=study_recipe(pictures), design=tb.LeaveOneOut(tricks=("mixup",)), seeds=1)
    study.run(tb.Inline(), out)
    assert main([*asked, "--dry-run"]) == 0
    assert "0 trials to run" in capsys.readouterr().out
