"""Which class each number in a mask stands for, and the names of the classes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.annotations.masks.part import UNKNOWN
from trickbag.errors import UserError
from trickbag.files import read_text
from trickbag.metrics.segmentation import IGNORED
from trickbag.paths import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["ADE_FILES", "CLASSES", "VOC_CLASSES", "MaskClasses", "numbered_names"]

CLASSES = "classes.txt"
"""The file that names the classes: a name a line, from number 0 on, or a number and a name."""

ADE_FILES = ("objectInfo150.txt", CLASSES)
"""The files that name the classes of ADE20K, from number 1 on."""

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)
"""The classes of Pascal VOC by their numbers (Everingham et al. 2010, table 1)."""

_VOID = "void"
_NUMBERED = re.compile(r"(\d+)[\s,:;]+(\S.*)")


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskClasses:
    """The names of the classes, in the order of their numbers, and the class of each number.

    table: see `MaskPart`. declared_in: the file that names them, empty if none does.
    """

    names: tuple[str, ...]
    table: NDArray[np.int16]
    declared_in: str = ""

    @classmethod
    def of(
        cls, names: Mapping[int, str], ignored: Iterable[int], declared_in: str = ""
    ) -> MaskClasses:
        """Make classes of the names of numbers; what is `ignored` or called void is no class.

        Raises UserError for two classes of one name, and if none is left.
        """
        without = {*ignored, *(number for number, name in names.items() if _is_void(name))}
        kept = {number: name for number, name in sorted(names.items()) if number not in without}
        place = f"{declared_in} " if declared_in else "the masks "
        twice = {name for name in kept.values() if list(kept.values()).count(name) > 1}
        if twice:
            raise UserError(f"{place}has two classes {min(twice)!r}", "give each another name")
        if not kept:
            raise UserError(f"{place}has no class", "name at least two")
        if max(kept) > IGNORED:
            raise UserError(
                f"{place}has a class {max(kept)}: a mask has numbers from 0 to {IGNORED}",
                "leave it out",
            )
        table = np.full(IGNORED + 1, UNKNOWN, np.int16)
        table[list(without & set(range(IGNORED + 1)))] = IGNORED
        table[list(kept)] = np.arange(len(kept))
        return cls(names=tuple(kept.values()), table=table, declared_in=declared_in)

    @property
    def known(self) -> int:
        """How many numbers stand for a class."""
        return len(self.names)


def _is_void(name: str) -> bool:
    return name.casefold() == _VOID


def numbered_names(path: Path, first: int = 0) -> dict[int, str] | None:
    """Read the names of classes by their numbers; None if there is no such file.

    Each line has a name, of which the first has the number `first`; or each has a number and a
    name. ADE20K's `objectInfo150.txt` has columns, of which the first is the number and the last
    the name. Raises UserError for a file without names, and for a number that stands there twice.
    """
    text = read_text(path, TABLE)
    if text is None:
        return None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    columns = [re.split(r"\t+", line) for line in lines]
    if lines and columns[0][0].strip().casefold() == "idx":
        pairs = [(cells[0].strip(), cells[-1].strip()) for cells in columns[1:]]
    else:
        matches = [_NUMBERED.fullmatch(line) for line in lines]
        if all(matches):
            pairs = [(match[1], match[2].strip()) for match in matches if match is not None]
        else:
            pairs = [(str(number), line) for number, line in enumerate(lines, first)]
    names: dict[int, str] = {}
    for digits, name in pairs:
        if not digits.isascii() or not digits.isdigit() or int(digits) in names or not name:
            raise UserError(
                f"{path} is no list of classes: {digits!r} {name!r}",
                "write the name of a class on each line, or its number and its name",
            )
        names[int(digits)] = name
    if not names:
        raise UserError(f"{path} names no class", "write a name on each line")
    return names
