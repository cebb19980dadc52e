"""The preprocessing of validation, prediction and export, which is stored with the weights.

Shapes: N images, C channels, H and W pixels of an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

import numpy as np
import torch

from trickbag.data.config import (
    INTERPOLATION,
    MAX_IMAGE_SIZE,
    MEAN,
    RESIZE,
    STD,
    Band,
    Colour,
    Interpolation,
    Resize,
    Scale,
    by_channel,
    default_eval_crop,
)
from trickbag.data.decoding.pixel_format import PixelFormat, PixelRange
from trickbag.data.loading.letterbox import border_colour, bordered
from trickbag.data.loading.position import CENTRE
from trickbag.data.loading.resizing import channels_first, pillow_resized, resized
from trickbag.data.size import as_size, height_width, number_of_pixels, resize_of, scaled
from trickbag.errors import UserError
from trickbag.ranges import AtLeast
from trickbag.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from trickbag.data.config import DataConfig
    from trickbag.data.loading.position import Position
    from trickbag.data.size import Size

__all__ = ["LONGEST", "Placement", "Preprocessing"]

LONGEST = 16
"""The largest ratio of an image's edges at which it is scaled as a whole."""

_Side = Annotated[int, AtLeast(1, MAX_IMAGE_SIZE)]
_ImageSize = _Side | tuple[_Side, _Side]
_ScaledSide = Annotated[int, AtLeast(1, 1_000_000)]
_ResizedTo = _ScaledSide | tuple[_ScaledSide, _ScaledSide]


@dataclass(frozen=True, kw_only=True)
class Preprocessing(Settings):
    """How an image becomes a network's input, without randomness (He et al. 2018, section 2.1).

    The image is scaled towards the size `resize`, and the centre of `image_size` pixels cut out;
    both are a number for squares, else height and width. `resize_policy` is `data.resize`. With
    `crop` the scaled image is the smallest that covers `resize`, with `squash` it has that size,
    and with `letterbox` it is the largest that fits into it; the rest of the result then has the
    mean colour. `mean` and `std`, on the scale 0 to 255 and in the order R, G, B, normalise it.
    Files that were written before `interpolation` existed are bilinear, those of before
    `resize_policy` have crops. `channels` are the bands of a file that an image has, None for RGB;
    `pixel_range` the stored values that become 0 and 255, by kind, but for those that have a full
    range of 8 or 16 bits. What was written before these has RGB and full ranges.
    `packed` says whether `crop` returns more than one crop, behind each other.
    """

    packed: ClassVar[bool] = False
    introduced_later: ClassVar[tuple[str, ...]] = (
        "channels",
        "interpolation",
        "pixel_range",
        "resize_policy",
    )

    image_size: _ImageSize
    resize: _ResizedTo
    mean: Colour
    std: Scale
    interpolation: Interpolation = INTERPOLATION
    resize_policy: Resize = RESIZE
    channels: tuple[Band, ...] | None = None
    pixel_range: tuple[PixelRange, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mean", "std"):
            if len(getattr(self, name)) != self.count:
                raise UserError(
                    f"preprocessing.{name} has {len(getattr(self, name))} values, and images have "
                    f"{self.count} channels"
                )
        # A square is a number, so that equal preprocessings are equal.
        for name in ("image_size", "resize"):
            if isinstance(size := getattr(self, name), tuple):
                object.__setattr__(self, name, as_size(*size))

    @property
    def pixels(self) -> PixelFormat:
        """How the stored values of an image become its channels."""
        return PixelFormat(self.pixel_range, self.channels)

    @property
    def count(self) -> int:
        """The number of channels."""
        return self.pixels.count

    @classmethod
    def of(cls, data: DataConfig, image_size: Size) -> Preprocessing:
        """Return the preprocessing at `image_size`; `resize` is ceil(image_size / eval_crop).

        Settings that are left open have their defaults.
        """
        policy, pixels = data.resize or RESIZE, data.pixels
        return cls(
            image_size=image_size,
            resize=resize_of(image_size, data.eval_crop or default_eval_crop(policy)),
            mean=data.mean or by_channel(MEAN, pixels.count),
            std=data.std or by_channel(STD, pixels.count),
            interpolation=data.interpolation or INTERPOLATION,
            resize_policy=policy,
            channels=pixels.channels,
            pixel_range=pixels.ranges,
        )

    @classmethod
    def for_evaluation(cls, data: DataConfig, image_size: Size) -> Preprocessing:
        """Return the preprocessing of validation, at `data.eval_ratio` times `image_size`."""
        return cls.of(data, scaled(image_size, data.eval_ratio, smallest=1))

    @property
    def crop_shape(self) -> tuple[int, int, int]:
        """The shape of what `crop` returns: channels, height, width."""
        return self.count, *height_width(self.image_size)

    def crop(self, image_HWC: NDArray[np.uint8], at: Position = CENTRE) -> NDArray[np.uint8]:
        """Scale a uint8 image (H, W, C) and cut out its centre, uint8 (C, *image_size).

        `at` is another place than the centre; what is smaller than `image_size` stays in the middle
        of its borders. The filter widens when it shrinks, see `resized`. Bicubic crops have the
        pixels of timm's and torchvision's transforms, bilinear ones those of torchvision's for
        tensors, within one level of Pillow's; but for images more than LONGEST times as long as
        they are wide. So has what `squash` and `letterbox` give.
        """
        height, width = image_HWC.shape[:2]
        new_height, new_width = self._scaled(height, width)
        rows, columns = height_width(self.image_size)
        y, x = _Cut.of(new_height, rows, at[0]), _Cut.of(new_width, columns, at[1])
        if self._scales_whole(new_height, new_width):
            scaled = resized(image_HWC, (new_height, new_width), self.interpolation)
            cut = scaled[:, y.start : y.start + y.length, x.start : x.start + x.length]
        else:
            # Pillow scales the pixels of the centre alone: scaled as a whole, a very long image
            # could need more memory than there is.
            left, right = x.part(width / new_width, width)
            top, bottom = y.part(height / new_height, height)
            box = (left, top, right, bottom)
            size = (y.length, x.length)
            cut = channels_first(pillow_resized(image_HWC, size, self.interpolation, box))
        crop = bordered(cut, y.place, x.place, self.image_size, border_colour(self.mean))
        return np.ascontiguousarray(crop)

    def placement(self, height: int, width: int) -> Placement:
        """Return where `crop` puts the pixels of an image of this size."""
        new_height, new_width = self._scaled(height, width)
        rows, columns = height_width(self.image_size)
        y, x = _Cut.of(new_height, rows), _Cut.of(new_width, columns)
        return Placement(
            scale=(new_width / width, new_height / height),
            offset=(x.place - x.start, y.place - y.start),
            visible=(x.place, y.place, x.place + x.length, y.place + y.length),
        )

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width to which an image is scaled as a whole."""
        if self.resize_policy == "crop" and not isinstance(self.resize, tuple):
            # As torchvision rounds.
            short = min(width, height)
            return self.resize * height // short, self.resize * width // short
        rows, columns = height_width(self.resize)
        if self.resize_policy == "squash":
            return rows, columns
        # As timm rounds: pixels of the image for each pixel of the scaled one.
        ratios = height / rows, width / columns
        ratio = min(ratios) if self.resize_policy == "crop" else max(ratios)
        return max(1, round(height / ratio)), max(1, round(width / ratio))

    def _scales_whole(self, new_height: int, new_width: int) -> bool:
        """Tell whether an image of which the centre is cut out is first scaled as a whole."""
        if new_height * new_width > LONGEST**2 * number_of_pixels(self.image_size):
            return False
        rows, columns = height_width(self.resize)
        fits = new_height <= LONGEST * rows and new_width <= LONGEST * columns
        return fits or self.resize_policy != "crop"

    def normalise(self, images_NCHW: Tensor) -> Tensor:
        """Normalise images (N, C, H, W) of 0 to 255 to float32, by mean and std of the channel."""
        # By channel, with numbers of Python: a tensor of means would be copied from the host in
        # each step, and would not compile into its graph. In place, in the one copy that is made.
        images = images_NCHW.to(torch.float32, copy=True)
        if images.device.type == "cpu" and _lies_channels_last(images):
            # One channel alone would be every third number in memory.
            rows = images.permute(0, 2, 3, 1).flatten(2)
            width = images.shape[3]
            rows.sub_(torch.tensor(self.mean).repeat(width))
            rows.div_(torch.tensor(self.std).repeat(width))
            return images
        for c in range(self.count):
            images[:, c].sub_(self.mean[c]).div_(self.std[c])
        return images


def _lies_channels_last(images_NCHW: Tensor) -> bool:
    return images_NCHW.permute(0, 2, 3, 1).is_contiguous() and not images_NCHW.is_contiguous()


class Placement(NamedTuple):
    """Where the pixels of an image are in its crop, each pair x first.

    Edge x of the image is at `scale[0] * x + offset[0]`. `visible` (left, top, right, bottom) is
    what shows the image; the rest of the crop is a border.
    """

    scale: tuple[float, float]
    offset: tuple[int, int]
    visible: tuple[int, int, int, int]

    def of_boxes(self, boxes_N4: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return boxes (left, top, right, bottom) in pixels of the crop, cut off at what it shows.

        Of a box that the crop does not show nothing is left: its area is 0.
        """
        ends = boxes_N4.reshape(-1, 2, 2) * self.scale + self.offset
        left, top, right, bottom = self.visible
        clipped: NDArray[np.float64] = ends.clip((left, top), (right, bottom)).reshape(-1, 4)
        return clipped


class _Cut(NamedTuple):
    """The pixels of an axis of a scaled image that stay, and where they begin in the result."""

    start: int
    length: int
    place: int

    @classmethod
    def of(cls, scaled_pixels: int, size: int, at: float = 0.5) -> _Cut:
        """Cut out `size` pixels, the centre where `at` is 0.5; or centre what is smaller."""
        if scaled_pixels < size:
            return cls(0, scaled_pixels, (size - scaled_pixels) // 2)
        return cls(round((scaled_pixels - size) * at), size, 0)

    def part(self, scale: float, pixels: int) -> tuple[float, float]:
        """Return the ends of the part in an image that is not scaled, of `pixels` pixels."""
        return self.start * scale, min((self.start + self.length) * scale, pixels)
