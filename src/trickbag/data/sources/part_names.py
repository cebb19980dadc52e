"""What the parts of a data set are called, in folders' names and in the columns of tables."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["PART_WORDS", "PartName", "part_name", "part_of", "words_beside"]

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


_FILLERS = "sets?|data|dataset|images?|imgs?|pics?|pictures?|photos?|files?|split|folder|part"
"""Words that add nothing to that of a part: `train_set`, `TestImages`, `valdata`."""

_ATTACHED = re.compile(f"({'|'.join(sorted(_PARTS, key=len, reverse=True))})(?:{_FILLERS})")
_ANY = re.compile("|".join(_PARTS))
_FILLER = re.compile(_FILLERS)


class PartName(NamedTuple):
    """What a folder's name says: the part that it means, how surely, and its other words.

    rank: 0 for the word itself, in any case; 1 with words that add nothing and numbers, such as
    `train_set`; 2 with other words, such as `seg_train`, which can also be the name of a class.
    """

    part: str
    rank: int
    others: frozenset[str] = frozenset()


def part_name(folder: str) -> PartName | None:
    """Return what the name of a folder says of a part; None if it means none, or more than one.

    `trainval` and `train_val` are training images: a run holds its validation part back itself.
    """
    lower = folder.lower()
    if lower in _PARTS:
        return PartName(_PARTS[lower], 0)
    # Thousands of classes are looked at.
    if _ANY.search(lower) is None:
        return None
    parts, others = _divided(folder)
    part = "train" if parts == {"train", "val"} else parts.pop() if len(parts) == 1 else None
    return None if part is None else PartName(part, 2 if others else 1, frozenset(others))


def words_beside(folder: str) -> set[str]:
    """Return the words of a folder's name that say nothing of a part."""
    return _divided(folder)[1]


def _divided(folder: str) -> tuple[set[str], set[str]]:
    """Return the parts that the words of a name mean, and its other words but for fillers."""
    # `SegTrain2` is two words, and so is `seg_train_2`.
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder)
    parts, others = set(), set()
    for word in re.findall(r"[^\W\d_]+", spaced.lower()):
        attached = _ATTACHED.fullmatch(word)
        if word == "trainval":
            parts |= {"train", "val"}
        elif word in _PARTS or attached:
            parts.add(_PARTS[attached[1] if attached else word])
        elif not _FILLER.fullmatch(word):
            others.add(word)
    return parts, others
