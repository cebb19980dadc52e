"""Images with their labels as text, as parts with classes: for sources that are no files alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from trickbag.data.class_names import is_missing, missing_labels_fact
from trickbag.data.source import PassedOver
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.data.source import EncodedPart

__all__ = ["LabelledParts", "label_parts", "label_text_of"]


@dataclass(frozen=True, kw_only=True)
class LabelledParts:
    """Parts whose images all have a label; classes, parts, passed_over: as in `Source`.

    facts: what a person should know about them.
    """

    classes: tuple[str, ...]
    parts: dict[str, EncodedPart]
    passed_over: tuple[PassedOver, ...]
    facts: tuple[str, ...]


def label_parts(
    spec: str,
    parts: Mapping[str, EncodedPart],
    texts: Mapping[str, Sequence[str]],
    groups: Mapping[str, Sequence[str]],
    *,
    na_labels: Literal["missing", "class"],
    reason: str,
    way_out: str,
) -> LabelledParts:
    """Give the images of each part their labels, of `texts`; see `is_missing` for `na_labels`.

    `groups` are those of the images of each part, nothing where there are none; an empty one is no
    group. Images without a label are passed over for this `reason`, and so
    is a part without any. Raises UserError, with this `way_out`, if no image at all has a label.
    """
    missing = Counter(
        text for part in texts.values() for text in part if is_missing(text, na_labels=na_labels)
    )
    texts = {
        name: ["" if text in missing else text for text in part] for name, part in texts.items()
    }
    classes = tuple(sorted({text for part in texts.values() for text in part if text}))
    if not classes:
        raise UserError(f"data source {spec!r}: no image has a label", way_out)
    index = {name: i for i, name in enumerate(classes)}
    labelled: dict[str, EncodedPart] = {}
    passed_over: list[PassedOver] = []
    facts = [fact] if (fact := missing_labels_fact(missing)) else []
    has_groups = any(map(any, groups.values()))
    for name, part in parts.items():
        labels = np.array([index.get(text, -1) for text in texts[name]], np.int64)
        rows = np.flatnonzero(labels >= 0)
        if len(rows):
            group_of = tuple(groups[name]) if has_groups else ()
            labelled[name] = replace(part, labels=labels, groups=group_of).subset(rows)
        else:
            facts.append(f"the {len(part)} images of its {name} part have no label: it is not used")
        if len(rows) < len(part):
            files = tuple(part.names[i] for i in np.flatnonzero(labels < 0))
            passed_over.append(PassedOver("no label", reason, files, ignored=not len(rows)))
    return LabelledParts(
        classes=classes, parts=labelled, passed_over=tuple(passed_over), facts=tuple(facts)
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
