"""Pairs of tricks: where one hides the other a note says so, and a note that says so is true.

The oracle is `tests.tricks.equality.trace`: a run with both, and the run without one of them.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.builders.marks import long
from tests.builders.recipes import bare_recipe
from tests.tricks.equality import Trace, trace, without_effect
from tests.tricks.table import TABLE
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import UserError
from trickbag.recipe import Recipe
from trickbag.train.plan.resolve import resolve
from trickbag.tricks.anti_alias import AntiAlias
from trickbag.tricks.balanced_sampling import BalancedSampling
from trickbag.tricks.bce import BCE
from trickbag.tricks.class_weights import ClassWeights
from trickbag.tricks.compound_scaling import CompoundScaling
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.cutmix import CutMix
from trickbag.tricks.cutout import Cutout
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.drop_block import DropBlock
from trickbag.tricks.ema import Ema
from trickbag.tricks.exponential_decay import ExponentialDecay
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.progressive_resizing import ProgressiveResizing
from trickbag.tricks.random_erasing import RandomErasing
from trickbag.tricks.resnet_tweaks import ResNetC, ResNetD
from trickbag.tricks.step_decay import StepDecay
from trickbag.tricks.warmup import Warmup

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.tricks import Trick


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(recipe_of(pictures).data)


def recipe_of(pictures: Path, *tricks: Trick, model: str = "resnet18", **settings: str) -> Recipe:
    """Two steps of a network of an eighth of the width: a tenth of a second."""
    small = {"training.epochs": "3", "training.batch_size": "4", "model.width_factor": "0.125"}
    return bare_recipe(pictures, *tricks, model=model, **(small | settings))


def assert_notes_are_true(recipe: Recipe, dataset: Dataset, both: Trace | None = None) -> set[str]:
    """Compare a run with the run without each of its tricks; return those that change nothing."""
    both = trace(recipe, dataset) if both is None else both
    for trick in recipe.tricks:
        assert_note_is_true(trick.name, both, trace(recipe.without(trick.name), dataset))
    return without_effect(both.notes)


def assert_note_is_true(name: str, both: Trace, without: Trace) -> None:
    noted = name in without_effect(both.notes)
    if both.digest == without.digest:
        assert noted, f"{name} changes nothing, and no note says so: {both.notes}"
    elif noted:
        # Rounding may differ: 0.9 + 0.1 of a smoothed target is not 1.
        assert len(both.weights) == len(without.weights)
        for value, other in zip(both.weights, without.weights, strict=True):
            torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-6)


def teacher(**settings: Any) -> Distillation:
    of_table = TABLE["distillation"].trick
    assert isinstance(of_table, Distillation)
    return Distillation(teacher=of_table.teacher, **settings)


TINY_AREA = RandomErasing(area=(1e-5, 2e-5), prob=1.0)
ONE_STEP = {"training.epochs": "1", "training.batch_size": "48"}
CASES: list[tuple[tuple[Trick, ...], dict[str, str], set[str]]] = [
    ((LabelSmoothing(), teacher(form="kl", weight=1.0)), {}, {"label_smoothing"}),
    ((LabelSmoothing(), teacher(form="kl", weight=1.0, view="centre")), {}, {"label_smoothing"}),
    ((BCE(), teacher(form="code", weight=1.0)), {}, {"bce"}),
    ((BCE(), LabelSmoothing(), teacher(form="paper", weight=1.0)), {}, set()),
    ((BCE(target_threshold=0.2), LabelSmoothing()), {}, {"label_smoothing"}),
    ((BCE(target_threshold=0.2), LabelSmoothing(smoothing=0.9)), {}, set()),
    ((BCE(target_threshold=0.2), LabelSmoothing(), Mixup(alpha=1.0)), {}, set()),
    ((Mixup(), teacher(form="kl", weight=1.0)), {}, set()),
    (
        (ClassWeights(by="given", weights=(1.0, 2.0, 3.0)), teacher(form="kl", weight=1.0)),
        {},
        set(),
    ),
    (
        (ClassWeights(by="given", weights=(1.0, 1.0, 1.0)), BalancedSampling()),
        {},
        {"class_weights"},
    ),
    ((ClassWeights(), LabelSmoothing()), {}, {"class_weights"}),
    ((Cutout(side=0.1), Mixup()), {}, {"cutout"}),
    ((Cutout(side=0.125), Mixup()), {}, set()),
    # 8 px, 12 px, then 16 px: a pixel at the end of the run alone.
    ((Cutout(side=0.125), ProgressiveResizing(stages=3, multiple=4)), {}, set()),
    ((TINY_AREA, LabelSmoothing()), {}, {"random_erasing"}),
    ((Cutout(off_epochs=3), CutMix(off_epochs=3)), {}, {"cutout", "cutmix"}),
    ((DropBlock(), Warmup(epochs=1.0)), ONE_STEP, {"drop_block", "warmup"}),
    ((DropBlock(start=0.9), LabelSmoothing()), ONE_STEP, set()),
    ((ProgressiveResizing(), LabelSmoothing()), ONE_STEP, {"progressive_resizing"}),
    ((Warmup(epochs=3.0), CosineDecay()), {}, {"cosine_decay"}),
    ((Warmup(epochs=0.01), StepDecay(at=(0.99,))), {}, {"warmup", "step_decay"}),
    ((ExponentialDecay(every_epochs=3.0), Ema()), {}, {"exponential_decay"}),
    ((Ema(decay=1e-9), Mixup()), {}, {"ema"}),
    ((CompoundScaling(phi=0.001), Mixup()), {"model.depth_factor": "0.6"}, {"compound_scaling"}),
    ((CompoundScaling(phi=1.0), Mixup()), {}, set()),
    (
        (ResNetD(), AntiAlias(places=("shortcut",))),
        {"model.stem": "deep", "model.small_stem": "never"},
        {"resnet_d"},
    ),
    ((ResNetD(), AntiAlias(places=("branch",))), {"model.stem": "deep"}, set()),
    ((ResNetC(), AntiAlias(places=("shortcut",))), {}, set()),
]


CONSTANT = {"schedule.decay": "constant"}


@pytest.mark.parametrize(("tricks", "settings", "expected"), CASES)
def test_what_is_hidden_is_noted(
    tricks: tuple[Trick, ...],
    settings: dict[str, str],
    expected: set[str],
    pictures: Path,
    dataset: Dataset,
) -> None:
    _, notes = resolve(recipe_of(pictures, *tricks, **(CONSTANT | settings)), dataset, 0)
    # What an average does shows when it is built.
    assert without_effect(tuple(notes)) == expected - {"ema"}


@pytest.mark.slow
@pytest.mark.parametrize(("tricks", "settings", "expected"), CASES)
def test_what_is_noted_is_hidden(
    tricks: tuple[Trick, ...],
    settings: dict[str, str],
    expected: set[str],
    pictures: Path,
    dataset: Dataset,
) -> None:
    recipe = recipe_of(pictures, *tricks, **(CONSTANT | settings))
    assert assert_notes_are_true(recipe, dataset) == expected


FAST = [
    (Mixup(), LabelSmoothing()),
    (Cutout(side=0.1), LabelSmoothing()),
    (Warmup(epochs=3.0), CosineDecay()),
]


@pytest.mark.parametrize("tricks", FAST)
def test_some_pairs_of_tricks(tricks: tuple[Trick, ...], pictures: Path, dataset: Dataset) -> None:
    assert_notes_are_true(recipe_of(pictures, *tricks), dataset)


PARTS = 16
"""The parts of all pairs; a part takes a quarter of a minute."""


def network_of(*tricks: Trick) -> str:
    """The network that these tricks change, by the table of tricks."""
    # Selective kernels work in any ResNet; the table has another reason for its network.
    special = (TABLE[t.name].model for t in tricks if t.name != "selective_kernel")
    return next((name for name in special if name != "resnet18"), "resnet18")


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, *map(long, range(1, PARTS))])
def test_every_pair_of_tricks(pictures: Path, dataset: Dataset, part: int) -> None:
    alone: dict[tuple[str, str], Trace] = {}
    tricks = [entry.trick for entry in TABLE.values()]
    pairs = 0
    # Each part has every sixteenth pair: the parts together are all.
    for first, second in list(itertools.combinations(tricks, 2))[part::PARTS]:
        model = network_of(first, second)
        try:
            both = trace(recipe_of(pictures, first, second, model=model), dataset)
        except UserError:
            continue  # they exclude each other, or one does not apply beside the other
        pairs += 1
        for trick, other in ((first, second), (second, first)):
            key = (model, other.name)
            if key not in alone:
                alone[key] = trace(recipe_of(pictures, other, model=model), dataset)
            assert_note_is_true(trick.name, both, alone[key])
    assert pairs > 650 // PARTS
    assert {MixedPrecision.name, ResNetD.name} <= {name for _, name in alone}
