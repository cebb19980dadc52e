"""What every task but classification must do as classification does it: one table of runs.

A new task is tested by being listed in `tests.builders.tasks`.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.builders.runs import built
from tests.builders.tasks import TASKS
from tests.train.test_fit import SignalAt
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import DoesNotApply, Stopped
from trickbag.metrics.coco import COCO
from trickbag.metrics.metric import TaskKind, defined_metrics
from trickbag.models.weights import load
from trickbag.recipe import Recipe
from trickbag.tasks.task import Task
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog
from trickbag.train.loaders import train_loader
from trickbag.tricks import builtin, find
from trickbag.tricks.dihedral import Dihedral
from trickbag.tricks.ema import Ema


def left(folder: Path, name: str) -> dict[str, Any]:
    """What must be the same, bit for bit, of two runs that are the same."""
    times = ("time", "throughput", "memory")
    result = json.loads((folder / "result.json").read_text())
    metrics = {k: v for k, v in result["metrics"].items() if not any(t in k for t in times)}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        "metrics": metrics,
        "lines": [
            {k: v for k, v in line.items() if not any(t in k for t in times)} for line in lines
        ],
        "weights": (folder / "best.safetensors").read_bytes(),
        "predictions": (folder / TASKS[name].predictions).read_bytes(),
    }


def test_a_run_leaves_what_classification_leaves(
    reference: Path, recipe: Recipe, name: str
) -> None:
    left_behind = left(reference, name)
    assert TASKS[name].score in left_behind["metrics"]
    assert len(left_behind["lines"]) == 2
    stored = Recipe.from_dict(json.loads((reference / "recipe.json").read_text()))
    assert stored.task == recipe.task
    network = load(reference)
    assert not network.training
    assert hasattr(network, "backbone")


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    reference: Path, recipe: Recipe, dataset: Dataset, name: str, tmp_path: Path
) -> None:
    fit(recipe, 3, tmp_path / "again", dataset=dataset, log=RunLog())
    assert left(tmp_path / "again", name) == left(reference, name)
    fit(recipe, 4, tmp_path / "other", dataset=dataset, log=RunLog())
    weights = (tmp_path / "other" / "best.safetensors").read_bytes()
    assert weights != (reference / "best.safetensors").read_bytes()


def test_a_run_that_is_stopped_anywhere_goes_on_to_the_same_bits(
    reference: Path, recipe: Recipe, dataset: Dataset, name: str, tmp_path: Path
) -> None:
    class StopAt(RunLog):
        """Sends the signal of a person who stops the run in its second epoch."""

        steps = 0

        def due(self) -> bool:
            import os
            import signal

            self.steps += 1
            if self.steps == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return False

    with pytest.raises(Stopped):
        fit(recipe, 3, tmp_path / "run", dataset=dataset, log=StopAt())
    fit(recipe, 3, tmp_path / "run", dataset=dataset, resume=True, log=RunLog())
    assert left(tmp_path / "run", name) == left(reference, name)


def test_images_are_seen_where_their_annotations_are(recipe: Recipe, dataset: Dataset) -> None:
    """The samples have mirrored both: what mirrored the images again would leave the targets."""
    run, _ = built(recipe.set_all({"data.flip_prob": "1.0"}), dataset)
    loader = train_loader(run.plan, dataset.train, run.pipeline.preprocessing)
    (raw, *_) = loader.epoch(0, data=run.plan.data)
    batch = run.prepare(raw, run.draw(run.plan.timestamp(0)))
    seen = run.pipeline.preprocessing.normalise(raw.images.float())
    assert torch.equal(batch.images, seen)
    assert torch.equal(batch.targets, raw.labels)


def test_every_metric_that_can_choose_an_epoch_is_there_in_every_epoch(
    reference: Path, dataset: Dataset, name: TaskKind
) -> None:
    lines = [json.loads(line) for line in (reference / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((reference / "result.json").read_text())["metrics"]
    for metric in defined_metrics(None, len(dataset.classes), name):
        assert metric in result
        # COCO's are computed after each epoch only if they choose it.
        assert metric in COCO or all(metric in line for line in lines)


def test_averaged_weights_are_those_that_are_kept(
    recipe: Recipe, dataset: Dataset, name: str, tmp_path: Path
) -> None:
    result = fit(recipe.plus(Ema()), 3, tmp_path / "run", dataset=dataset, log=RunLog())
    assert f"raw_{TASKS[name].score}" in result.metrics


@pytest.mark.slow
def test_turned_images_are_trained_and_resumed(
    recipe: Recipe, dataset: Dataset, name: str, tmp_path: Path
) -> None:
    turned = recipe.plus(Dihedral())
    fit(turned, 3, tmp_path / "reference", dataset=dataset, log=RunLog())
    with pytest.raises(Stopped):
        fit(turned, 3, tmp_path / "run", dataset=dataset, log=SignalAt(2, signal.SIGTERM))
    result = fit(turned, 3, tmp_path / "run", dataset=dataset, log=RunLog(), resume=True)
    assert left(tmp_path / "run", name) == left(tmp_path / "reference", name)
    assert TASKS[name].score in result.metrics


@pytest.mark.parametrize("trick", builtin())
def test_a_trick_of_whole_images_does_not_apply(
    trick: str, recipe: Recipe, dataset: Dataset
) -> None:
    from trickbag.train.plan.resolve import resolve

    kind = find(trick)
    if not kind.needs_classes():
        return
    settings: dict[str, Any] = {"teacher": ("timm:resnet18",)} if trick == "distillation" else {}
    with pytest.raises(DoesNotApply, match=trick):
        resolve(recipe.plus(kind(**settings)), dataset, seed=0)


def test_the_task_names_itself(recipe: Recipe, name: str) -> None:
    assert recipe.task.kind == name
    assert issubclass(type(_task(recipe)), Task)


def _task(recipe: Recipe) -> Task:
    from trickbag.tasks import task_of

    return task_of(recipe.task, num_classes=2)


def test_lists_of_parts_can_be_named(recipe: Recipe) -> None:
    from trickbag.train.plan.resolve import resolve

    named = recipe.set_all({"data.parts": "train:val,val:train"})
    swapped = prepare(named.data, annotations=named.task.annotations)
    assert (len(swapped.train), len(swapped.val)) == (2, 6)
    plan, _ = resolve(named, swapped, seed=0)
    assert plan.data.parts == ("train:val", "val:train")
