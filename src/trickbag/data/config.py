"""What a recipe says about its data: where the images are, how they are cropped, flipped and
normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from trickbag.data.policies.policies import MOST, Policy
from trickbag.errors import UserError
from trickbag.settings import AtLeast, Between, Fraction, Positive, Settings

__all__ = ["EVAL_CROP", "DataConfig"]

Colour = tuple[float, float, float]
Scale = tuple[Annotated[float, Positive], Annotated[float, Positive], Annotated[float, Positive]]
Area = Between(0, 1, open_low=True)

EVAL_CROP = 0.875
"""The side of the centre that is validated, of the shorter edge (He et al. 2018, section 2.1: 224
of 256)."""


@dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
    """Data and preprocessing.

    Images are square, `image_size` pixels. Where that is None: the source's natural size, else
    `default_size`, else (None) the size that the network is made for. It is multiplied by
    `size_factor` and rounded. Training crops have an area of `crop_area` of the image and an aspect
    ratio (width/height) of `crop_ratio`, and are mirrored with `flip_prob` where the source allows
    it. Validation images have `eval_ratio` times the `image_size`, rounded: the shorter edge is
    scaled to their size divided by `eval_crop`, rounded up, and the centre cropped; None is the
    network's own crop at the network's own size, and `EVAL_CROP` at any other. `policy` changes the
    pixels of a training crop at random, before it is mirrored; where `views` is above 0 the crop
    stays, and so many changed views of it come beside it, for a loss that compares them. `mean` and
    `std` are on the 0-255 scale, in the order R, G, B (He et al. 2018, section 2.1). `val_fraction`
    is held back, stratified, by `split_seed` alone where the source has no validation part.
    `class_power` gives each class its number of images to this power as its share of an epoch's
    places: 1 is every image once, 0 every class equally often. `repeat_epochs` None draws crops
    anew in every epoch, and mirrors by batch; a number n draws both by image, and gives epoch e
    those of epoch `e mod n` again, so that what was computed of them once can be used again.
    `multi_label` reads each label of a CSV file as several names, separated by blanks; it is never
    guessed. `workers` None chooses by device and source; their number never changes the images.
    """

    source: str = "digits"
    image_root: str | None = None
    image_size: Annotated[int, AtLeast(8)] | None = None
    default_size: Annotated[int, AtLeast(8)] | None = None
    size_factor: Annotated[float, Positive] = 1.0
    crop_area: tuple[Annotated[float, Area], Annotated[float, Area]] = (0.08, 1.0)
    crop_ratio: tuple[Annotated[float, Positive], Annotated[float, Positive]] = (0.75, 4 / 3)
    flip_prob: Annotated[float, Fraction] = 0.5
    policy: Policy | None = None
    views: Annotated[int, Between(0, MOST)] = 0
    repeat_epochs: Annotated[int, AtLeast(1)] | None = None
    eval_crop: Annotated[float, Area] | None = None
    eval_ratio: Annotated[float, Positive] = 1.0
    mean: Colour = (123.68, 116.779, 103.939)
    std: Scale = (58.393, 57.12, 57.375)
    val_fraction: Annotated[float, Between(0, 1, open_low=True, open_high=True)] = 0.2
    split_seed: int = 0
    class_power: Annotated[float, Fraction] = 1.0
    multi_label: bool = False
    max_bad_fraction: Annotated[float, Fraction] = 0.1
    workers: Annotated[int, AtLeast(0)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("crop_area", "crop_ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise UserError(
                    f"data.{name} = {low:g},{high:g}: the first value must not be above the second"
                )
        if self.views and self.policy is None:
            raise UserError(
                f"data.views = {self.views} needs a data.policy, which makes them; use the trick "
                f"aug_mix"
            )
