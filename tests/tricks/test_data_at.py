"""The hook `data_at`: the sizes of progressive resizing, and what a run does with the hook."""

from __future__ import annotations

import dataclasses
import functools
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch._dynamo.utils import counters

from tests.builders.recipes import tiny_recipe
from tests.builders.runs import assert_same_run
from tests.train.test_fit import SignalAt
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.errors import Note, Stopped, UserError
from trickbag.recipe import Recipe
from trickbag.train.build import build
from trickbag.train.fit import fit
from trickbag.train.plan.resolve import resolve
from trickbag.train.preview import augmented
from trickbag.tricks.progressive_resizing import ProgressiveResizing, size_at
from trickbag.tricks.trick import Timestamp, Trick


def test_sizes_rise_to_the_full_size() -> None:
    assert [size_at(i / 8, 224) for i in range(8)] == [112, 112, 152, 152, 184, 184, 224, 224]
    assert [size_at(p, 300, start=128 / 300, multiple=1) for p in (0, 0.25, 0.5, 0.75, 1)] == [
        128,
        185,
        243,
        300,
        300,
    ]
    # Stages of 30 of 90 epochs begin with epochs 30 and 60, although the divisions are rounded.
    assert [size_at(epoch / 90, 64, stages=3, multiple=1) for epoch in (29, 30, 59, 60)] == [
        32,
        48,
        48,
        64,
    ]
    assert size_at(0.0, 50, multiple=32) == 32
    assert size_at(0.0, 20, multiple=32) == 20
    assert size_at(1.0, 50, multiple=32) == 50
    assert size_at(0.0, 10, start=0.1, multiple=1) == 8


@pytest.mark.parametrize("epochs", range(1, 10))
def test_every_run_ends_with_the_full_size(epochs: int) -> None:
    trick, data = ProgressiveResizing(), DataConfig(image_size=224)
    sizes = [
        trick.data_at(data, Timestamp(epoch, 0, 5, epochs)).image_size for epoch in range(epochs)
    ]
    assert sizes == sorted(sizes, key=lambda size: size or 0)
    assert sizes[-1] == 224
    assert sizes[0] == (112 if epochs > 1 else 224)
    assert len(set(sizes)) == min(epochs, 4)


def growing(pictures: Path, *tricks: Trick, **changes: str) -> Recipe:
    recipe = tiny_recipe(pictures, **{"epochs": 2, **changes})  # type: ignore[arg-type]
    recipe = recipe.only("warmup", "mixup").on("timm:resnet10t")
    return recipe.plus(*tricks or (ProgressiveResizing(stages=2),))


@pytest.mark.slow
def test_a_run_trains_on_the_sizes_of_its_epochs(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Compiled without generating code: a graph for each size, and no more.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    torch.compiler.reset()
    counters.clear()
    recipe = growing(pictures, training__compile="on")
    fit(recipe, 1, tmp_path / "run")
    assert counters["stats"]["unique_graphs"] == 2
    torch.compiler.reset()
    # Stopped in the first epoch and in the second, at either size.
    for steps in (2, 6):
        with pytest.raises(Stopped):
            fit(recipe, 1, tmp_path / "stopped", resume=True, log=SignalAt(steps, signal.SIGTERM))
    fit(recipe, 1, tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "stopped", tmp_path / "run")


def test_the_picture_of_an_epoch_has_its_size(pictures: Path) -> None:
    recipe = growing(pictures)
    dataset = prepare(recipe.data)
    plan, _ = resolve(recipe, dataset, 0)
    assert [augmented(plan, recipe.tricks, dataset, 2, epoch)[0].shape for epoch in (0, 1)] == [
        (8, 8, 3),
        (16, 16, 3),
    ]


def test_a_trick_that_changes_no_epoch_is_a_note(pictures: Path) -> None:
    recipe = growing(pictures, ProgressiveResizing(stages=2, multiple=16))
    _, notes = resolve(recipe, prepare(recipe.data), 0)
    reason = "it changes the data of none of 2 epochs"
    assert Note("no_effect", "progressive_resizing", reason) in notes


def test_a_size_that_the_network_refuses_is_named_before_training(pictures: Path) -> None:
    recipe = (
        growing(pictures)
        .on("timm:vgg11")
        .set("data.image_size", "32")
        .set("training.batch_size", "2")
    )
    plan, _ = resolve(recipe.plus(ProgressiveResizing(start=0.25)), prepare(recipe.data), 0)
    with pytest.raises(
        UserError, match=r"timm:vgg11 cannot be trained on 2 images of 3x8x8 at a time: .*; choose"
    ):
        build(plan, recipe.plus(ProgressiveResizing(start=0.25)).tricks)


@torch._dynamo.config.patch(recompile_limit=8)  # as torch has it by itself
def test_more_sizes_than_can_be_compiled_are_refused(pictures: Path) -> None:
    trick = ProgressiveResizing(stages=8, multiple=1, start=0.1)
    changes = {"data__image_size": "24", "training__accumulate": "3", "training__compile": "on"}
    recipe = growing(pictures, trick, epochs=8, **changes)  # type: ignore[arg-type]
    plan, _ = resolve(recipe, prepare(recipe.data), 0)
    with pytest.raises(
        UserError, match=r"images of \d sizes, for which 1\d graphs would be compiled, of 8"
    ):
        build(plan, recipe.tricks)


def test_balanced_sampling_of_balanced_classes_is_a_note(pictures: Path) -> None:
    recipe = tiny_recipe(pictures, data__class_power="0")
    _, notes = resolve(recipe, prepare(recipe.data), 0)
    reason = "data.class_power = 0 changes only the order: all classes have as many images"
    assert Note("choice", None, reason) in notes


@dataclass(frozen=True, kw_only=True)
class Unflipped(Trick):
    """Change a setting that is fixed for the whole run."""

    name: ClassVar[str] = "unflipped"
    paper: ClassVar[str] = "none"

    def data_at(self, data: DataConfig, timestamp: Timestamp) -> DataConfig:
        return dataclasses.replace(data, flip_prob=0.0)


def test_what_is_fixed_for_the_run_cannot_change_by_epoch(pictures: Path) -> None:
    recipe = growing(pictures, Unflipped())
    with pytest.raises(
        UserError, match=r"data.flip_prob is settled .* and a trick changes it in epoch 1; what can"
    ):
        resolve(recipe, prepare(recipe.data), 0)
