"""What answers that ignore the image reach on the parts of a data set that are evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trickbag.study.analysis.chance import (
    ConstantAnswer,
    constant_answer,
    constant_boxes,
    constant_mask,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.data.dataset import Dataset
    from trickbag.data.source import Part
    from trickbag.recipe import Recipe
    from trickbag.study.analysis.chance import ConstantAnswers

__all__ = ["constant_answers"]


def constant_answers(
    dataset: Dataset, recipe: Recipe, *, all_folds: bool = False
) -> ConstantAnswers:
    """Return what answers that ignore the image reach on the parts that are evaluated.

    With `all_folds` each image of both other parts is evaluated on one of the folds.
    """
    answers: dict[Literal["val", "test"], ConstantAnswer] = {}
    if len(dataset.val):
        judged = (dataset.train, dataset.val) if all_folds else (dataset.val,)
        answers["val"] = _constant_answer(judged, dataset, recipe)
    if dataset.test is not None and len(dataset.test):
        answers["test"] = _constant_answer((dataset.test,), dataset, recipe)
    return answers


def _constant_answer(parts: Sequence[Part], dataset: Dataset, recipe: Recipe) -> ConstantAnswer:
    from trickbag.data.labels import label_counts

    images = sum(map(len, parts))
    if recipe.task.kind == "detection":
        return constant_boxes(images)
    if recipe.task.kind == "segmentation":
        from trickbag.data.annotations.masks.part import MaskPart

        pixels = [
            part.pixels_by_class(len(dataset.classes))
            for part in parts
            if isinstance(part, MaskPart)
        ]
        return constant_mask([sum(of_class) for of_class in zip(*pixels, strict=True)], images)
    multi_label = recipe.data.multi_label

    of_parts = [label_counts(part.labels, len(dataset.classes)) for part in parts]
    counts = [sum(of_class) for of_class in zip(*of_parts, strict=True)]
    # With one label an image the others have none that is known, and are not evaluated.
    images = images if multi_label else sum(counts)
    return constant_answer(counts, images, multi_label=multi_label)
