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
    from trickbag.data.dataset import Dataset
    from trickbag.data.source import Part
    from trickbag.recipe import Recipe
    from trickbag.study.analysis.chance import ConstantAnswers

__all__ = ["constant_answers"]


def constant_answers(dataset: Dataset, recipe: Recipe) -> ConstantAnswers:
    """Return what answers that ignore the image reach on the parts that are evaluated."""
    answers: dict[Literal["val", "test"], ConstantAnswer] = {}
    if len(dataset.val):
        answers["val"] = _constant_answer(dataset.val, dataset, recipe)
    if dataset.test is not None and len(dataset.test):
        answers["test"] = _constant_answer(dataset.test, dataset, recipe)
    return answers


def _constant_answer(part: Part, dataset: Dataset, recipe: Recipe) -> ConstantAnswer:
    from trickbag.data.labels import label_counts

    if recipe.task.kind == "detection":
        return constant_boxes(len(part))
    if recipe.task.kind == "segmentation":
        from trickbag.data.annotations.masks.part import MaskPart

        assert isinstance(part, MaskPart)
        return constant_mask(part.pixels_by_class(len(dataset.classes)), len(part))
    multi_label = recipe.data.multi_label

    counts = label_counts(part.labels, len(dataset.classes))
    # With one label an image the others have none that is known, and are not evaluated.
    images = len(part) if multi_label else sum(counts)
    return constant_answer(counts, images, multi_label=multi_label)
