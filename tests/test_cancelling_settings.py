"""Settings that cancel each other: wherever a trick changes nothing in a run, a note says so.

The oracle is equality with the run without the trick, never the notes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.recipes import bare_recipe
from trickbag import recipes
from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import Note
from trickbag.train.plan.resolve import resolve
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.exponential_decay import ExponentialDecay
from trickbag.tricks.step_decay import StepDecay
from trickbag.tricks.warmup import Warmup

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.recipe import Recipe
    from trickbag.tricks.trick import Trick

OBJECT_HOOKS = ("network", "param_groups", "loss", "average", "batch", "advance", "teach")


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(DataConfig(source=str(pictures)))


def quick(recipe: Recipe, pictures: Path, epochs: int, batch_size: int) -> Recipe:
    settings = {"data.source": str(pictures), "training.epochs": str(epochs)}
    settings |= {"training.batch_size": str(batch_size), "training.device": "cpu"}
    for path, value in settings.items():
        recipe = recipe.set(path, value)
    return recipe


def planned(recipe: Recipe, dataset: Dataset) -> tuple[Any, list[Note]]:
    """Return all that a plan settles, with the rate of each step in place of its schedule."""
    plan, notes = resolve(recipe, dataset, 0)
    values = {field.name: getattr(plan, field.name) for field in dataclasses.fields(plan)}
    values["training"] = dataclasses.replace(plan.training, lr=1.0)
    values["schedule"] = [plan.lr(step) for step in range(plan.steps)]
    values["data"] = [plan.data_at(recipe.tricks, epoch) for epoch in range(plan.training.epochs)]
    return values, notes


def without_effect(notes: list[Note]) -> set[str]:
    return {note.trick for note in notes if note.kind == "no_effect" and note.trick}


# The steps of the ladder differ little: the recipe that they lead to stands for them.
NAMES = [
    pytest.param(name, marks=[pytest.mark.slow] if name.startswith("assemble_e") else [])
    for name in recipes.RECIPES
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("epochs", "batch_size"),
    [
        *[(1, 8), (3, 8), (20, 8)],
        pytest.param(1, 60, marks=pytest.mark.slow),
        pytest.param(3, 60, marks=pytest.mark.slow),
    ],
)
def test_what_changes_no_value_of_a_recipe_is_noted(
    name: str, epochs: int, batch_size: int, pictures: Path, dataset: Dataset
) -> None:
    recipe = quick(recipes.RECIPES[name](), pictures, epochs, batch_size)
    values, notes = planned(recipe, dataset)
    for trick in recipe.tricks:
        if any(trick.overrides(hook) for hook in OBJECT_HOOKS):
            continue
        same = planned(recipe.without(trick.name), dataset)[0] == values
        assert same == (trick.name in without_effect(notes)), f"{trick.name}: {notes}"
    filled = recipe.schedule.warmup_epochs or next(
        (trick.epochs for trick in recipe.tricks if isinstance(trick, Warmup)), 0
    )
    assert any(note.kind == "schedule" for note in notes) == (filled >= epochs)


DECAYS = [CosineDecay(), StepDecay(), ExponentialDecay(), ExponentialDecay(every_epochs=0.5)]


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("by", ["step", "epoch"])
@pytest.mark.parametrize("warmup_epochs", [0.01, 0.5, 1.0, 3.0, 5.0])
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_decay_and_a_warm_up(
    decay: Trick, by: Any, warmup_epochs: float, epochs: int, pictures: Path, dataset: Dataset
) -> None:
    recipe = bare_recipe(pictures, Warmup(epochs=warmup_epochs, by=by), decay)
    recipe = recipe.set("training.epochs", str(epochs)).set("schedule.decay", "constant")
    plan, notes = resolve(recipe, dataset, 0)
    rates = [plan.lr(step) for step in range(plan.steps)]
    for trick in recipe.tricks:
        without, _ = resolve(recipe.without(trick.name), dataset, 0)
        same = [without.lr(step) for step in range(without.steps)] == rates
        assert same == (trick.name in without_effect(notes)), trick.name
    peak = max(rates) == plan.training.lr
    says = [note.reason for note in notes if note.kind == "schedule"]
    assert bool(says) == (warmup_epochs >= epochs)
    assert any("outlasts" in reason for reason in says) == (not peak)
    assert all(f"the {plan.schedule.decay.kind} decay never starts" in reason for reason in says)
