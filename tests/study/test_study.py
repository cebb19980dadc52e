"""A study from end to end on real images, in this process: what it runs, stores and refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import trickbag as tb
from tests.builders.recipes import study_recipe
from tests.builders.runs import without_times
from tests.builders.studies import LimitedExecutor, effects, results, two_trick_study
from trickbag.errors import Stopped, UserError
from trickbag.study.folder import StudyFolder
from trickbag.study.log import StudyLog
from trickbag.study.study import Study
from trickbag.tricks.linear_scaling import LinearScaling


@pytest.fixture(scope="module")
def study(pictures: Path) -> Study:
    return two_trick_study(pictures)


@pytest.fixture(scope="module")
def finished(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, undisturbed; read only."""
    out = tmp_path_factory.mktemp("whole") / "study"
    study.run(LimitedExecutor(), out)
    return out


def test_what_a_study_leaves(study: Study, finished: Path) -> None:
    stored = json.loads((finished / "study.json").read_text())
    assert [v["label"] for v in stored["layouts"][0]["variants"]] == [
        "full",
        "-mixup",
        "-label_smoothing",
    ]
    assert (stored["seeds"], stored["outcome"], stored["models"]) == (2, "top1", [])
    lines = results(finished)
    assert sorted((r["label"], r["seed"]) for r in lines.values()) == sorted(
        (label, seed) for label in ("full", "-mixup", "-label_smoothing") for seed in (0, 1)
    )
    for name, line in lines.items():
        result = json.loads((finished / "trials" / name / "result.json").read_text())
        assert result["trial"] == name
        assert without_times(result["metrics"]) == line["metrics"]
        assert not (finished / "trials" / name / "last.ckpt").exists()
    assert [(e["label"], e["model"], e["pairs"]) for e in effects(finished)] == [
        ("mixup", "resnet18, changed", 2),
        ("label_smoothing", "resnet18, changed", 2),
    ]
    assert {path.name for path in finished.iterdir()} >= {
        "study.json",
        "results.jsonl",
        "effects.json",
        "effects.csv",
    }
    assert not (finished / "decoded").exists()


def test_effects_are_the_paired_differences_of_the_trials(finished: Path) -> None:
    top1 = {
        (line["label"], line["seed"]): line["metrics"]["top1"]
        for line in results(finished).values()
    }
    for effect in effects(finished):
        by_hand = [top1["full", seed] - top1[f"-{effect['label']}", seed] for seed in (0, 1)]
        assert effect["delta"] == pytest.approx(sum(by_hand) / 2, abs=1e-12)


def test_a_trial_is_the_run_that_train_does_alone(
    finished: Path, pictures: Path, tmp_path: Path
) -> None:
    line = next(r for r in results(finished).values() if (r["label"], r["seed"]) == ("-mixup", 1))
    alone = tb.fit(
        study_recipe(pictures, training__device="cpu", training__keep="last").without("mixup"),
        seed=1,
        out=tmp_path / "run",
    )
    assert alone.trial == line["trial"]
    assert without_times(alone.metrics) == line["metrics"]
    weights = [
        (f / "best.safetensors").read_bytes()
        for f in (tmp_path / "run", finished / "trials" / alone.trial)
    ]
    assert weights[0] == weights[1]


def test_run_again_runs_nothing(study: Study, finished: Path) -> None:
    before = (finished / "results.jsonl").read_bytes()
    executor = LimitedExecutor()
    findings = study.run(executor, finished)
    assert executor.ran == []
    assert (finished / "results.jsonl").read_bytes() == before
    assert len(findings) == 2
    assert findings[0].label == "mixup"
    assert [row["seed"] for row in findings.results] == [0, 0, 0, 1, 1, 1]
    assert findings.results[0].keys() >= {
        "label",
        "model",
        "seed",
        "trial",
        "error",
        "top1",
        "loss",
    }


@pytest.mark.slow
def test_stopped_and_continued(study: Study, finished: Path, tmp_path: Path) -> None:
    out, ran = tmp_path / "study", []
    for limit in (1, 3):
        executor = LimitedExecutor(limit)
        with pytest.raises(
            Stopped,
            match=r"stopped by SIGTERM; \d trials are finished, \d are left; the same call goes on",
        ):
            study.run(executor, out)
        ran += executor.ran
    last = LimitedExecutor()
    study.run(last, out)
    assert ran + last.ran == [
        f"{label}/{seed}" for seed in (0, 1) for label in ("full", "-mixup", "-label_smoothing")
    ]
    assert effects(out) == effects(finished)
    assert results(out) == results(finished)


@pytest.mark.slow
def test_extended_without_running_anything_twice(
    study: Study, finished: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    small = dataclasses.replace(study, design=tb.LeaveOneOut(tricks=("mixup",)), seeds=1)
    steps = [
        (small, {}, ["full/0", "-mixup/0"]),
        (small, {"add_seeds": 1}, ["full/1", "-mixup/1"]),
        # The whole study needs no more than the trick that is new, and does not lose the seed.
        (dataclasses.replace(study, seeds=1), {}, ["-label_smoothing/0", "-label_smoothing/1"]),
        (
            dataclasses.replace(
                study, design=tb.LeaveOneOut(tricks=("mixup",), levels=("mixup.alpha=0.2,1",))
            ),
            {},
            ["mixup.alpha=1/0", "mixup.alpha=1/1"],  # 0.2 is the recipe's own
        ),
    ]
    for extension, options, expected in steps:
        executor = LimitedExecutor()
        extension.run(executor, out, **options)
        assert executor.ran == expected
    delta_of = {effect["label"]: effect["delta"] for effect in effects(out)}
    assert list(delta_of) == ["mixup", "mixup.alpha=0.2", "mixup.alpha=1", "label_smoothing"]
    assert delta_of["mixup"] == delta_of["mixup.alpha=0.2"]
    for effect in effects(finished):
        assert delta_of[effect["label"]] == effect["delta"]


@pytest.mark.slow
def test_more_seeds_wait_for_the_study_that_is_not_finished(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "study"
    small = dataclasses.replace(study, seeds=1)
    with pytest.raises(Stopped):
        small.run(LimitedExecutor(1), out)
    rest = LimitedExecutor()
    small.run(rest, out, add_seeds=5)
    assert rest.ran == ["-mixup/0", "-label_smoothing/0"]
    assert json.loads((out / "study.json").read_text())["seeds"] == 1


@pytest.mark.slow
def test_seeds_left_open_are_those_of_the_study(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "study"
    small = dataclasses.replace(study, design=tb.LeaveOneOut(tricks=("mixup",)), seeds=1)
    small.run(LimitedExecutor(), out)
    again = LimitedExecutor()
    dataclasses.replace(small, seeds=None).run(again, out)
    assert again.ran == []
    more = LimitedExecutor()
    dataclasses.replace(small, seeds=None).run(more, out, add_seeds=1)
    assert more.ran == ["full/1", "-mixup/1"]
    assert dataclasses.replace(small, seeds=None).number_of_seeds == 5


@pytest.mark.slow
def test_progress_is_shown_on_stderr_unless_a_log_says_otherwise(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = dataclasses.replace(study, design=tb.LeaveOneOut(tricks=("mixup",)), seeds=1)
    small.run(LimitedExecutor(), tmp_path / "shown")
    output = capsys.readouterr()
    assert output.err.splitlines()[0] == "2 trials to run, 0 finished"
    assert output.err.splitlines()[-1].startswith("[2/2] resnet18, changed, -mixup, seed 0: top1 ")
    assert output.out == ""
    small.run(LimitedExecutor(), tmp_path / "quiet", log=StudyLog())
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_another_network_joins(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "study"
    # By its name: a network of another width has none.
    recipe = study.recipe.set("model.width_factor", "1")
    design = tb.LeaveOneOut(tricks=("mixup",))
    small = dataclasses.replace(study, recipe=recipe, design=design, seeds=1)
    small.run(LimitedExecutor(), out)
    both = LimitedExecutor()
    dataclasses.replace(small, models=("timm:resnet10t",)).run(both, out)
    assert both.ran == ["full/0", "-mixup/0"]
    assert [(e["label"], e["model"]) for e in effects(out)] == [
        ("mixup", "resnet18"),
        ("mixup", "timm:resnet10t"),
    ]


def test_a_trick_that_does_not_apply_is_a_row(pictures: Path, tmp_path: Path) -> None:
    recipe = study_recipe(pictures).on("timm:test_resnet").plus(tb.tricks.find("resnet_d")())
    executor = LimitedExecutor()
    findings = Study(
        recipe=recipe, design=tb.LeaveOneOut(tricks=("mixup", "resnet_d")), seeds=1
    ).run(executor, tmp_path / "study")
    assert executor.ran == ["full/0", "-mixup/0"]
    assert findings[1].label == "resnet_d"
    assert findings[1].delta is None
    assert findings[1].status == "does_not_apply"


def test_a_trick_without_effect_is_a_row(pictures: Path, tmp_path: Path) -> None:
    # timm's own initialisation has zeros there already.
    recipe = (
        study_recipe(pictures).on("timm:test_resnet").plus(tb.tricks.find("zero_init_residual")())
    )
    design = tb.LeaveOneOut(tricks=("zero_init_residual",))
    findings = Study(recipe=recipe, design=design, seeds=2).run(
        LimitedExecutor(), tmp_path / "study"
    )
    assert findings[0].status == "no_effect"
    assert (findings[0].delta, findings[0].low, findings[0].p, findings[0].verdict) == (
        0.0,
        None,
        None,
        "undetermined",
    )


def test_a_trial_that_fails_is_a_result(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "study"
    wild = dataclasses.replace(
        study,
        recipe=study.recipe.set("training.lr", "1e18").set("training.epochs", "2"),
        design=tb.LeaveOneOut(tricks=("mixup",)),
        seeds=1,
        retries=1,
    )
    for tries in (1, 2):
        findings = wild.run(tb.Inline(), out)
        assert [row["error"] is not None for row in findings.results] == [True, True]
        assert "not finite" in findings.results[0]["error"]
        assert len((out / "results.jsonl").read_text().splitlines()) == 2 * tries
    wild.run(tb.Inline(), out)  # no more retries
    assert len((out / "results.jsonl").read_text().splitlines()) == 4
    assert effects(out)[0]["delta"] is None
    assert effects(out)[0]["note"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"training.lr": "0.2"},
            r"holds another study; these differ: training.lr \(0.2, not 0.4\); choose another "
            r"out$",
        ),
        ({"tricks.mixup.alpha": "1"}, r"tricks.mixup.alpha \(1.0, not 0.2\)"),
        ({"data.val_fraction": "0.3"}, r"data.val_fraction \(0.3, not 0.2\)"),
    ],
)
def test_another_recipe_is_refused(
    study: Study, finished: Path, change: dict[str, str], message: str
) -> None:
    recipe = study.recipe
    for path, value in change.items():
        recipe = recipe.set(path, value)
    before = {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    with pytest.raises(UserError, match=message):
        dataclasses.replace(study, recipe=recipe).run(LimitedExecutor(), finished)
    assert {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()} == before


def test_another_design_version_or_shard_is_refused(
    study: Study, finished: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"design \(one-at-a-time, not leave-one-out\)"):
        dataclasses.replace(study, design=tb.OneAtATime()).run(LimitedExecutor(), finished)
    with pytest.raises(UserError, match="shard"):
        dataclasses.replace(study, shard=(1, 2)).run(LimitedExecutor(), finished)
    old = StudyFolder(tmp_path)
    record = StudyFolder(finished).read_study()
    assert record is not None
    old.write_study(dataclasses.replace(record, version="0.0.9"))
    with pytest.raises(UserError, match=r"version \('0.0.9', here '"):
        study.run(LimitedExecutor(), tmp_path)


def test_another_bare_recipe_is_refused(study: Study, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    recipe = study.recipe.plus(LinearScaling())
    kept = dataclasses.replace(study, recipe=recipe, design=tb.OneAtATime())
    folder.write_study(kept.prepare(folder, tb.Inline()).record())
    more = dataclasses.replace(kept, design=tb.OneAtATime(tricks=("mixup", "resnet_d")))
    plan = more.prepare(folder, tb.Inline()).plan
    assert plan.design.tricks == ("warmup", "label_smoothing", "mixup", "resnet_d")
    named = dataclasses.replace(kept, design=tb.OneAtATime(tricks=("mixup", "linear_scaling")))
    with pytest.raises(
        UserError, match=r"tricks of the bare recipe \(none, not linear_scaling\); choose another"
    ):
        named.prepare(folder, tb.Inline())


@pytest.mark.slow
def test_a_torn_line_runs_again(study: Study, tmp_path: Path) -> None:
    out = StudyFolder(tmp_path / "study")
    small = dataclasses.replace(study, seeds=1)
    small.run(LimitedExecutor(), out.path)
    lines = out.results.read_bytes().split(b"\n")
    out.results.write_bytes(b"\n".join([*lines[:2], lines[2][:30]]))
    executor = LimitedExecutor()
    small.run(executor, out.path)
    assert executor.ran == ["-label_smoothing/0"]  # its folder holds the finished run
    assert len(results(out.path)) == 3
