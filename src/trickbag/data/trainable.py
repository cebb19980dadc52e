"""What training demands of a source, beside images: evaluation takes sources without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.labels import label_counts
from trickbag.errors import UserError

if TYPE_CHECKING:
    from trickbag.data.source import Source

__all__ = ["require_trainable"]

_NAMED = 5
"""The most classes that a message names."""


def require_trainable(source: Source, fewest_classes: int = 2) -> None:
    """Raise UserError unless a source has two classes or more, and its other parts none but these.

    Where something else than the class of an image is learned, `fewest_classes` is 1.

    A class that the training part lacks cannot be learned, and its images would all be wrong.
    """
    if "train" not in source.parts:
        raise UserError(
            f"data source {source.spec!r} has no train part, only {', '.join(source.parts)}",
            "add images to train with",
        )
    num_classes = len(source.classes)
    counts = {
        name: np.array(label_counts(part.labels, num_classes))
        for name, part in source.parts.items()
    }
    for name in source.parts:
        unknown = np.flatnonzero((counts[name] > 0) & (counts["train"] == 0))
        if len(unknown):
            raise UserError(
                f"data source {source.spec!r}: {name} has classes that train has not: "
                f"{_some([source.classes[i] for i in unknown])}",
                "add images of them to train, or leave them out",
            )
    if num_classes < fewest_classes:
        have = f"one class only, {source.classes[0]!r}" if source.classes else "no class"
        unlabelled = sum(len(each.files) for each in source.passed_over if each.kind == "no label")
        beside = f", and {unlabelled:,} images without a label" if unlabelled else ""
        way_out = "at least two are needed"
        if unlabelled:
            way_out += "; where NaN, NA, null or None is a class: --set data.na_labels=class"
        raise UserError(f"data source {source.spec!r} has {have}{beside}", way_out)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
