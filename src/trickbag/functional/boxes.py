"""Boxes in images, for a whole batch at once: their places, pixels and areas.

Shapes: N images of a batch, C channels, H and W pixels. A box is four integers: top, bottom, left
and right, the ends excluded. All functions but `regions` compile into the step: no shape depends on
data, and only the code for a CPU loops over images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.functional.processor import on_cpu, pixels

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import Tensor

__all__ = ["around", "fill", "inside", "regions", "share", "within"]


def around(centre_N2: Tensor, sides_N2: Tensor, height: int, width: int) -> Tensor:
    """Return the boxes (N, 4) around centres, cut off at the image's edges, int64.

    Centres and sides are shares of height and width. A centre in [0, 1) is the pixel
    `floor(centre * H)`; the box begins `floor(side * H / 2)` pixels before it and ends as many
    behind it, the end excluded. Sides are so rounded down to even numbers, as in the published
    codes of CutMix and Cutout.
    """
    import torch

    size = _size(centre_N2, height, width)
    middle_N2 = (centre_N2 * size).floor_()
    half_N2 = (sides_N2 * (size / 2)).floor_()
    # Stacked behind the axis, so that flattening gives top, bottom, left, right.
    ends = [(middle_N2 - half_N2).clamp_(min=0), (middle_N2 + half_N2).clamp_(max=size)]
    return torch.stack(ends, dim=2).flatten(1).long()


def within(corner_N2: Tensor, sides_N2: Tensor, height: int, width: int) -> Tensor:
    """Return the boxes (N, 4) of given sides that lie inside the image, int64.

    `sides_N2` are shares of height and width. They are rounded to pixels, and are at most one pixel
    less than the image's. `corner_N2` in [0, 1) chooses one of the places where the box fits, from
    the top and the left.
    """
    import torch

    size = _size(corner_N2, height, width)
    # Rounding can give the whole side. The published code of random erasing takes only boxes
    # that are smaller than the image.
    pixels_N2 = (sides_N2 * size).round_().clamp_(max=size - 1)
    start_N2 = (corner_N2 * (size + 1 - pixels_N2)).floor_()
    return torch.stack([start_N2, start_N2 + pixels_N2], dim=2).flatten(1).long()


def inside(boxes_N4: Tensor, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Return 1 for the pixels of each box and 0 for the others: (N, 1, H, W)."""
    import torch

    starts, ends = boxes_N4.reshape(-1, 2, 2, 1).unbind(dim=2)
    # Rows and columns in one go, as two masks of the longer side.
    places = torch.arange(max(height, width), device=boxes_N4.device)
    rows, columns = ((places >= starts) & (places < ends)).to(dtype).unbind(dim=1)
    return rows[:, None, :height, None] * columns[:, None, None, :width]


def regions(boxes_N4: Tensor) -> Iterable[tuple[int, int, int, int, int]]:
    """Return each box that is not empty: its row, top, bottom, left and right.

    The boxes are on the CPU.
    """
    boxes = boxes_N4.long().numpy()
    (rows,) = ((boxes[:, 0] < boxes[:, 1]) & (boxes[:, 2] < boxes[:, 3])).nonzero()
    return zip(rows.tolist(), *boxes[rows].T.tolist(), strict=True)


def fill(images_NCHW: Tensor, boxes_N4: Tensor, values: Tensor, *, owned: bool = False) -> Tensor:
    """Return the images with `values` in the box of each, or in one box for all.

    `values` is any tensor that broadcasts to the images: a colour (N, C, 1, 1), noise (N, C, H, W),
    a zero. `owned` allows changing the images in place.
    """
    import torch

    values = values.to(images_NCHW.dtype)
    if on_cpu(images_NCHW, values):
        filled = images_NCHW if owned else images_NCHW.clone()
        targets, sources = pixels(filled), pixels(values.expand_as(filled))
        for i, top, bottom, left, right in regions(boxes_N4.expand(len(filled), 4)):
            targets[i, :, top:bottom, left:right] = sources[i, :, top:bottom, left:right]
        return filled
    height, width = images_NCHW.shape[2:]
    # With weights of 0 and 1 `lerp` is a choice.
    return torch.lerp(images_NCHW, values, inside(boxes_N4, height, width, images_NCHW.dtype))


def share(boxes_N4: Tensor, height: int, width: int) -> Tensor:
    """Return the area of each box as a share of the image's, (N,) float32."""
    starts, ends = boxes_N4.reshape(-1, 2, 2).unbind(dim=2)
    return (ends - starts).prod(dim=1).float() / (height * width)


def _size(values_N2: Tensor, height: int, width: int) -> Any:
    """Return what scales the two columns to pixels: a number for square images, else a tensor."""
    return height if height == width else values_N2.new_tensor([height, width])
