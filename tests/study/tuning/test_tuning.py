"""The grid of a tuning: its configurations, the choice of one, and grids that cannot be."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.study.designs.layouts import TINY
from trickbag.errors import UserError
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.limits import MAX_SEEDS
from trickbag.study.plan import StudyPlan
from trickbag.study.tuning.record import TunedArm, TunedPoint, TuningRecord, choice, edges
from trickbag.study.tuning.tuning import FIRST_SEED, Tuning, at_settings


def test_multiples_are_of_the_recipes_own_value() -> None:
    tuning = Tuning(grid=("training.lr=0.3x,1x,3x,0.5", "training.batch_size=0.5x,64"))
    slow = TINY.set("training.lr", "0.01")
    assert [dict(point.settings) for point in tuning.points(slow)] == [
        {"training.lr": lr, "training.batch_size": batch}
        for lr, batch in itertools.product(("0.003", "0.01", "0.03", "0.5"), ("128", "64"))
    ]
    assert tuning.points(TINY)[0].recipe.training.lr == 0.03, "0.1 * 0.3 has one digit"
    assert all(point.recipe.tricks == TINY.tricks for point in tuning.points(TINY))


def test_settings_of_tricks_are_tuned_where_the_trick_is() -> None:
    tuning = Tuning(grid=("training.lr=1x,3x", "mixup.alpha=1x,2x"))
    assert [point.text for point in tuning.points(TINY)] == [
        "training.lr=0.1, mixup.alpha=0.3",
        "training.lr=0.1, mixup.alpha=0.6",
        "training.lr=0.3, mixup.alpha=0.3",
        "training.lr=0.3, mixup.alpha=0.6",
    ]
    assert len(tuning.points(TINY.without("mixup"))) == 2
    chosen = at_settings(TINY, {"training.lr": "0.3", "mixup.alpha": "0.6"})
    assert chosen == tuning.points(TINY)[3].recipe


def test_configurations_that_are_the_same_recipe_count_once() -> None:
    tuning = Tuning(grid=("training.lr=0.1,1x,0.10",))
    assert [point.text for point in tuning.points(TINY)] == ["training.lr=0.1"]


def test_the_comparison_can_never_use_a_seed_of_the_tuning() -> None:
    assert FIRST_SEED >= MAX_SEEDS
    with pytest.raises(UserError, match="seeds = 10001: must be at least 1, at most 10,000"):
        StudyPlan(recipe=TINY, seeds=MAX_SEEDS + 1)


@given(
    st.lists(st.none() | st.sampled_from([0.0, 1.0, 2.5, -3.0]), min_size=1, max_size=6),
    st.integers(0, 5),
    st.sampled_from(["higher", "lower"]),
)
@settings(deadline=None, max_examples=60)
def test_the_best_is_chosen_and_of_equal_ones_the_untuned(
    values: list[float | None], untuned: int, better: str
) -> None:
    chosen = choice(values, better, untuned)
    known = [value for value in values if value is not None]
    if not known:
        assert chosen is None
        return
    best = max(known) if better == "higher" else min(known)
    assert chosen is not None
    assert values[chosen] == best
    if untuned < len(values) and values[untuned] == best:
        assert chosen == untuned
    else:
        assert chosen == values.index(best)


def test_the_edges_of_a_grid() -> None:
    grid = [
        {"training.lr": lr, "training.optimizer.kind": kind, "mixup.alpha": "0.2"}
        for lr, kind in itertools.product(("0.3", "1e-1", "1"), ("sgd", "adamw"))
    ]
    at_edge = [edges(grid, i) for i in range(len(grid))]
    # The least and the largest, whatever the order; words, and a setting of one value, have none.
    assert at_edge == [
        (),
        (),
        ("training.lr",),
        ("training.lr",),
        ("training.lr",),
        ("training.lr",),
    ]


def test_a_record_is_read_as_it_was_written() -> None:
    points = (
        TunedPoint(settings={"training.lr": "0.1"}, trials={10_000: "0a", 10_001: "0b"}),
        TunedPoint(settings={"training.lr": "0.3"}, trials={10_000: "1a", 10_001: "1b"}),
    )
    arm = TunedArm(model="resnet18", label="full", points=points, untuned=0)
    assert arm.settings == {}
    tuned = arm.with_values([0.5, 2.0], "lower")
    assert (tuned.chosen, tuned.edges, tuned.settings) == (
        0,
        ("training.lr",),
        {"training.lr": "0.1"},
    )
    unknown = arm.with_values([None, None], "higher")
    assert (unknown.tuned, unknown.chosen, unknown.settings) == (True, None, {})
    record = TuningRecord(
        tuning=Tuning(grid=("training.lr=1x,3x",), seeds=2), metric="loss", arms=(arm, tuned)
    )
    assert TuningRecord.from_dict(record.to_dict(), "here") == record


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"grid": "training.lr=1"}, "here.grid = 'training.lr=1': must be a list"),
        ({"grid": ["seed=1"]}, "seeds are what arms are paired by"),
        ({"seeds": 0}, "here.seeds = 0: must be"),
        ({"metric": None}, "here: metric = None: must be a text"),
        ({"arms": {}}, None),
        ({"arms": [3]}, r"here.arms\[0\] = 3: must be a JSON object"),
        ({"arms": [{"model": "m", "label": "a", "chosen": 0}]}, "chosen = 0: must be the place"),
        (
            {
                "arms": [
                    {
                        "model": "m",
                        "label": "a",
                        "points": [{"settings": {}, "trials": {"0": "../x"}}],
                    }
                ]
            },
            "an object of seeds and trial ids",
        ),
        (
            {
                "arms": [
                    {"model": "m", "label": "a", "points": [{"settings": {"a": 1}, "trials": {}}]}
                ]
            },
            "must be a text",
        ),
    ],
)
def test_a_damaged_record_is_named(changes: dict[str, object], says: str | None) -> None:
    data = TuningRecord(tuning=Tuning(grid=("training.lr=1x,3x",)), metric="top1").to_dict()
    if says is None:
        TuningRecord.from_dict(data | changes, "here")
        return
    with pytest.raises(UserError, match=says) as error:
        TuningRecord.from_dict(data | changes, "here")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ((), "tuning.grid is empty: name a setting"),
        (("training.lr",), "must be of the form PATH=VALUE"),
        (("training.lr=",), "must be of the form PATH=VALUE"),
        (("lr=1x",), "must be of the form PATH=VALUE"),
        (("training.lr=1x", "training.lr=2x"), "names training.lr twice; give all its values"),
        (("training.threads=1,2",), "arms cannot differ in training.threads"),
        (("mixpu.alpha=1",), "no trick 'mixpu'; did you mean mixup"),
        (("training.lr=-1x",), "training.lr = '-1x': must be a number above 0"),
        (("training.lr=0x",), "training.lr = 0.0: must be a number above 0"),
        (("training.clip_norm=2x",), "has none, and 2x of it is no number; give values"),
        (("training.batch_size=0.3x",), "training.batch_size = '76.8': must be a whole number"),
        (("mixup.alfa=1x",), "tune mixup.alfa: no setting 'alfa'; there are: alpha, "),
        (("training.lr=" + ",".join(f"0.{i:04}1" for i in range(1001)),), "has 1,001 config"),
    ],
)
def test_grids_that_cannot_be(grid: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        StudyPlan(recipe=TINY, tuning=Tuning(grid=grid))
    assert "\n" not in str(error.value)


def test_what_excludes_tuning() -> None:
    tuning = Tuning(grid=("training.lr=1x,3x",))
    with pytest.raises(UserError, match="tuning and shard exclude each other"):
        StudyPlan(recipe=TINY, tuning=tuning, shard=(1, 2))
    with pytest.raises(UserError, match=r"data.inner_folds = 3: tuning divides"):
        StudyPlan(recipe=TINY.set("data.inner_folds", "3"), tuning=tuning)
    with pytest.raises(UserError, match=r"training\.lr is tuned, and is a level too"):
        StudyPlan(recipe=TINY, tuning=tuning, design=LeaveOneOut(levels=("training.lr=0.2",)))
