"""What every design of a study must do."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import pytest

from tests.study.designs.layouts import ARMS, EVERY, SMALL, TIMM, TINY, by_label, names, rows
from trickbag import recipes
from trickbag import tricks as trick_table
from trickbag.errors import Note, UserError
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
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.linear_scaling import LinearScaling
from trickbag.tricks.mixup import Mixup


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
