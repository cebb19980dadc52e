"""Settings of crops that change nothing with boxes or masks: named if and only if that is so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.builders.images import photo_folder
from tests.builders.tasks import TASKS, boxes, masks, task_recipe
from trickbag import recipes
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import Note
from trickbag.train.plan.resolve import resolve
from trickbag.train.plan.task_settings import UNUSED, unused_notes

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.annotations import AnnotationKind
    from trickbag.data.source import Part

KINDS: tuple[AnnotationKind, ...] = ("classes", "boxes", "masks")
SIZE = (16, 40)
CUT = {"crop_area": (0.2, 0.4)}
CHANGES: tuple[dict[str, Any], ...] = (
    {"resize": "squash"},
    {"eval_crop": 0.5},
    {"eval_ratio": 2.0},
    CUT,
    {"crop_ratio": (2.0, 3.0)},
    CUT | {"crop_ratio": (2.0, 3.0)},
    {"flip_prob": 1.0},
    {"interpolation": "bicubic"},
    {"mean": (1.0, 2.0, 3.0)},
    {"image_size": (24, 24)},
    {"dct_scaling": True},
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[AnnotationKind, Part]:
    root = tmp_path_factory.mktemp("tasks")
    folders = {
        "classes": photo_folder(root / "c", {"a": 4, "b": 4}),
        "boxes": boxes(root / "b"),
        "masks": masks(root / "m"),
    }
    return {
        kind: prepare(DataConfig(source=str(folders[kind])), annotations=kind).train
        for kind in KINDS
    }


def loaded(part: Part, data: DataConfig) -> list[torch.Tensor]:
    """Return all that a run gets of a part: a training epoch, and an evaluation."""
    assert data.image_size is not None
    tensors = []
    for train in (True, False):
        preparing = Preprocessing.of if train else Preprocessing.for_evaluation
        with Loader(
            part, data, preparing(data, data.image_size), train=train, batch_size=3, workers=0
        ) as loader:
            tensors += [tensor for batch in loader.epoch(0) for tensor in batch]
    return tensors


def equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


@pytest.mark.parametrize("kind", KINDS)
def test_a_setting_is_named_if_it_changes_nothing(
    parts: dict[AnnotationKind, Part], kind: AnnotationKind
) -> None:
    # As the recipes of the tasks are, and of classification with borders and whole images.
    base = DataConfig(image_size=SIZE, resize="letterbox", crop_area=(1.0, 1.0), flip_prob=0.0)
    first = loaded(parts[kind], base)
    assert unused_notes(base, kind) == []
    for change in CHANGES:
        data = replace(base, **change)
        named = {note.reason.partition(" ")[0] for note in unused_notes(data, kind)}
        if kind == "classes":
            assert not named
        elif set(change) != {"mean"} and equal(loaded(parts[kind], data), first):
            assert named == {f"data.{name}" for name in change}
        else:
            # Of changes that belong together one can be without effect.
            assert len(named) < len(change)


def test_the_table_names_settings_of_the_data() -> None:
    assert all(hasattr(DataConfig, each.name) for each in UNUSED)
    assert not any("classes" in each.annotations for each in UNUSED)


@pytest.mark.parametrize("name", TASKS)
def test_a_plan_has_what_is_done(tmp_path: Path, name: str) -> None:
    recipe = task_recipe(name, TASKS[name].data(tmp_path / "data"))
    dataset = prepare(recipe.data, annotations=recipe.task.annotations)
    plan, notes = resolve(recipe, dataset, 0)
    assert not any((note.kind, note.trick) == ("no_effect", None) for note in notes)
    assert not any("validation sees" in note.text for note in notes)
    other = recipe.set_all({"data.resize": "crop", "data.eval_crop": "0.3"})
    same, more = resolve(other, dataset, 0)
    assert same == plan
    added = [note for note in more if note not in notes]
    texts = [note.text for note in added]
    assert [text.partition(" has no effect on images with")[0] for text in texts] == [
        "data.resize = 'crop'",
        "data.eval_crop = 0.3",
    ]
    assert {(note.kind, note.trick) for note in added} == {("no_effect", None)}
    assert all(Note.from_dict(note.to_dict()) == note for note in more)


def test_the_recipes_of_tasks_ask_for_nothing_without_effect() -> None:
    for name in recipes.RECIPES:
        recipe = recipes.RECIPES[name]()
        assert unused_notes(recipe.data, recipe.task.annotations) == []
