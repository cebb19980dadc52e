"""Settings of the data that change nothing where images have boxes or masks.

The loaders of these never cut out a centre: `data.loading.box_samples`, `mask_samples`. What would
have to be refused, as it would leave boxes and masks where they were, is in `task_tricks`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trickbag.data.config import DataConfig
from trickbag.errors import Note, shown

if TYPE_CHECKING:
    from trickbag.data.annotations import AnnotationKind

__all__ = ["UNUSED", "UnusedSetting", "unused_notes", "whole_images"]


@dataclass(frozen=True, kw_only=True)
class UnusedSetting:
    """A setting of the data that has no effect on images with some `annotations`.

    `true` are the values that say what is done anyway, besides the default. `without_cuts`: it has
    no effect where no part of an image is cut out, and has one else.
    """

    name: str
    annotations: tuple[AnnotationKind, ...]
    reason: str
    true: tuple[Any, ...] = ()
    without_cuts: bool = False

    def is_given(self, data: DataConfig) -> bool:
        """Tell whether a recipe's data ask for what is not done."""
        if self.without_cuts and data.crop_area != (1.0, 1.0):
            return False
        value = getattr(data, self.name)
        return value != getattr(DataConfig, self.name) and value not in self.true


_WHOLE = "an image is scaled as a whole to fit into data.image_size"
_DECODED_WHOLE = "they are decoded at their size"
_RANDOM_VIEW = "training images are scaled by data.mask_scale, and cut to data.image_size"

UNUSED: tuple[UnusedSetting, ...] = (
    UnusedSetting(
        name="resize", annotations=("boxes", "masks"), reason=_WHOLE, true=("letterbox",)
    ),
    UnusedSetting(name="eval_crop", annotations=("boxes", "masks"), reason=_WHOLE, true=(1.0,)),
    UnusedSetting(
        name="crop_area", annotations=("masks",), reason=_RANDOM_VIEW, true=((1.0, 1.0),)
    ),
    UnusedSetting(
        name="crop_ratio", annotations=("masks",), reason=_RANDOM_VIEW, true=((1.0, 1.0),)
    ),
    UnusedSetting(
        name="crop_ratio",
        annotations=("boxes",),
        reason="with data.crop_area 1 to 1 nothing is cut out",
        true=((1.0, 1.0),),
        without_cuts=True,
    ),
    UnusedSetting(name="dct_scaling", annotations=("boxes", "masks"), reason=_DECODED_WHOLE),
)
"""The settings without effect, of all that say how images are cut and scaled."""


def whole_images(data: DataConfig, annotations: AnnotationKind) -> DataConfig:
    """Return the data with what is done of images with boxes or masks: nothing is cut off."""
    if annotations == "classes":
        return data
    return replace(data, resize="letterbox", eval_crop=1.0)


def unused_notes(data: DataConfig, annotations: AnnotationKind) -> list[Note]:
    """Return a note on each setting of a recipe's data that these images make no use of."""
    return [
        Note(
            "no_effect",
            None,
            f"data.{each.name} = {shown(getattr(data, each.name))} has no effect on images with "
            f"{annotations}: {each.reason}",
        )
        for each in UNUSED
        if annotations in each.annotations and each.is_given(data)
    ]
