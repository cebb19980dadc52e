"""Resolving recipes: notes on settings that do nothing, and on who says so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import pytest

from tests.builders.recipes import bare_recipe
from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import DoesNotApply, Note
from trickbag.optim.schedule import Cosine
from trickbag.train.machine import device
from trickbag.train.plan.resolve import resolve
from trickbag.tricks import Trick
from trickbag.tricks.aug_mix import AugMix
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.resnet_tweaks import ResNetD

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.models.config import ModelConfig
    from trickbag.optim.schedule import Schedule
    from trickbag.recipe import Recipe


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(DataConfig(source=str(pictures)))


def notes_of(recipe: Recipe, dataset: Dataset) -> list[Note]:
    return resolve(recipe, dataset, 0)[1]


def test_views_that_nothing_compares_are_noted(pictures: Path, dataset: Dataset) -> None:
    recipe = bare_recipe(pictures, data__policy="random", data__views="2")
    notes = notes_of(recipe, dataset)
    assert [note.kind for note in notes if "data.views = 2 costs time alone" in note.text] == [
        "choice"
    ]
    notes = notes_of(bare_recipe(pictures, AugMix()), dataset)
    assert not [note for note in notes if "data.views" in note.text]


def test_a_processor_without_reduced_precision(
    pictures: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_cpu_has_bf16", lambda: False)
    reason = "this processor has no arithmetic in bf16 or fp16, so training stays in float32"
    notes = notes_of(bare_recipe(pictures, MixedPrecision()), dataset)
    assert notes == [Note("no_effect", "mixed_precision", reason)]
    # Without the trick the recipe itself asks for it, and no trick is without effect.
    notes = notes_of(bare_recipe(pictures, training__precision="auto"), dataset)
    assert notes == [Note("choice", None, f"mixed_precision has no effect: {reason}")]


def test_a_precision_that_is_there_already(pictures: Path, dataset: Dataset) -> None:
    recipe = bare_recipe(pictures, MixedPrecision(dtype="bf16"), training__precision="bf16")
    reason = "training.precision is already bf16"
    assert notes_of(recipe, dataset) == [Note("no_effect", "mixed_precision", reason)]


@dataclass(frozen=True, kw_only=True)
class NeedsOthers(Trick):
    """A stranger's trick that needs what another does to network and schedule."""

    name: ClassVar[str] = "needs"
    paper: ClassVar[str] = "none"

    def model(self, model: ModelConfig) -> ModelConfig:
        if getattr(model, "shortcut", None) != "avg_pool":
            raise DoesNotApply("needs a pool in the shortcut", "add resnet_d")
        return model

    def schedule(self, schedule: Schedule) -> Schedule:
        if schedule.decay != Cosine():
            raise DoesNotApply("needs a cosine", "add cosine_decay")
        return replace(schedule, warmup_epochs=0.5)


def test_a_trick_that_needs_others_is_resolved_beside_them(
    pictures: Path, dataset: Dataset
) -> None:
    tricks = (ResNetD(), CosineDecay(), NeedsOthers())
    notes = notes_of(bare_recipe(pictures, *tricks, model="resnet18"), dataset)
    assert not [note for note in notes if note.kind == "no_effect"]
