"""Images with their labels as text, as parts with classes: for sources that are no files alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.source import PassedOver
from trickbag.errors import Note, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.data.source import EncodedPart

__all__ = ["LabelledParts", "label_parts", "label_text_of"]


@dataclass(frozen=True, kw_only=True)
class LabelledParts:
    """Parts whose images all have a label. classes, parts, passed_over, notes: as in `Source`."""

    classes: tuple[str, ...]
    parts: dict[str, EncodedPart]
    passed_over: tuple[PassedOver, ...]
    notes: tuple[Note, ...]


def label_parts(
    spec: str,
    parts: Mapping[str, EncodedPart],
    texts: Mapping[str, Sequence[str]],
    *,
    reason: str,
    way_out: str,
) -> LabelledParts:
    """Give the images of each part their labels, of `texts`; an empty text is no label.

    Images without a label are passed over for this `reason`, and so is a part without any label.
    Raises UserError, with this `way_out`, if no image at all has one.
    """
    classes = tuple(sorted({text for part in texts.values() for text in part if text}))
    if not classes:
        raise UserError(f"data source {spec!r}: no image has a label", way_out)
    index = {name: i for i, name in enumerate(classes)}
    labelled: dict[str, EncodedPart] = {}
    passed_over, notes = [], []
    for name, part in parts.items():
        labels = np.array([index.get(text, -1) for text in texts[name]], np.int64)
        rows = np.flatnonzero(labels >= 0)
        if len(rows):
            labelled[name] = replace(part, labels=labels).subset(rows)
        else:
            fact = f"the {len(part)} images of its {name} part have no label and are not used"
            notes.append(Note("data", None, f"{spec}: {fact}"))
        if len(rows) < len(part):
            files = tuple(part.names[i] for i in np.flatnonzero(labels < 0))
            passed_over.append(PassedOver("no label", reason, files, ignored=not len(rows)))
    return LabelledParts(
        classes=classes, parts=labelled, passed_over=tuple(passed_over), notes=tuple(notes)
    )


def label_text_of(value: object) -> str:
    """Return a label as text, a number as it is written; empty for a missing one.

    Raises TypeError for a value that is no label.
    """
    if value is None or value != value:  # NaN alone is not itself
        return ""
    if isinstance(value, float) and value.is_integer():
        # Columns of whole numbers of which some are missing are floats in many programs.
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise TypeError(f"{type(value).__name__} is no label")
