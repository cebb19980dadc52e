"""Tricks on networks that have a place for some of them alone: every row says why it is empty."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

import trickbag as tb
from tests.builders.recipes import study_recipe
from tests.study.designs.layouts import (
    SMALL,
    TIMM,
    TINY,
    Leans,
    Strength,
    by_label,
    names,
    recipe_of,
)
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import DoesNotApply, Note, UserError
from trickbag.models.config import model_config
from trickbag.recipe import Recipe
from trickbag.study.designs.cumulative import Cumulative
from trickbag.study.designs.factorial import Factorial
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.designs.one_at_a_time import OneAtATime
from trickbag.study.study import Study
from trickbag.tricks import Trick
from trickbag.tricks.activation import Activation
from trickbag.tricks.anti_alias import AntiAlias
from trickbag.tricks.resnet_tweaks import ResNetB, ResNetD
from trickbag.tricks.squeeze_excite import SqueezeExcite
from trickbag.tricks.zero_init_residual import ZeroInitResidual

if TYPE_CHECKING:
    from trickbag.optim.config import TrainConfig

TRICKS = (SqueezeExcite(), AntiAlias(), Activation(), ZeroInitResidual())
NAMES = tuple(trick.name for trick in TRICKS)
REASONS = {
    "resnet18": {},
    "timm:mobilenetv3_small_050": {
        "squeeze_excite": "it has gates over channels or pixels of its own"
    },
    "timm:convnext_atto": {
        "squeeze_excite": "12 of its 12 residual branches end in Conv2d, not in a normalisation "
        "with a scale",
        "anti_alias": "nothing in it skips pixels in branch, as the windows of its strided "
        "convolutions do not overlap",
        "zero_init_residual": "12 of its 12 residual branches end in Conv2d, not in a "
        "normalisation with a scale",
    },
    "timm:vgg11": {
        "squeeze_excite": "it has no residual branches",
        "anti_alias": "nothing in it skips pixels in branch, but in stem",
        "zero_init_residual": "it has no residual branches",
    },
}


@dataclass(frozen=True, kw_only=True)
class Wrong(Trick):
    """A stranger's trick with a hook that refuses the recipe's value, whatever the network."""

    name: ClassVar[str] = "wrong"
    paper: ClassVar[str] = "none"

    def training(self, training: TrainConfig) -> TrainConfig:
        raise UserError("training.batch_size: too small for this trick")


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(study_recipe(pictures).data)


# vgg11 has 129 million parameters, which take a second to initialise: its plain data alone are
# asked.
@pytest.mark.parametrize("network", [name for name in REASONS if name != "timm:vgg11"])
def test_rows_are_explicit(network: str, pictures: Path, dataset: Dataset) -> None:
    recipe = study_recipe(pictures).only().plus(*TRICKS)
    study = Study(recipe=recipe, design=tb.LeaveOneOut(), models=(network,), seeds=2)
    inapplicable = study.inapplicable(dataset)
    layout = study.design.layout(
        study.recipes()[network], network, inapplicable=inapplicable[network]
    )
    assert [variant.label for variant in layout.variants] == [
        "full",
        *(f"-{name}" for name in NAMES),
    ]
    full, *rows = layout.variants
    assert full.recipe is not None
    assert full.recipe.trick_names == tuple(name for name in NAMES if name not in REASONS[network])
    for name, row in zip(NAMES, rows, strict=True):
        reason = REASONS[network].get(name)
        assert (row.recipe is None) == (reason is not None), (name, row.reason)
        if reason is not None:
            assert row.reason is not None
            assert row.reason.endswith(f": {reason}")
    assert len(layout.notes) == len(REASONS[network])


def test_one_at_a_time_leaves_out_what_does_not_apply(pictures: Path) -> None:
    recipe = study_recipe(pictures).only().on("timm:vgg11")
    design = tb.OneAtATime(tricks=("squeeze_excite", "anti_alias", "activation"))
    layout = design.layout(recipe, "timm:vgg11")
    reasons = {
        variant.label: variant.reason for variant in layout.variants if variant.recipe is None
    }
    assert set(reasons) == {"+squeeze_excite", "+anti_alias"}
    assert all(
        f": {REASONS['timm:vgg11'][label[1:]]}" in str(reason) for label, reason in reasons.items()
    )


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
