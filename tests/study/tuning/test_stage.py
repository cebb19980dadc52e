"""The trials of a tuning, what they choose, and what is said of the effects."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.study.designs.layouts import ARMS, EVERY, TINY, recipe_of
from trickbag.errors import UserError
from trickbag.recipe import digest
from trickbag.study.analysis.effect import Effect
from trickbag.study.analysis.looks import Verdict
from trickbag.study.designs.backbones import Backbones
from trickbag.study.designs.design import Design
from trickbag.study.designs.layout import Layout
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.plan import StudyPlan
from trickbag.study.records.result import StoredResult
from trickbag.study.trial import Trial
from trickbag.study.tuning.effects import with_tuning_notes
from trickbag.study.tuning.layouts import tuned_layouts
from trickbag.study.tuning.record import TuningRecord
from trickbag.study.tuning.stage import TuningStage, decided, tuning_metric, tuning_stage
from trickbag.study.tuning.tuning import FIRST_SEED, Tuning
from trickbag.train.folder.identity import trial_of

LRS = Tuning(grid=("training.lr=0.3x,1x,3x",), seeds=3)
DATA = "0f1e"


def result_of(trial: Trial, value: float | None, error: str | None = None) -> StoredResult:
    return StoredResult(
        trial=trial.id,
        label=trial.label,
        seed=trial.seed,
        model=trial.model,
        metrics={"top1": value},
        error=error,
        status="finished" if error is None else "failed",
    )


def stage_of(
    layouts: Sequence[Layout],
    results: Sequence[StoredResult] = (),
    before: TuningRecord | None = None,
    tuning: Tuning = LRS,
) -> TuningStage:
    return decided(tuning_stage(layouts, tuning, "top1", DATA, results, before), retries=0)


def layouts_of(design: Design = LeaveOneOut()) -> list[Layout]:  # noqa: B008  (frozen)
    return [design.layout(TINY, "resnet50")]


def tuned(values: dict[str, list[list[float]]], before: TuningRecord | None = None) -> TuningStage:
    """The stage after trials with these values, by arm, then configuration, then seed."""
    layouts = layouts_of()
    begun = stage_of(layouts)
    results = []
    for arm in begun.record.arms:
        for i, point in enumerate(arm.points):
            for j, trial in enumerate(point.trials.values()):
                value = values.get(arm.label, [[50.0] * 3] * 3)[i][j]
                results.append(result_of(begun.progress.trial_plan.trials[trial], value))
    return stage_of(layouts, results, before)


@pytest.mark.parametrize("design", [*EVERY, *ARMS], ids=lambda design: design.kind)
def test_every_arm_of_every_design_has_the_same_grid(design: Design) -> None:
    layouts = [design.layout(TINY, "resnet50")]
    stage = stage_of(layouts)
    variants = {v.label: v.recipe for v in layouts[0].variants if v.recipe is not None}
    assert [arm.label for arm in stage.record.arms] == list(variants)
    for arm in stage.record.arms:
        recipe = variants[arm.label]
        lr = recipe.training.lr
        assert [float(p.settings["training.lr"]) for p in arm.points] == pytest.approx(
            [0.3 * lr, lr, 3 * lr]
        )
        assert arm.untuned == 1
        for point in arm.points:
            assert sorted(point.trials) == [FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2]
            for seed, name in point.trials.items():
                trial = stage.progress.trial_plan.trials[name]
                # An ordinary trial: its id is that of its recipe and seed, on these data.
                assert name == digest(trial_of(trial.recipe, seed, DATA))
                assert trial.recipe.data.inner_folds == 5
                assert trial.recipe.data.inner_fold == 0
                assert trial.recipe.tricks == recipe.tricks
    assert not stage.finished


def test_each_arm_gets_its_best_value_and_no_other_change() -> None:
    stage = tuned(
        {"full": [[1, 2, 3], [7, 8, 9], [4, 5, 6]], "-mixup": [[1] * 3, [2] * 3, [3] * 3]}
    )
    assert stage.finished
    arms = {arm.label: arm for arm in stage.record.arms}
    assert [point.value for point in arms["full"].points] == [2, 8, 5]
    assert (arms["full"].chosen, arms["full"].edges) == (1, ())
    assert (arms["-mixup"].chosen, arms["-mixup"].edges) == (2, ("training.lr",))
    assert arms["-warmup"].chosen == 1, "of equal values the untuned is taken"
    (before,) = layouts_of()
    (after,) = tuned_layouts([before], stage.record)
    assert recipe_of(after, "full") == recipe_of(before, "full")
    assert recipe_of(after, "-mixup") == recipe_of(before, "-mixup").set("training.lr", "0.3")
    assert recipe_of(after, "-mixup").data.inner_folds is None
    assert after.contrasts == before.contrasts


def test_a_choice_stays_whatever_comes_later() -> None:
    first = tuned({"full": [[9] * 3, [1] * 3, [1] * 3]})
    again = tuned({"full": [[1] * 3, [1] * 3, [9] * 3]}, before=first.record)
    assert again.record == first.record
    # Of arms that are added later the others are not tuned anew.
    more = stage_of(layouts_of(LeaveOneOut(levels=("mixup.alpha=1",))), [], first.record)
    arms = {arm.label: arm for arm in more.record.arms}
    assert arms["full"] == first.record.arms[0]
    assert not arms["mixup.alpha=1"].tuned


def test_a_configuration_whose_trial_failed_is_not_chosen() -> None:
    layouts = layouts_of()
    begun = stage_of(layouts)
    trials = list(begun.progress.trial_plan.trials.values())
    results = [
        result_of(trial, 99.0 if "lr=0.3]" in trial.label else 50.0)
        if not (trial.label == "full [training.lr=0.3]" and trial.seed == FIRST_SEED)
        else result_of(trial, None, "the disk is full")
        for trial in trials
    ]
    arms = {arm.label: arm for arm in stage_of(layouts, results).record.arms}
    assert [point.value for point in arms["full"].points] == [50, 50, None]
    assert arms["full"].chosen == 1
    assert arms["-mixup"].chosen == 2
    # With a trial left nothing is chosen yet.
    assert not stage_of(layouts, results[:-1]).finished
    failed = [result_of(trial, None, "the disk is full") for trial in trials]
    stage = stage_of(layouts, failed)
    assert stage.finished
    assert tuned_layouts(layouts, stage.record) == layouts
    assert "no tuning trial of full, -warmup, -label_smoothing and 1 more gave a value" in (
        stage.notes()[-1].reason
    )


def test_notes_say_what_the_arms_have_not_in_common() -> None:
    tuning = Tuning(grid=("mixup.alpha=0.5,1",), seeds=1)
    stage = stage_of(layouts_of(), tuning=tuning)
    reasons = [note.reason for note in stage.notes()]
    assert "with" not in reasons[0]
    assert reasons[0].startswith("every arm is tuned before the comparison: mixup.alpha=0.5,1, on")
    assert "by the mean top1 of the seeds 10000, which are not used again" in reasons[0]
    assert reasons[1].startswith("-mixup have fewer configurations than other arms")
    assert reasons[2].startswith("the grid lacks the untuned value of full, -warmup and -label")


def effect(verdict: Verdict = "undetermined") -> Effect:
    return Effect(
        label="mixup",
        model="resnet50",
        delta=0.1,
        low=-1.0,
        high=1.2,
        p=0.5,
        p_raw=0.5,
        sd=1.0,
        pairs=5,
        verdict=verdict,
        plus="full",
        minus="-mixup",
    )


def kinds(effect: Effect) -> list[str]:
    return [note.kind for note in effect.notes]


def test_a_trick_that_helps_at_the_untuned_value_alone_is_flagged() -> None:
    # At the untuned value full is better by 2; tuned, without the trick, it is no more.
    values = {
        "full": [[50, 51, 52], [60, 61, 62.1], [50, 51, 52]],
        "-mixup": [[61, 62, 63], [58, 59, 60], [50, 51, 52]],
    }
    stage = tuned(values)
    (flagged,) = with_tuning_notes([effect()], stage)
    assert kinds(flagged) == ["at_edge", "untuned_only"]
    assert flagged.untuned_only
    assert "-mixup: the chosen training.lr=0.03 is at the edge" in flagged.notes[0].reason
    assert "by 2.03 of top1 in 3 pairs of tuning trials" in flagged.notes[1].reason
    (helps,) = with_tuning_notes([effect("helps")], stage)
    assert kinds(helps) == ["at_edge"]
    # A difference that could be chance is no help.
    noisy = dict(values, full=[[50, 51, 52], [53, 69, 60], [50, 51, 52]])
    assert kinds(with_tuning_notes([effect()], tuned(noisy))[0]) == ["at_edge"]
    # Where no arm was changed the study itself is about the untuned value.
    same = dict(values, **{"-mixup": [[1, 1, 1], [58, 59, 60], [50, 51, 52]]})
    assert kinds(with_tuning_notes([effect()], tuned(same))[0]) == []


@pytest.mark.parametrize(
    ("outcome", "metric"),
    [
        ("top1", "top1"),
        ("loss", "loss"),
        ("test_top1", "top1"),
        ("last_ece", "ece"),
        ("train_time_s", "top1"),
        ("mean_corruption_error", "top1"),
    ],
)
def test_the_choice_is_by_what_a_run_measures_on_its_validation_part(
    outcome: str, metric: str
) -> None:
    assert tuning_metric(outcome, TINY) == metric


def test_a_start_for_each_seed_cannot_be_tuned() -> None:
    plan = StudyPlan(
        recipe=TINY,
        design=Backbones.of({"thin": "resnet18", "each": ("resnet34", "resnet34_d")}),
    )
    with pytest.raises(UserError, match="each starts each seed from a run of its own"):
        stage_of(plan.layouts({}))
