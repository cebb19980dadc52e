from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pytest

from trickbag import recipes
from trickbag import tricks as trick_table
from trickbag.errors import DoesNotApply, Note, UserError
from trickbag.models.config import model_config
from trickbag.recipe import Recipe
from trickbag.study.designs.cumulative import Cumulative
from trickbag.study.designs.design import Design
from trickbag.study.designs.factorial import Factorial
from trickbag.study.designs.layout import Contrast
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.designs.named import ARM_DESIGNS, DESIGNS, read_design
from trickbag.study.designs.one_at_a_time import OneAtATime
from trickbag.study.prepare import longer_training
from trickbag.study.study import Study
from trickbag.tricks import Trick
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.linear_scaling import LinearScaling
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.resnet_tweaks import ResNetB, ResNetD
from trickbag.tricks.step_decay import StepDecay
from trickbag.tricks.warmup import Warmup

if TYPE_CHECKING:
    from trickbag.optim.config import TrainConfig

from tests.study.designs.layouts import (
    ARMS,
    EVERY,
    SMALL,
    TIMM,
    TINY,
    Leans,
    Strength,
    by_label,
    names,
    recipe_of,
    rows,
)


@dataclass(frozen=True, kw_only=True)
class Wrong(Trick):
    """A stranger's trick with a hook that refuses the recipe's value, whatever the network."""

    name: ClassVar[str] = "wrong"
    paper: ClassVar[str] = "none"

    def training(self, training: TrainConfig) -> TrainConfig:
        raise UserError("training.batch_size: too small for this trick")


@pytest.mark.parametrize("recipe", recipes.RECIPES)
@pytest.mark.parametrize("kind", DESIGNS)
@pytest.mark.parametrize("network", ["resnet50_a", "resnet18", TIMM])
def test_every_design_over_every_named_recipe(kind: str, recipe: str, network: str) -> None:
    base = recipes.RECIPES[recipe](model=network)
    design = DESIGNS[kind]() if kind != "factorial" else Factorial(resolution=4)
    layout = design.layout(base, network)
    assert layout == design.layout(base, network)
    assert layout.model == network
    assert {variant.model for variant in layout.variants} == {network}
    labels = [variant.label for variant in layout.variants]
    assert len(set(labels)) == len(labels)
    variants = by_label(layout)
    for variant in layout.variants:
        assert (variant.recipe is None) == bool(variant.reason)
        if variant.recipe is not None:
            assert variant.recipe.name == variant.label
            assert variant.recipe.replace(name=base.name, tricks=base.tricks) == base, (
                "only the tricks differ"
            )
    kept = [t.name for t in base.tricks if t.fits_lr_to_batch and kind != "leave-one-out"]
    studied = [name for name in base.trick_names if name not in kept]
    for variant in layout.variants:
        assert set(kept) <= set(names(variant.recipe) or kept), "at the rate that fits the batch"
    assert [note.trick for note in layout.notes if "stays in every variant" in note.text] == kept
    if kind == "factorial":
        assert layout.factors == tuple(studied)
        assert layout.contrasts == ()
        return
    steps = [contrast for contrast in layout.contrasts if contrast.trick]
    assert [contrast.trick for contrast in steps] == studied
    assert any(variant.recipe is not None and variant.recipe.tricks for variant in layout.variants)
    together = [contrast for contrast in layout.contrasts if contrast not in steps]
    if kind != "cumulative":
        assert not together
    for contrast in together:
        assert contrast.minus == "bare"
        assert (
            variants[contrast.plus].recipe
            == [v.recipe for v in layout.variants if v.recipe is not None][-1]
        )
    for contrast in steps:
        plus, minus = variants[contrast.plus].recipe, variants[contrast.minus].recipe
        if plus is not None and minus is not None:
            assert plus.without(contrast.trick).tricks == minus.tricks
        else:
            reasons = variants[contrast.plus].reason + variants[contrast.minus].reason
            assert contrast.trick in reasons, "a row that cannot be says why"


@pytest.mark.parametrize(
    "design",
    [
        *EVERY,
        LeaveOneOut(tricks=("mixup",), levels=("mixup.alpha=0.1,0.4",)),
        OneAtATime(tricks=("mixup", "warmup")),
        Cumulative(levels=("mixup.lam=pair",)),
        Factorial(tricks=("mixup", "warmup", "resnet_d"), resolution=3),
        *ARMS,
    ],
)
def test_designs_survive_json(design: Design) -> None:
    data = json.loads(json.dumps(design.to_dict()))
    assert data["kind"] == design.kind
    assert read_design(data) == design
    assert {**DESIGNS, **ARM_DESIGNS}[design.kind] is type(design)


def test_the_command_lines_names() -> None:
    assert list(DESIGNS) == ["leave-one-out", "one-at-a-time", "cumulative", "factorial"]
    assert "levels" not in Factorial().to_dict()


def test_every_design_of_arms_is_against_its_first() -> None:
    assert [type(design) for design in ARMS] == list(ARM_DESIGNS.values())
    for design in ARMS:
        assert design.subject != "trick"
        layout = design.layout(TINY, design.network(TINY))
        labels = [variant.label for variant in layout.variants]
        assert design.first(TINY) == labels[0]
        assert rows(layout) == [(label, "", label, labels[0]) for label in labels[1:]]
        assert {variant.recipe.name for variant in layout.variants if variant.recipe} == {*labels}
        with pytest.raises(UserError, match=f"the {design.subject}s of a study name its networks"):
            Study(recipe=TINY, design=design, models=("resnet18",))
        with pytest.raises(UserError, match=f"study of {design.subject}s compares no tricks"):
            dataclasses.replace(design, tricks=("mixup",))


def test_leave_one_out() -> None:
    layout = LeaveOneOut().layout(TINY, "resnet50")
    assert {variant.label: names(variant.recipe) for variant in layout.variants} == {
        "full": ("warmup", "label_smoothing", "mixup"),
        "-warmup": ("label_smoothing", "mixup"),
        "-label_smoothing": ("warmup", "mixup"),
        "-mixup": ("warmup", "label_smoothing"),
    }
    assert rows(layout) == [(name, name, "full", f"-{name}") for name in TINY.trick_names]
    assert recipe_of(layout, "full").id == TINY.id
    some = LeaveOneOut(tricks=("mixup", "warmup")).layout(TINY, "resnet50")
    assert list(by_label(some)) == ["full", "-mixup", "-warmup"]


def test_leave_one_out_with_levels() -> None:
    texts = ("mixup.alpha=0.1, 0.10,1", "mixup.lam=pair", "mixup.alpha=1.0", "warmup.epochs=2")
    layout = LeaveOneOut(levels=texts).layout(TINY, "resnet50")
    assert rows(layout) == [
        ("warmup", "warmup", "full", "-warmup"),
        ("warmup.epochs=2", "warmup", "warmup.epochs=2", "-warmup"),
        ("label_smoothing", "label_smoothing", "full", "-label_smoothing"),
        ("mixup", "mixup", "full", "-mixup"),
        ("mixup.alpha=0.1", "mixup", "mixup.alpha=0.1", "-mixup"),
        ("mixup.alpha=1", "mixup", "mixup.alpha=1", "-mixup"),
        ("mixup.lam=pair", "mixup", "mixup.lam=pair", "-mixup"),
    ]
    assert recipe_of(layout, "mixup.alpha=0.1").tricks == (
        Warmup(),
        LabelSmoothing(),
        Mixup(alpha=0.1),
    )
    assert recipe_of(layout, "mixup.lam=pair").tricks == (
        Warmup(),
        LabelSmoothing(),
        Mixup(alpha=0.3, lam="pair"),
    )
    assert recipe_of(layout, "warmup.epochs=2").tricks == (
        Warmup(epochs=2.0),
        LabelSmoothing(),
        Mixup(alpha=0.3),
    )
    same = LeaveOneOut(levels=("mixup.alpha=0.3",)).layout(TINY, "resnet50")
    assert recipe_of(same, "mixup.alpha=0.3").id == recipe_of(same, "full").id


def test_one_at_a_time() -> None:
    studied = ("mixup", "cosine_decay", "label_smoothing")
    layout = OneAtATime(tricks=studied, levels=("mixup.alpha=0.1",)).layout(TINY, "resnet50")
    assert {
        label: variant.recipe and variant.recipe.tricks
        for label, variant in by_label(layout).items()
    } == {
        "bare": (),
        "+mixup": (Mixup(alpha=0.3),),
        "+mixup.alpha=0.1": (Mixup(alpha=0.1),),
        "+cosine_decay": (CosineDecay(),),
        "+label_smoothing": (LabelSmoothing(),),
    }
    assert rows(layout) == [
        ("mixup", "mixup", "+mixup", "bare"),
        ("mixup.alpha=0.1", "mixup", "+mixup.alpha=0.1", "bare"),
        ("cosine_decay", "cosine_decay", "+cosine_decay", "bare"),
        ("label_smoothing", "label_smoothing", "+label_smoothing", "bare"),
    ]
    assert [c.trick for c in OneAtATime().layout(TINY, "resnet50").contrasts] == list(
        TINY.trick_names
    )
    assert OneAtATime(tricks=studied).studied(TINY) == (
        Mixup(alpha=0.3),
        CosineDecay(),
        LabelSmoothing(),
    )
    assert LeaveOneOut().studied(TINY) == TINY.tricks
    alone = OneAtATime(tricks=("mixup",)).layout(Recipe(), "resnet50")
    assert recipe_of(alone, "+mixup").tricks == (Mixup(),)


@dataclass(frozen=True, kw_only=True)
class RateRule(Trick):
    """A stranger's trick that fits the learning rate to the batch."""

    name: ClassVar[str] = "rate_rule"
    paper: ClassVar[str] = "none"
    fits_lr_to_batch: ClassVar[bool] = True


@pytest.mark.parametrize("rule", [LinearScaling(), RateRule()])
@pytest.mark.parametrize("design", [OneAtATime, Cumulative, Factorial])
def test_the_bare_recipe_keeps_what_fits_the_rate_to_the_batch(
    rule: Trick, design: type[Design]
) -> None:
    recipe = Recipe(name="ruled", tricks=(rule, LabelSmoothing(), Mixup()))
    layout = design().layout(recipe, "resnet50")
    first = layout.variants[0].recipe
    assert first is not None
    assert first.tricks == (rule,)
    assert rule.name not in {contrast.trick for contrast in layout.contrasts}
    assert (layout.notes[0].kind, layout.notes[0].trick) == ("study", rule.name)
    assert f"{rule.name} stays in every variant" in layout.notes[0].text
    # Named among the tricks to study it is one of them, also as package.module:Class.
    for name in {rule.name, trick_table.key(type(rule))}:
        named = design(tricks=(name, "mixup")).layout(recipe, "resnet50")
        lacking = [v for v in named.variants if rule.name not in (names(v.recipe) or ())]
        assert lacking
        assert named.notes == ()
    with pytest.raises(UserError, match=f"but {rule.name}, which stays unless --tricks names it"):
        design().layout(recipe.only(rule.name), "resnet50")


def test_cumulative() -> None:
    layout = Cumulative(levels=("label_smoothing.smoothing=0.2",)).layout(TINY, "resnet50")
    assert {
        label: variant.recipe and variant.recipe.tricks
        for label, variant in by_label(layout).items()
    } == {
        "bare": (),
        "+warmup": (Warmup(),),
        "+label_smoothing": (Warmup(), LabelSmoothing()),
        "+label_smoothing.smoothing=0.2": (Warmup(), LabelSmoothing(smoothing=0.2)),
        "+mixup": (Warmup(), LabelSmoothing(), Mixup(alpha=0.3)),
    }
    assert rows(layout) == [
        ("warmup", "warmup", "+warmup", "bare"),
        ("label_smoothing", "label_smoothing", "+label_smoothing", "+warmup"),
        (
            "label_smoothing.smoothing=0.2",
            "label_smoothing",
            "+label_smoothing.smoothing=0.2",
            "+warmup",
        ),
        ("mixup", "mixup", "+mixup", "+label_smoothing"),
        ("all", "", "+mixup", "bare"),
    ]
    assert recipe_of(layout, "+mixup").id == TINY.id
    ordered = Cumulative(tricks=("mixup", "warmup")).layout(TINY, "resnet50")
    assert names(recipe_of(ordered, "+warmup")) == ("mixup", "warmup")


def test_cumulative_passes_over_what_excludes_and_goes_on() -> None:
    studied = ("cosine_decay", "step_decay", "mixup")
    layout = Cumulative(tricks=studied, levels=("step_decay.factor=0.2",)).layout(TINY, "resnet50")
    reason = "step_decay and cosine_decay exclude each other (both have the slot 'decay')"
    for label in ("+step_decay", "+step_decay.factor=0.2"):
        assert by_label(layout)[label].recipe is None
        assert by_label(layout)[label].reason == reason
    with pytest.raises(UserError) as error:
        Recipe(tricks=(CosineDecay(), StepDecay()))
    assert str(error.value).startswith(f"{reason}; ")
    assert names(recipe_of(layout, "+mixup")) == ("cosine_decay", "mixup")
    assert rows(layout) == [
        ("cosine_decay", "cosine_decay", "+cosine_decay", "bare"),
        ("step_decay", "step_decay", "+step_decay", "+cosine_decay"),
        ("step_decay.factor=0.2", "step_decay", "+step_decay.factor=0.2", "+cosine_decay"),
        ("mixup", "mixup", "+mixup", "+cosine_decay"),
        ("all", "", "+mixup", "bare"),
    ]
    alone = Cumulative(tricks=("cosine_decay", "step_decay")).layout(TINY, "resnet50")
    assert [row[0] for row in rows(alone)] == ["cosine_decay", "step_decay"], (
        "one step is all there is"
    )


def test_factorial() -> None:
    layout = Factorial(tricks=("mixup", "warmup")).layout(TINY, "resnet50")
    assert layout.factors == ("mixup", "warmup")
    assert (layout.generators, layout.aliases, layout.contrasts, layout.notes) == ((), (), (), ())
    assert {variant.label: names(variant.recipe) for variant in layout.variants} == {
        "-mixup-warmup": ("label_smoothing",),
        "+mixup-warmup": ("label_smoothing", "mixup"),
        "-mixup+warmup": ("warmup", "label_smoothing"),
        "+mixup+warmup": ("warmup", "label_smoothing", "mixup"),
    }
    assert layout.variants[0].label == "-mixup-warmup"
    assert recipe_of(layout, "+mixup+warmup").id == TINY.id
    added = Factorial(tricks=("cosine_decay", "mixup")).layout(TINY, "resnet50")
    assert recipe_of(added, "+cosine_decay+mixup").tricks == (*TINY.tricks, CosineDecay())


def test_factorial_of_tricks_that_exclude_each_other() -> None:
    layout = Factorial(tricks=("cosine_decay", "step_decay")).layout(TINY, "resnet50")
    assert [variant.recipe is None for variant in layout.variants] == [False, False, False, True]
    assert "exclude each other" in layout.variants[3].reason
    kept = Factorial(tricks=("step_decay", "mixup")).layout(SMALL, "resnet18")
    assert {v.label for v in kept.variants if v.recipe is None} == {
        "+step_decay-mixup",
        "+step_decay+mixup",
    }


def test_fraction_of_a_factorial() -> None:
    some = ("warmup", "label_smoothing", "mixup", "cosine_decay")
    layout = Factorial(tricks=some[:3], resolution=3).layout(TINY, "resnet50")
    assert layout.generators == ("mixup = warmup*label_smoothing",)
    assert layout.aliases == (
        ("warmup", "label_smoothing*mixup"),
        ("label_smoothing", "warmup*mixup"),
        ("mixup", "warmup*label_smoothing"),
    )
    assert [variant.label for variant in layout.variants] == [
        "-warmup-label_smoothing+mixup",
        "+warmup-label_smoothing-mixup",
        "-warmup+label_smoothing-mixup",
        "+warmup+label_smoothing+mixup",
    ]
    assert recipe_of(layout, "-warmup-label_smoothing+mixup").tricks == (Mixup(alpha=0.3),)
    half = Factorial(tricks=some, resolution=4).layout(TINY, "resnet50")
    assert half.generators == ("cosine_decay = warmup*label_smoothing*mixup",)
    assert half.aliases == (
        ("warmup*label_smoothing", "mixup*cosine_decay"),
        ("warmup*mixup", "label_smoothing*cosine_decay"),
        ("warmup*cosine_decay", "label_smoothing*mixup"),
    )
    full = Factorial(tricks=some, resolution=5).layout(TINY, "resnet50")
    assert full == Factorial(tricks=some).layout(TINY, "resnet50")
    assert len(full.variants) == 16


def test_sizes_of_factorials() -> None:
    assert len(Factorial().layout(SMALL, "resnet18").variants) == 256
    assert len(Factorial(tricks=SMALL.trick_names).layout(SMALL, "resnet18").variants) == 512
    assert len(Factorial(resolution=3).layout(SMALL, "resnet18").variants) == 16
    bag = recipes.bag_of_tricks()
    assert len(Factorial(tricks=bag.trick_names[:10]).layout(bag, "resnet50_a").variants) == 1024
    with pytest.raises(
        UserError,
        match=r"11 tricks has 2,048 variants, .* take a fraction \(--resolution 5 has 128\)",
    ):
        Factorial(tricks=bag.trick_names).layout(bag, "resnet50_a")
    assert len(Factorial(resolution=5).layout(bag, "resnet50_a").variants) == 128
    twelve = (*bag.trick_names, "layer_decay")
    assert len(Factorial(tricks=twelve, resolution=4).layout(bag, "resnet50_a").variants) == 32


def test_leave_one_out_goes_on_without_what_does_not_apply() -> None:
    timm = SMALL.replace(model=model_config(TIMM))
    variants = {"zero_init_residual": "no residual blocks"}
    layout = LeaveOneOut(levels=("mixup.alpha=0.1",)).layout(timm, TIMM, inapplicable=variants)
    left = tuple(
        name for name in SMALL.trick_names if name not in ("resnet_d", "zero_init_residual")
    )
    assert names(recipe_of(layout, "full")) == names(recipe_of(layout, "mixup.alpha=0.1")) == left
    with pytest.raises(DoesNotApply) as error:
        ResNetD().model(timm.model)
    reason = f"resnet_d changes the slots of this package's ResNets; {TIMM} has none"
    assert str(error.value).startswith(f"{reason}. ")
    reasons = {
        variant.label: variant.reason for variant in layout.variants if variant.recipe is None
    }
    assert reasons == {"-resnet_d": reason, "-zero_init_residual": "no residual blocks"}
    assert [contrast.label for contrast in layout.contrasts] == [
        *SMALL.trick_names,
        "mixup.alpha=0.1",
    ]
    assert len(layout.notes) == 2
    text = f"resnet_d does not apply to {TIMM} and is left out of every variant: {reason}"
    assert Note("study", "resnet_d", text) in layout.notes
    assert LeaveOneOut().layout(SMALL, "resnet18").notes == ()


def test_levels_of_what_does_not_apply_are_rows_too() -> None:
    recipe = TINY.plus(Strength(by=1))
    layout = LeaveOneOut(levels=("strength.by=2",)).layout(
        recipe, "x", inapplicable={"strength": "too strong"}
    )
    assert (
        by_label(layout)["strength.by=2"].reason
        == by_label(layout)["-strength"].reason
        == "too strong"
    )


def test_other_designs_say_what_does_not_apply() -> None:
    studied = ("resnet_b", "mixup")
    with pytest.raises(DoesNotApply) as error:
        ResNetB().model(SMALL.model)
    for design in (OneAtATime(tricks=studied), Cumulative(tricks=studied)):
        layout = design.layout(SMALL, "resnet18")
        assert by_label(layout)["+resnet_b"].recipe is None
        assert str(error.value).startswith(by_label(layout)["+resnet_b"].reason)
        assert names(recipe_of(layout, "+mixup")) == ("linear_scaling", "mixup")
        assert [contrast.minus for contrast in layout.contrasts] == ["bare", "bare"]
    timm = SMALL.replace(model=model_config(TIMM))
    factorial = Factorial(tricks=("warmup", "mixup")).layout(timm, TIMM)
    assert all(
        "resnet_d" not in (names(variant.recipe) or ("resnet_d",)) for variant in factorial.variants
    )
    assert factorial.notes[1].text.startswith(f"resnet_d does not apply to {TIMM}")
    factor = Factorial(tricks=("resnet_d", "mixup")).layout(timm, TIMM)
    assert [variant.recipe is None for variant in factor.variants] == [False, True, False, True]
    assert [note.trick for note in factor.notes] == ["linear_scaling"]


def test_a_trick_may_need_another() -> None:
    recipe = Recipe(name="leaning", model=model_config("resnet50"), tricks=(ResNetD(), Leans()))
    layout = LeaveOneOut().layout(recipe, "resnet50")
    assert names(recipe_of(layout, "-leans")) == ("resnet_d",)
    assert by_label(layout)["-resnet_d"].reason == "leans needs a pool in the shortcut"
    assert by_label(OneAtATime().layout(recipe, "resnet50"))["+leans"].recipe is None
    assert names(recipe_of(Cumulative().layout(recipe, "resnet50"), "+leans")) == (
        "resnet_d",
        "leans",
    )
    neither = LeaveOneOut().layout(recipe, "resnet50", inapplicable={"resnet_d": "no"})
    assert recipe_of(neither, "full").tricks == ()
    assert by_label(neither)["-leans"].reason == "leans needs a pool in the shortcut"


def test_wrong_values_are_left_to_the_trial() -> None:
    layout = LeaveOneOut().layout(TINY.plus(Wrong()), "resnet50")
    assert all(variant.recipe is not None for variant in layout.variants)


@pytest.mark.parametrize("design", [*EVERY, LeaveOneOut(tricks=("mixup",))])
def test_a_recipe_without_tricks(design: Design) -> None:
    with pytest.raises(UserError, match="the recipe custom"):
        design.layout(Recipe(), "resnet50")


def test_what_the_papers_train_longer() -> None:
    text = "mixup: the paper trains 200 epochs with it, 120 without"
    assert longer_training([SMALL]) == [Note("study", "mixup", text)]
    assert longer_training([SMALL.without("mixup")]) == []
    assert len(longer_training([SMALL, SMALL, TINY])) == 1


def test_layouts_are_values() -> None:
    contrast = Contrast(label="mixup", trick="mixup", plus="full", minus="-mixup")
    assert contrast in LeaveOneOut().layout(TINY, "resnet50").contrasts
    with pytest.raises(dataclasses.FrozenInstanceError):
        contrast.plus = "bare"  # type: ignore[misc]


def test_designs_load_no_torch() -> None:
    code = """
import sys
from trickbag import recipes
from trickbag.study.designs.named import DESIGNS
for design in DESIGNS.values():
    for recipe in (recipes.small(), recipes.small(model="timm:mobilenetv3_small_100")):
        design().layout(recipe, "network")
print([name for name in ("torch", "numpy", "scipy", "timm") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
