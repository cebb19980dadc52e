"""Dihedral augmentation: each training image in one of the eight orientations of a square.

The mathematics is in `data/loading/orientation.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig

__all__ = ["Dihedral"]


@dataclass(frozen=True, kw_only=True)
class Dihedral(Trick):
    """Flip half of the images top to bottom, and turn all by 0, 90, 180 or 270 degrees.

    All eight orientations are then equally likely. Without `turns` they are flipped alone. Boxes
    and masks follow their images.
    """

    name: ClassVar[str] = "dihedral"
    paper: ClassVar[str] = "Cohen & Welling 2016, arXiv 1602.07576, the group p4m of section 4.3"

    turns: bool = True

    def data(self, data: DataConfig) -> DataConfig:
        """Set how images are flipped and turned."""
        changed = replace(data, vertical_flip_prob=0.5, quarter_turns=self.turns)
        if changed == data:
            raise NoEffect("the data settings flip and turn images in this way already")
        return changed

    @classmethod
    def needs_classes(cls) -> bool:
        """Tell whether it is about labels of whole images: it is not, boxes and masks follow."""
        return False
