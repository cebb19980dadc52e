"""What the parts of a data set are called, in folders' names and in the columns of tables."""

from __future__ import annotations

import re

__all__ = ["PART_WORDS", "part_of"]

PART_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing"),
}
"""The words for each part, in lower case; the first one is usual."""

_PARTS = {word: part for part, words in PART_WORDS.items() for word in words}


def part_of(name: str) -> str | None:
    """Return the part that a name means, in any case, alone or among other words; else None.

    `Training`, `seg_train` and `train-images` mean train; `train_val` means none, as it could be
    either.
    """
    words = re.findall(r"[a-z]+", name.lower())
    parts = {_PARTS[word] for word in words if word in _PARTS}
    return parts.pop() if len(parts) == 1 else None
