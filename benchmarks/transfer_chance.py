"""What detectors reach that have learned nothing: the scale on which trained ones are read.

Shapes: M objects of an image.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from trials import interval
from trickbag.data.annotations.boxes.part import BoxPart
from trickbag.data.dataset import Dataset, prepare
from trickbag.metrics.detection import DetectedImage, rank_detections, voc_metrics
from trickbag.recipe import Recipe
from trickbag.streams import stream


def random_boxes(recipe: Recipe, draws: int) -> dict[str, Any]:
    """Return the mAP at 0.5 of the boxes of a training image that is drawn for each test image.

    They are scaled to the image, and their scores are drawn too. So they know how many objects an
    image has, of which classes and sizes and where, and nothing of the image.
    """
    dataset = prepare(recipe.data, annotations="boxes")
    tested = dataset.test or dataset.val
    assert isinstance(tested, BoxPart)
    assert isinstance(dataset.train, BoxPart)
    values = []
    for draw in range(draws):
        rng = stream(draw, "random boxes")
        images = [_drawn(dataset.train, tested, i, rng) for i in range(len(tested))]
        ranked = rank_detections(images, len(dataset.classes))
        values.append(float(voc_metrics(ranked)["map50"] or 0.0))
    return {"map50": interval(values), "values": values}


def _drawn(train: BoxPart, tested: BoxPart, i: int, rng: np.random.Generator) -> DetectedImage:
    """Return the objects of a test image beside those of a training image."""
    other = int(rng.integers(len(train)))
    (height, width), (other_height, other_width) = _shape(tested, i), _shape(train, other)
    detections_M6 = train.boxes(other).copy()
    detections_M6[:, 1:5] *= np.array([width / other_width, height / other_height] * 2)
    detections_M6[:, 5] = rng.random(len(detections_M6))
    return DetectedImage(i, tested.boxes(i), detections_M6)


@functools.cache
def _shape(part: BoxPart, i: int) -> tuple[int, ...]:
    """Return height and width of an image."""
    return part.read(i).shape[:2]


def untrained_detectors(recipe: Recipe, seeds: int) -> dict[str, Any]:
    """Return the mAP at 0.5 of detectors with new weights on the test images."""
    dataset = prepare(recipe.data, annotations="boxes")
    values = [_untrained(recipe, dataset, seed) for seed in range(seeds)]
    return {"map50": interval(values), "values": values}


def _untrained(recipe: Recipe, dataset: Dataset, seed: int) -> float:
    from trickbag.train.build import build
    from trickbag.train.loaders import evaluation_batch_size, evaluation_loader
    from trickbag.train.plan.resolve import resolve
    from trickbag.train.validate import validate

    plan, _ = resolve(recipe, dataset, seed=seed)
    run, _ = build(plan, recipe.tricks, dataset)
    with evaluation_loader(
        dataset.test or dataset.val,
        plan.data,
        run.evaluation,
        batch_size=evaluation_batch_size(plan),
        workers=0,
        device=plan.device,
        cached=False,
    ) as loader:
        validation = validate(
            run.evaluated_network,
            loader,
            preprocessing=run.evaluation,
            task=run.task,
            device=run.device,
            autocast_dtype=run.eval_dtype,
            layout=run.plan.layout,
        )
    return float(validation.metrics["map50"] or 0.0)
