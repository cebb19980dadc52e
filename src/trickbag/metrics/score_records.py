"""The scores of a class, of whichever task, as they stand in files."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from trickbag.errors import UserError, shown
from trickbag.files import json_numbers
from trickbag.metrics.detection import BoxScore
from trickbag.metrics.multi_label import LabelScore
from trickbag.metrics.per_class import ClassScore
from trickbag.metrics.segmentation import PixelScore

__all__ = ["AnyScore", "read_score", "read_scores"]

AnyScore = ClassScore | PixelScore
"""The scores of a class: of whole images, with several labels an image, of boxes, or of pixels."""


def read_scores(data: object) -> dict[str, AnyScore]:
    """Read the scores of each class; UserError for anything else. Older files have none."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UserError(f"classes = {shown(data)}: must be an object with the scores of each class")
    return {name: read_score(scores, f"classes.{name}") for name, scores in data.items()}


def read_score(data: object, place: str) -> AnyScore:
    """Read the scores of one class. What it has tells of which task it is.

    Raises UserError if one is missing or is no number.
    """
    if not isinstance(data, dict):
        raise UserError(f"{place} = {shown(data)}: must be an object of scores")
    # The interval follows from the other scores.
    numbers = {name: value for name, value in data.items() if name != "recall_interval"}
    scores = json_numbers(numbers, place)
    kind = _kind(scores)
    names = [item.name for item in fields(kind)]
    if lacking := [name for name in names if name not in scores]:
        raise UserError(f"{place} lacks {', '.join(lacking)}")
    if not isinstance(scores["support"], int):
        raise UserError(f"{place}.support = {scores['support']!r}: must be a whole number")
    values: dict[str, Any] = {name: scores[name] for name in names}
    return kind(**values)


def _kind(scores: dict[str, Any]) -> type[AnyScore]:
    if "iou" in scores:
        return PixelScore
    if "average_precision_voc07" in scores:
        return BoxScore
    return LabelScore if "threshold" in scores else ClassScore
