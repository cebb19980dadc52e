"""The classes of ImageNet by their WordNet ids, such as n01440764, in the order of the logits.

The ids and their order are those that timm ships.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "BACKGROUND",
    "IMAGENET_CLASSES",
    "imagenet_classes",
    "names_wordnet_ids",
    "wordnet_id",
]

BACKGROUND = "background"
"""The name of the class before the 1,000 that networks trained with TensorFlow can have."""

IMAGENET_CLASSES = 1000
"""The number of its classes."""

_ID = re.compile(r"n\d{8}(?!\d)")


def imagenet_classes(outputs: int) -> tuple[str, ...] | None:
    """Return the classes of a network of ImageNet by its number of outputs: 1,000, or 1,001.

    None for any other number.
    """
    from timm.data.imagenet_info import ImageNetInfo

    if outputs not in (IMAGENET_CLASSES, IMAGENET_CLASSES + 1):
        return None
    names = ImageNetInfo("imagenet-1k").label_names()  # type: ignore[no-untyped-call]  # no types
    return (BACKGROUND,) * (outputs - IMAGENET_CLASSES) + tuple(map(str, names))


def wordnet_id(name: str) -> str | None:
    """Return the WordNet id that a name begins with: n01440764 of `n01440764_18.JPEG`, or None."""
    match = _ID.match(name)
    return None if match is None else match[0]


def names_wordnet_ids(classes: Collection[str]) -> bool:
    """Tell whether classes are named by WordNet ids, but for a background."""
    return all(wordnet_id(name) == name for name in classes if name != BACKGROUND)
