from __future__ import annotations

from collections.abc import Callable

import pytest

from trickbag import recipes
from trickbag.errors import UserError
from trickbag.models.config import TimmConfig
from trickbag.optim.schedule import Constant, Cosine
from trickbag.recipe import Recipe, differences, trick_from_text
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.step_decay import StepDecay


def test_without_only_plus_are_values() -> None:
    small = recipes.small()
    less = small.without("mixup", "warmup")
    assert "mixup" in small.trick_names
    assert less.trick_names == tuple(n for n in small.trick_names if n not in ("mixup", "warmup"))
    assert small.only("mixup", "warmup").trick_names == ("warmup", "mixup")
    assert small.only().tricks == ()
    more = small.plus(Mixup(alpha=1.0))
    assert more.trick_names == small.trick_names
    assert more.tricks[-1] == Mixup(alpha=1.0)
    assert less.plus(Mixup()).trick_names[-1] == "mixup"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda r: r.without("cutmix"),
            "no trick 'cutmix' in the recipe small; it has: cosine_decay, ",
        ),
        (lambda r: r.only("cutmix"), "no trick 'cutmix'"),
        (lambda r: r.plus(StepDecay()), "exclude each other (both have the slot 'decay')"),
        (lambda r: Recipe(tricks=(Mixup(), Mixup(alpha=1.0))), "mixup is in the recipe twice"),
        (lambda r: r.set("training.lrs", "1"), "no setting 'lrs'"),
        (lambda r: r.set("lr", "1"), "no setting 'lr'; a path starts with"),
        (lambda r: r.set("tricks.mixup", "1"), "tricks.mixup has no setting"),
        (lambda r: r.set("tricks.mixup.alpha", "0"), "alpha = 0.0: must be a number above 0"),
        (lambda r: r.set("tricks.cutmix.alpha", "1"), "no trick 'cutmix'"),
        (lambda r: r.set("model.depth", "51"), "depth = '51': must be one of 18, 34, 50, 101, 152"),
        (lambda r: Recipe.from_dict([]), "a recipe is a mapping"),
        (lambda r: Recipe.from_dict({"schema": 2}), "schema = 2"),
        (lambda r: Recipe.from_dict({"trainin": {}}), "no part 'trainin'; it has: "),
        (
            lambda r: Recipe.from_dict({"tricks": ["mixup"]}),
            "must be a mapping of names to settings",
        ),
        (
            lambda r: Recipe.from_dict({"tricks": {"mixup": {"beta": 1}}}),
            "tricks.mixup has no setting 'beta'; it has: alpha",
        ),
        (
            lambda r: Recipe.from_dict({"tricks": {"mixup": 3}}),
            "tricks.mixup = 3: must be a mapping",
        ),
        (lambda r: Recipe.from_dict({"model": "resnet7"}), "no model 'resnet7'"),
        (
            lambda r: Recipe.from_dict({"model": {"kind": "vit"}}),
            "model.kind = 'vit': must be one of resnet, timm",
        ),
        (lambda r: Recipe.from_dict({"training": {"lr": "x"}}), "lr = 'x': must be a number"),
        (lambda r: trick_from_text("mixup:alpha"), "mixup has"),
        (lambda r: trick_from_text("mixup:alfa=1"), "no setting 'alfa'"),
        (lambda r: trick_from_text("mixupp"), "did you mean mixup"),
        (lambda r: trick_from_text("no.such.module:Trick"), "cannot import 'no.such.module'"),
        (lambda r: recipes.load("smal"), "no recipe 'smal'; there are assemble_e0, assemble_e1"),
        (
            lambda r: recipes.load("missing.json"),
            "cannot read the recipe missing.json: No such file",
        ),
    ],
)
def test_wrong_recipes_name_value_and_way_out(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError) as error:
        make(recipes.small())
    assert message in str(error.value)


def test_text_gives_tricks() -> None:
    assert trick_from_text("mixup") == Mixup()
    assert trick_from_text("label_smoothing:smoothing=0.2,definition=others") == LabelSmoothing(
        smoothing=0.2, definition="others"
    )
    assert trick_from_text("trickbag.tricks.mixup:Mixup:alpha=0.4") == Mixup(alpha=0.4)


def test_set_reads_by_type() -> None:
    recipe = (
        recipes.small()
        .set("tricks.mixup.alpha", "0.4")
        .set("schedule.decay", "constant")
        .set("model", "timm:resnet10t")
    )
    assert recipe.tricks[-1] == Mixup(alpha=0.4)
    assert recipe.schedule.decay == Constant()
    assert recipe.model == TimmConfig(name="resnet10t")


def test_id_is_of_what_determines_the_run() -> None:
    recipe = recipes.small(data="here/photos")
    assert recipe.id == recipes.small(data="there/photos").replace(name="mine").id
    assert recipe.id == recipe.set("data.workers", "3").set("data.image_root", "x").id
    assert recipe.id == recipe.set("data.worker_kind", "threads").id
    assert recipe.id == recipe.set("data.hold_images", "false").id
    for path, value in [
        ("training.lr", "0.2"),
        ("data.image_size", "32"),
        ("tricks.mixup.alpha", "0.3"),
    ]:
        assert recipe.set(path, value).id != recipe.id
    # Written down once: a change here makes every trial that anybody has run another one.
    assert Recipe.from_dict({"schema": 1}).id == Recipe().id


def test_schedule_hooks_give_the_papers_schedule() -> None:
    assert CosineDecay().schedule(recipes.baseline().schedule).decay == Cosine()


def test_differences_name_the_place() -> None:
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ["a.c (2, not 3)"]
    assert differences({"a": 1}, {"a": 1}) == []
    assert differences({}, {"a": 1}) == ['a ("absent", not 1)']
