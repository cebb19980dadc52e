"""Views of an image for test-time augmentation: another size or crop, mirrored, or turned.

The probabilities of an image are the mean of those of its views.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from trickbag.data.loading.position import CENTRE, Position
from trickbag.data.size import as_size, height_width, resize_of
from trickbag.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from trickbag.data.loading.preprocess import Preprocessing

__all__ = ["SCALES", "TTA", "Crop", "EvalView", "TtaForm", "require_tta", "views_of"]

CORNERS: tuple[Position, ...] = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
"""Top left, top right, bottom left, bottom right."""

MULTI_CROP = 0.875
"""The largest share of the scaled image's side that one of five crops has.

Images that are scaled to a crop's size, as with `data.resize=squash`, would have five equal crops.
"""

SCALES = (1.0, 8 / 7, 9 / 7)
"""The sizes of `multi-scale`, as multiples of the network's: 224, 256 and 288 px for 224 px.

They are rounded to what networks take that divide the original size by powers of 2.
"""


_LARGEST_STEP = 32


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A crop of a scaled image: its preprocessing, and where it lies."""

    preprocessing: Preprocessing
    at: Position = CENTRE


@dataclass(frozen=True, kw_only=True)
class EvalView:
    """A crop, mirrored left to right if it is to `flip`, then turned by so many quarter `turns`."""

    crop: Crop
    flip: bool = False
    turns: int = 0

    def of(self, images_NCHW: Tensor) -> Tensor:
        """Return crops as they are seen."""
        images = images_NCHW.flip(-1) if self.flip else images_NCHW
        return images.rot90(self.turns, (-2, -1)) if self.turns else images


@dataclass(frozen=True, kw_only=True)
class TtaForm:
    """Which views a name of test-time augmentation means.

    five_crops: the four corners beside the centre. scales: images of the sizes in `SCALES`. flip:
    each of these views and its mirror image. turns: each of these turned by quarters, by a half
    alone if it is not square.
    """

    five_crops: bool = False
    scales: bool = False
    flip: bool = False
    turns: bool = False


TTA: Mapping[str, TtaForm] = MappingProxyType(
    {
        "flip": TtaForm(flip=True),
        "five-crop": TtaForm(five_crops=True),
        "ten-crop": TtaForm(five_crops=True, flip=True),
        "multi-scale": TtaForm(scales=True),
        "flip+multi-scale": TtaForm(scales=True, flip=True),
        "dihedral": TtaForm(flip=True, turns=True),
    }
)
"""The views by the name of `--tta`; ten crops are those of Krizhevsky et al. 2012, section 4.1."""


def require_tta(name: str) -> TtaForm:
    """Return the views that a name means. Raises UserError, which lists the names there are."""
    if name not in TTA:
        raise UserError(f"tta = {name!r}: there is no such test-time augmentation", _there_are())
    return TTA[name]


def _there_are() -> str:
    return f"there are {', '.join(TTA)}"


def views_of(name: str | None, preprocessing: Preprocessing, *, fixed_size: bool) -> list[EvalView]:
    """Return the views of an image; without a name the crop of validation alone.

    A network of `fixed_size` takes images of one size: they are scaled to the sizes of
    `multi-scale`, and the centre of the network's own size is cut out. Views that are the same come
    once. Raises UserError for a name that is not known.
    """
    form = TtaForm() if name is None else require_tta(name)
    crops = [Crop(preprocessing=preprocessing)]
    if form.scales:
        crops = [
            Crop(preprocessing=_scaled(preprocessing, factor, fixed_size=fixed_size))
            for factor in SCALES
        ]
    if form.five_crops:
        wider = _with_border(preprocessing)
        crops = [Crop(preprocessing=wider, at=at) for at in (*CORNERS, CENTRE)]
    crops = list(dict.fromkeys(crops))
    flips = (False, True) if form.flip else (False,)
    return [
        EvalView(crop=crop, flip=flip, turns=turns)
        for crop in crops
        for flip in flips
        for turns in (_turns(crop) if form.turns else (0,))
    ]


def _turns(crop: Crop) -> tuple[int, ...]:
    """Return the quarter turns after which a crop has the same shape."""
    height, width = height_width(crop.preprocessing.image_size)
    return (0, 1, 2, 3) if height == width else (0, 2)


def _scaled(preprocessing: Preprocessing, factor: float, *, fixed_size: bool) -> Preprocessing:
    if factor == 1:
        return preprocessing
    if fixed_size:
        height, width = (round(side * factor) for side in height_width(preprocessing.resize))
        return replace(preprocessing, resize=as_size(height, width))
    before = height_width(preprocessing.image_size)
    after = [_stepped(side, factor) for side in before]
    # The crop keeps its share of the scaled image.
    resize = [
        round(side * new / old)
        for side, new, old in zip(height_width(preprocessing.resize), after, before, strict=True)
    ]
    return replace(preprocessing, image_size=as_size(*after), resize=as_size(*resize))


def _stepped(side: int, factor: float) -> int:
    """Return a side that networks take which divide the original one by powers of 2, up to 32."""
    step = 2
    while 2 * step <= min(_LARGEST_STEP, side // 7) and side % (2 * step) == 0:
        step *= 2
    return max(side, step * round(side * factor / step))


def _with_border(preprocessing: Preprocessing) -> Preprocessing:
    """Return a preprocessing whose scaled image is larger than its crop."""
    sides = zip(
        height_width(preprocessing.resize),
        height_width(resize_of(preprocessing.image_size, MULTI_CROP)),
        strict=True,
    )
    height, width = (max(pair) for pair in sides)
    return replace(preprocessing, resize=as_size(height, width))
